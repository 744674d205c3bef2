#!/bin/bash
# kill -9 of the management module's drivebayfs while a blade writes and reads: a pause, and no lost or wrong byte; its
# admissions hold again at once, without any arbiter.
. "$(dirname "$0")/kit.sh"
start_chain blade01
truncate -s 64M "$images/scratch.img"
make_image "$work/data" 48M
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "" drivebay present scratch --to blade01 --access write
epoch=$(epoch_of scratch blade01)
file=/srv/blade01/scratch@$epoch
restart() { start management drivebayfs drivebay /srv/drivebay --foreground -o "config=$work/etc/fusefs.cfg"; }

for round in 1 2 3; do
    "$python" - "$work/data" "$file" "$work/progress" <<'PYTHON' &
import os, sys
# One request of 16 KiB at a time, as f_mass_storage sends them
fd = os.open(sys.argv[2], os.O_RDWR)
with open(sys.argv[1], "rb") as data, open(sys.argv[3], "w") as progress:
    offset = 0
    while block := data.read(16384):
        assert os.pwrite(fd, block, offset) == len(block)
        assert os.pread(fd, len(block), offset) == block, f"read back at {offset}"
        offset += len(block)
        if offset % (1 << 20) == 0:
            print(offset, file=progress, flush=True)
os.fsync(fd)
os.close(fd)
PYTHON
    writer=$!
    until_true 30 "the writer is at work" test -s "$work/progress"
    end_now management
    [ $round -ne 2 ] || end_now arbiter
    restart
    wait $writer || fail "round $round: the blade's I/O failed"
    [ $round -ne 2 ] || start_arbiter
    cmp -n $((48 * 1024 * 1024)) "$images/scratch.img" "$work/data" || fail "round $round: the drive differs"
    dd if=/dev/zero of="$images/scratch.img" bs=1M count=48 conv=notrunc status=none
    rm "$work/progress"
done
until_true 15 "the lease is what it was" status_is "leases['scratch', 'blade01']['state'] == 'held'" \
    "leases['scratch', 'blade01']['epoch'] == $epoch" "blades['blade01']['slots'][1]['state'] == 'loaded'"
cmp "/srv/drivebay/blades/blade01/scratch" "$images/scratch.img" || fail "the management module's own mount is not back"
expect 0 "withdrawn" drivebay withdraw scratch --from blade01
