#!/bin/bash
# C5: a device that answers with errors, and one that stops answering for a while: their users get the error or wait, the user of another
# drive notices neither, nothing stays in flight, and when the device is well again so is the drive.
. "$(dirname "$0")/kit.sh"
command -v nbdkit >/dev/null || skip "nbdkit is not installed"
start_chain blade01
make_image "$images/remote.img" 8M
make_image "$images/here.img" 16M
# nbdkit's own filters: errors while $work/fail-… is there, and a pause that is begun and ended at a socket.
start failing nbdkit --foreground --unix /run/failing.sock --filter=error file "$images/remote.img" \
    error-pread=EIO error-pread-rate=100% error-pread-file="$work/fail-reads" \
    error-pwrite=ENOSPC error-pwrite-rate=100% error-pwrite-file="$work/fail-writes"
start slow nbdkit --foreground --unix /run/slow.sock --filter=pause memory 8M pause-control=/run/pause.sock
until_true 10 "nbdkit listens" test -S /run/failing.sock -a -S /run/slow.sock
expect 0 "" drivebay drive add failing --source "nbd+unix:///?socket=/run/failing.sock"
expect 0 "" drivebay drive add slow --source "nbd+unix:///?socket=/run/slow.sock"
expect 0 "" drivebay drive add here --source "$images/here.img"
for drive in failing slow here; do
    expect 0 "loaded on blade01" drivebay present $drive --to blade01 --access write
done
blades=/srv/drivebay/blades/blade01
# pause p, pause r: nbdkit-pause-filter(1)
pause() { "$python" -c '
import socket, sys
control = socket.socket(socket.AF_UNIX)
control.connect("/run/pause.sock")
control.sendall(sys.argv[1].encode())
sys.exit(control.recv(1).decode() != sys.argv[1].upper())' "$1" || fail "nbdkit is not paused or resumed"; }
start_stranger
stranger open failing /run/drivebay/nbd.sock blade01/failing >/dev/null || fail "the export does not open"
at_rest() { data_path_is "views['$1', 'blade01']['in_flight'] == 0" "drives['$1']['state'] == 'ready'"; }

cmp $blades/failing "$images/remote.img" || fail "the remote drive is read wrongly"
touch "$work/fail-reads" "$work/fail-writes"
for path in $blades/failing /srv/blade01/failing; do
    expect 1 "Input/output error" dd if=$path of=/dev/null bs=64k iflag=direct
    expect 1 "No space left on device" dd if=/dev/zero of=$path bs=64k count=4 oflag=direct conv=notrunc,fsync
done
answer=$(stranger read failing 1 5)
[ "$answer" != "${answer#error EIO}" ] || fail "a failing read was answered \"$answer\""
answer=$(stranger write failing 1 word)
[ "$answer" != "${answer#error ENOSPC}" ] || fail "a failing write was answered \"$answer\""
until_true 5 "nothing of the failing drive is in flight" at_rest failing
rm "$work/fail-reads" "$work/fail-writes"
cmp $blades/failing "$images/remote.img" || fail "the drive is not well again, or a refused write is on it"
cmp /srv/blade01/failing "$images/remote.img" || fail "the drive is not well again on the blade"

# Eight readers wait for the slow drive; while they do, the other drive is written and read to its end.
pause p
readers=()
for i in 0 1 2 3 4 5 6 7; do
    dd if=$blades/slow of=/dev/null bs=4096 skip=$i count=1 iflag=direct status=none &
    readers+=($!)
done
until_true 5 "the slow drive has requests in flight" data_path_is "views['slow', 'blade01']['in_flight'] == 8"
expect 0 "" fio --name=other --filename=$blades/here --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bs=16k \
    --size=4M --verify=crc32c --verify_fatal=1 --verify_state_save=0
cmp $blades/here "$images/here.img" || fail "the other drive is not read as it is"
data_path_is "views['slow', 'blade01']['in_flight'] == 8" || fail "the other drive's user waited for the slow one"
pause r
for reader in "${readers[@]}"; do
    wait "$reader" || fail "a reader of the slow drive got an error"
done
until_true 5 "nothing of the slow drive is in flight" at_rest slow
expect 0 "" drivebay withdraw slow --from all
