#!/bin/bash
# With a certificate, TCP clients get nothing without TLS, and a blade trusts nobody whom its authority has not signed. With
# clients' authority a client without a certificate gets nothing either. What is read and written through TLS is what is there.
. "$(dirname "$0")/kit.sh"
command -v openssl >/dev/null || skip "openssl is not installed"
make_image "$images/disk.img" 24M
cp "$images/disk.img" "$work/before.img"

# signed FOLDER NAME EXTENSION: NAME-key.pem and NAME-cert.pem, signed by the folder's authority, which is made if need be
signed() {
    local folder=$1 name=$2 extension=$3
    mkdir -p "$folder"
    if [ ! -e "$folder/ca-cert.pem" ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=an authority" \
            -keyout "$folder/ca-key.pem" -out "$folder/ca-cert.pem"
    fi
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$folder/$name-key.pem" \
        -out "$work/$name.csr"
    openssl x509 -req -days 2 -in "$work/$name.csr" -CA "$folder/ca-cert.pem" -CAkey "$folder/ca-key.pem" -CAcreateserial \
        -extfile <(echo "$extension") -out "$folder/$name-cert.pem"
}
pki=$work/pki
signed "$pki" server "subjectAltName=IP:127.0.0.1,DNS:localhost" >"$work/logs/openssl" 2>&1 || fail "no certificates"
signed "$pki" client "extendedKeyUsage=clientAuth" >>"$work/logs/openssl" 2>&1 || fail "no certificates"
signed "$work/other" client "extendedKeyUsage=clientAuth" >>"$work/logs/openssl" 2>&1 || fail "no certificates"
mkdir "$work/only-ca" && cp "$pki/ca-cert.pem" "$work/only-ca"
certificate='certificate = "'$pki'/server-cert.pem"; key = "'$pki'/server-key.pem";'
nbd_settings="tls: { $certificate };"
blade_settings='certificates = "'$work/only-ca'";'
start_chain blade01
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "" drivebay present disk --to blade01 --access write

address=127.0.0.1:10809/blade01/disk
expect 1 "TLS" nbdinfo --size "nbd://$address"
expect 0 25165824 nbdinfo --size "nbds://$address?tls-certificates=$work/only-ca"
expect 1 "" nbdinfo --size "nbds://$address?tls-certificates=$work/other"
expect 0 25165824 nbdinfo --size "nbd+unix:///blade01/disk?socket=/run/drivebay/nbd.sock"
expect 0 "" nbdcopy "nbds://$address?tls-certificates=$work/only-ca" "$work/copy.img"
cmp "$work/copy.img" "$work/before.img" || fail "what was read through TLS is not what is there"

# The blade's own mount: reads, writes, and a restart of the server in between.
cmp /srv/blade01/disk "$work/before.img" || fail "the blade reads something else through TLS"
dd if=/dev/urandom of="$work/fresh" bs=1M count=8 status=none
dd if="$work/fresh" of=/srv/blade01/disk bs=64K oflag=direct conv=notrunc,fsync status=none || fail "no write through TLS"
exec 8</srv/blade01/disk
end_now management
start_management
timeout 60 cmp -n 8388608 /proc/self/fd/8 "$work/fresh" || fail "the blade does not come back through TLS"
exec 8<&-

# Who needs a certificate of his own.
end_politely management
nbd_settings="tls: { $certificate client_ca = \"$pki/ca-cert.pem\"; };"
start_management
expect 1 "" nbdinfo --size "nbds://$address?tls-certificates=$work/only-ca"
expect 1 "" nbdinfo --size "nbds://$address?tls-certificates=$work/other"
expect 0 25165824 nbdinfo --size "nbds://$address?tls-certificates=$pki"

# Mistakes are found before anything is served.
sed "s|server-key.pem|client-key.pem|" "$work/etc/fusefs.cfg" >"$work/etc/mistake.cfg"
expect 2 "client-key.pem" drivebayfs --check-config --config "$work/etc/mistake.cfg"
