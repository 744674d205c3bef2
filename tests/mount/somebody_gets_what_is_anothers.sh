#!/bin/bash
# Only enrolled blades and operators, each with his own rights: everybody against everything, over the real daemons. Each refusal is
# in the audit log with its reason; a blade that is shut out loses its session and its connections within a second.
. "$(dirname "$0")/kit.sh"
command -v openssl >/dev/null || skip "openssl is not installed"
arbiter_security=enrolled fusefs_security=enrolled
make_image "$images/disk.img" 8M
make_image "$images/other.img" 4M
start_arbiter
start_management_unheard() {
    # Without an authority nothing listens on the network, and both say what to type.
    ! tcp_listens 4740 || fail "the arbiter listens on TCP without an authority"
    grep -q "drivebay pki init" "$work/logs/arbiter" || fail "the arbiter does not say what to type"
    expect 0 "drivebay pki init" drivebay status
}
start_management_unheard
expect 0 "has its authority" drivebay pki init
until_true 5 "the arbiter listens" tcp_listens 4740
start_management
until_true 10 "the arbiter knows the data path" drivebay_add_probe_works
expect 1 "there is an authority already" drivebay pki init
for name in blade01 blade02 blade03; do
    enroll "$name"
done
start_blade blade01
start_double blade01
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "" drivebay drive add other --source "$images/other.img"
expect 0 "" drivebay present disk --to blade01 --access write
expect 0 "" drivebay present other --to blade02 --slot 1
cmp /srv/blade01/disk "$images/disk.img" || fail "the right blade reads something else"

# An operator's key lies in a folder of his own, and none that is there is made anybody's own.
adds() { expect "$1" "$2" drivebay operator add someone --to "$work/$3"; }
mkdir -m 1777 "$work/everybodys" && mkdir -m 755 "$work/own" && install -d -o nobody "$work/anothers" && : >"$work/file"
adds 1 "can be written to by others" everybodys
adds 1 "belongs to somebody else" anothers
adds 1 "is no folder" file
adds 0 "key and certificate are in" own
adds 1 "holds somebody's key already" own
adds 0 "key and certificate are in" fresh/folder/
[ "$(cd "$work" && stat -c %a everybodys own fresh/folder own/client-key.pem | tr '\n' ' ')" = "1777 755 700 600 " ] || fail "modes of folders: $(stat -c '%a %n' "$work"/*)"

# Those who come.
who=$work/who
mkdir -p "$who/none" "$who/foreign" "$who/expired"
cp -r "$work/identity-blade01" "$who/right"
cp -r "$work/identity-blade02" "$who/other"
cp -r "$work/identity-blade03" "$who/revoked"
for role in view operate admin; do
    expect 0 "" drivebay operator add "$role" --role "$role" --to "$who/$role"
done
pki=$work/arbiter/pki
# signed FOLDER CA_CERTIFICATE CA_KEY END [IDENTITY]: a certificate, for blade01 unless said otherwise, in FOLDER
signed() {
    cp "$pki/ca-cert.pem" "$1/ca-cert.pem"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=drivebay" -keyout "$1/client-key.pem" -out "$work/csr"
    mkdir -p "$work/demo" && : >"$work/demo/index" && echo 01 >"$work/demo/serial"
    printf '[ca]\ndefault_ca=a\n[a]\ndatabase=%s/demo/index\nserial=%s/demo/serial\nnew_certs_dir=%s/demo\ndefault_md=sha256\npolicy=p\n[p]\norganizationName=optional\n' \
        "$work" "$work" "$work" >"$work/demo/ca.cnf"
    openssl ca -batch -notext -config "$work/demo/ca.cnf" -cert "$2" -keyfile "$3" -in "$work/csr" -out "$1/client-cert.pem" \
        -startdate 20200101000000Z -enddate "$4" -extfile <(printf 'subjectAltName=URI:drivebay:%s\nextendedKeyUsage=clientAuth\n' "${5:-blade/blade01}")
}
cp "$pki/ca-cert.pem" "$who/none"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/O=drivebay" -keyout "$work/foreign-key.pem" \
    -out "$work/foreign-cert.pem" 2>>"$work/logs/openssl" || fail "no foreign authority"
signed "$who/foreign" "$work/foreign-cert.pem" "$work/foreign-key.pem" 20400101000000Z >>"$work/logs/openssl" 2>&1 || fail "no foreign certificate"
signed "$who/expired" "$pki/ca-cert.pem" "$pki/ca-key.pem" 20210101000000Z >>"$work/logs/openssl" 2>&1 || fail "no expired certificate"
expect 0 "blade03 is shut out" drivebay unenroll blade03
"$python" "$here/rights_matrix.py" "$who" >"$work/table" 2>&1 || { cat "$work/table"; fail "somebody may what is not his, or may not what is"; }
cat "$work/table"

# Each refusal was noted, for whom and why.
audit=$work/arbiter/audit.log
for reason in "no certificate was shown" "certificate has expired" "was revoked" "drivebay:blade/blade02 is not blade blade01" \
    "has the role view" "has the role operate" "and blade02 is a blade"; do
    until_true 5 "the audit log has \"$reason\"" grep -q "\"event\":\"denied\".*$reason" "$audit"
done
grep -q '"event":"denied".*drivebay:blade/blade01.*\(self\|issuer\|signature\)' "$audit" || fail "the foreign certificate's refusal is not in the audit log: $(grep denied "$audit" | head -n 4)"
# … those of the data path too.
for asked in 'blade/blade02 .*asked for blade01/disk: the export is another' 'role=admin .*asked for .*only blades have drives'; do
    until_true 5 "the audit log has \"$asked\"" grep -q "\"event\":\"denied\".*$asked" "$audit"
done

# F2: nothing but TLS 1.3, and nothing that was said before it counts.
address=127.0.0.1:10809/blade01/disk
expect 1 "TLS" nbdinfo --size "nbd://$address"
"$python" "$here/words_in_plain.py" 127.0.0.1:10809 blade01/disk "$who/right" || fail "the data path heeds what was said in plain"
expect 1 "" openssl s_client -tls1_2 -connect 127.0.0.1:4740
expect 0 "TLSv1.3" openssl s_client -tls1_3 -connect 127.0.0.1:4740
expect 3 "" drivebay --server 127.0.0.1:4740 status
expect 0 "blade01" drivebay --server 127.0.0.1:4740 --identity "$who/view" blade list
expect 1 "an admin's business" drivebay --server 127.0.0.1:4740 --identity "$who/operate" present disk --to blade02 --force

# A token is good once, and for its own module.
token=$(drivebay enroll blade04 --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)["token"])')
echo "identity = \"$work/identity-blade04\";" >"$work/etc/gadgetd-blade04.cfg"
enrolls() { expect "$1" "$2" drivebay-gadgetd --config "$work/etc/gadgetd-blade04.cfg" enroll --arbiter 127.0.0.1 --token "$3"; }
enrolls 1 "not all of it" "${token:0:40}"
echo "blade = \"blade05\";" >>"$work/etc/gadgetd-blade04.cfg"
enrolls 1 "the token is for blade blade04" "$token"
sed -i '/blade05/d' "$work/etc/gadgetd-blade04.cfg"
enrolls 0 "this is blade blade04 now" "$token"
enrolls 1 "used already" "$token"
mv "$pki" "$work/former-pki" && end_politely arbiter && start_arbiter
expect 0 "" drivebay pki init
until_true 5 "the arbiter listens" tcp_listens 4740
enrolls 1 "is not the management module that made this token, so nothing was told to it" "$token"
rm -r "$pki" && mv "$work/former-pki" "$pki" && end_politely arbiter && start_arbiter
until_true 10 "blade01 is online" status_is "blades['blade01']['online']"

# Renewal: the next certificate, with the same key, in the last month of one only.
echo "arbiter = \"127.0.0.1\";" >>"$work/etc/gadgetd-blade01.cfg"
expect 1 "the next one is given in its last 30" drivebay-gadgetd --config "$work/etc/gadgetd-blade01.cfg" renew
mkdir "$who/ending"
signed "$who/ending" "$pki/ca-cert.pem" "$pki/ca-key.pem" "$(date -u -d '+10 days' +%Y%m%d%H%M%SZ)" "blade/blade06" >>"$work/logs/openssl" 2>&1
echo "identity = \"$who/ending\"; arbiter = \"127.0.0.1\";" >"$work/etc/gadgetd-blade06.cfg"
expect 0 "renewed" drivebay-gadgetd --config "$work/etc/gadgetd-blade06.cfg" renew
openssl x509 -noout -checkend $((80 * 86400)) -in "$who/ending/client-cert.pem" || fail "the certificate is the same"
expect 1 "the next one is given in its last 30" drivebay-gadgetd --config "$work/etc/gadgetd-blade06.cfg" renew

# An operator's, in its last month, by itself.
mkdir "$who/late"
signed "$who/late" "$pki/ca-cert.pem" "$pki/ca-key.pem" "$(date -u -d '+10 days' +%Y%m%d%H%M%SZ)" "operator/late?role=view" >>"$work/logs/openssl" 2>&1
expect 0 "blade01" drivebay --server 127.0.0.1:4740 --identity "$who/late" blade list
openssl x509 -noout -checkend $((80 * 86400)) -in "$who/late/client-cert.pem" || fail "an operator's certificate was not renewed"

# Shut out: the session and the data within a second, and for good.
exec 8<>/srv/blade01/disk
began=${EPOCHREALTIME/./}
expect 0 "blade01 is shut out" drivebay unenroll blade01
until_true 1 "the session of a blade that was shut out ends" status_is "not blades['blade01']['online']"
until_true 1 "its connections end" grep -q "blade/blade01 was revoked" "$work/logs/management"
echo "shut out within $(((${EPOCHREALTIME/./} - began) / 1000)) ms"
expect 1 "" nbdinfo --size "nbds://$address?tls-certificates=$who/right"
! timeout 3 dd if=/srv/blade01/disk iflag=direct bs=64K count=1 status=none of=/dev/null 2>&1 || fail "a blade that was shut out reads on"
! status_is "blades['blade01']['online']" >/dev/null || fail "a blade that was shut out came back"
# And in again.
enroll blade01
until_true 15 "blade01 is online again" status_is "blades['blade01']['online']"
until_true 20 "it reads again" timeout 5 cmp -n 65536 /srv/blade01/disk "$images/disk.img"
