#!/bin/bash
# C5: clients that ask and read no reply, stop in the middle of a message, flood and hang up, over and over; another blade goes
# on, by file and by export, with every byte right. When the rude ones are gone nothing of them is left: no request in flight,
# no descriptor, and their drive can be given to somebody else. SECONDS_EACH: how long each
# throughput is measured; RUDE: of which kinds the rude ones are (rude_nbd_clients.py).
. "$(dirname "$0")/kit.sh"
command -v fio >/dev/null || skip "fio is not installed"
start_chain blade01 blade02
# The rude ones' drive has a disk of its own, unless TOGETHER is set.
rude=${TOGETHER:+$images/rude.img}
mkdir "$work/apart"
mount -t tmpfs tmpfs "$work/apart" || fail "no tmpfs"
rude=${rude:-$work/apart/rude.img}
make_image "$rude" 40M
make_image "$images/good.img" 16M
expect 0 "" drivebay drive add rude --source "$rude"
expect 0 "" drivebay drive add good --source "$images/good.img"
expect 0 "loaded on blade01" drivebay present rude --to blade01 --access write
expect 0 "loaded on blade02" drivebay present good --to blade02 --access write
file=/srv/drivebay/blades/blade02/good
export='nbd+unix:///blade02/good?socket=/run/drivebay/nbd.sock'
seconds=${SECONDS_EACH:-1}

# Reads of 4 KiB a second, by file and by export.
throughput() {
    local how
    for how in "--filename=$file --direct=1 --ioengine=libaio" "--ioengine=nbd --uri=$export"; do
        # shellcheck disable=SC2086
        expect 0 "" fio --name=alone $how --iodepth=32 --rw=randread --bs=4k --size=16M --time_based --runtime="$seconds" --output-format=terse
        grep '^3;' "$work/said" | cut -d ';' -f 8
    done | xargs
}
descriptors() { find "/proc/${pids[management]}/fd" -mindepth 1 | wc -l; }
as_many_descriptors_as() { [ "$(descriptors)" -le "$1" ]; }

echo "reads a second by file and by export, alone: $(throughput)"
before=$(descriptors)
start rude "$python" "$here/rude_nbd_clients.py" 127.0.0.1:10809 blade01/rude "$work/ready" ${RUDE:-}
until_true 20 "the rude clients are all there" test -e "$work/ready"
echo "… beside clients that read nothing, stop and flood: $(throughput)"
for how in "--filename=$file --direct=1 --ioengine=libaio" "--ioengine=nbd --uri=$export"; do
    # shellcheck disable=SC2086
    expect 0 "" fio --name=verified $how --iodepth=16 --rw=randwrite --bsrange=512-64k --size=2M --verify=crc32c --verify_fatal=1 --verify_state_save=0
done
cmp "$file" "$images/good.img" || fail "the other drive is read wrongly"
status_is "blades['blade01']['online']" "blades['blade02']['online']" || fail "a blade went offline"
is_running "${pids[rude]}" || fail "the rude clients ended: $(tail -n 3 "$work/logs/rude")"
kib=$(awk '/VmHWM/ { print $2 }' "/proc/${pids[management]}/status")
echo "drivebayfs has had at most $kib KiB"

end_now rude
until_true 10 "nothing is in flight" data_path_is "views['rude', 'blade01']['in_flight'] == 0" "drives['rude']['state'] == 'ready'"
until_true 10 "the rude clients' descriptors are closed" as_many_descriptors_as "$before"
cmp /srv/drivebay/blades/blade01/rude "$rude" || fail "the rude clients' drive is read wrongly"
expect 0 "" drivebay withdraw rude --from blade01
expect 0 "loaded on blade02" drivebay present rude --to blade02 --access write
