#!/bin/bash
# A sparse image, local or at another server, has the same holes in a stranger's NBD client, in the management module's
# files and in a blade's; what is copied by them is the image.
. "$(dirname "$0")/kit.sh"
command -v qemu-nbd >/dev/null || skip "qemu-nbd (qemu-utils) is not installed"
command -v nbdinfo >/dev/null || skip "nbdinfo (libnbd-bin) is not installed"
start_chain blade01
for image in here there; do
    truncate -s 64M "$images/$image.img"
    for at in 0 1048576 40000000; do
        head -c 65536 /dev/urandom | dd of="$images/$image.img" oflag=seek_bytes seek=$at conv=notrunc status=none
    done
done
start server qemu-nbd --persistent --shared=8 --format=raw --bind=127.0.0.1 --port=10900 --read-only --export-name=x "$images/there.img"
until_true 10 "the remote server listens" tcp_listens 10900
expect 0 "" drivebay drive add here --source "$images/here.img"
expect 0 "" drivebay drive add there --source nbd://127.0.0.1:10900/x --read-only
expect 0 "" drivebay present here --to blade01
expect 0 "" drivebay present there --to blade01

cat >"$work/holes.py" <<'PYTHON'
import os, sys
fd, at, end = os.open(sys.argv[1], os.O_RDONLY), 0, os.stat(sys.argv[1]).st_size
while at < end:
    try:
        data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        assert error.errno == 6, error  # ENXIO: no more data
        break
    at = os.lseek(fd, data, os.SEEK_HOLE)
    print(data, at)
PYTHON
for drive in here there; do
    "$python" "$work/holes.py" "$images/$drive.img" >"$work/$drive.expected"
    [ "$(wc -l <"$work/$drive.expected")" -eq 3 ] || skip "the file system below has no holes"
    for file in /srv/drivebay/blades/blade01/$drive /srv/blade01/$drive; do
        "$python" "$work/holes.py" $file >"$work/found" || fail "no holes are told in $file"
        cmp "$work/$drive.expected" "$work/found" || fail "$file has other holes: $(tr '\n' ';' <"$work/found")"
    done
    uri=nbd://127.0.0.1:10809/blade01/$drive
    nbdinfo --map "$uri" >"$work/map" || fail "nbdinfo cannot map $drive"
    awk '$3 == 0 { print $1, $1 + $2 }' "$work/map" >"$work/found"
    cmp "$work/$drive.expected" "$work/found" || fail "a stranger sees other holes in $drive: $(tr '\n' ';' <"$work/map")"
    nbdcopy "$uri" "$work/copy" && cmp "$work/copy" "$images/$drive.img" || fail "nbdcopy's copy of $drive is another"
    expect 0 "can_cache: true" nbdinfo "$uri"
done
