#!/bin/bash
# A5: a view for reading refuses writes through FUSE (EROFS) on both machines and through NBD (EPERM).
. "$(dirname "$0")/kit.sh"
start_chain blade01
make_image "$images/disk.img" 4M
before=$(sha256sum <"$images/disk.img")
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "loaded on blade01" drivebay present disk --to blade01 --access read

for file in /srv/drivebay/blades/blade01/disk /srv/blade01/disk; do
    expect 1 "Read-only file system" dd if=/dev/zero of=$file bs=4096 count=1 conv=notrunc
    expect 1 "Read-only file system" "$python" -c "import os; os.open('$file', os.O_RDWR)"
    cmp "$file" "$images/disk.img" || fail "$file does not read as the drive"
    [ "$(stat -c %a $file)" = 444 ] || fail "$file has mode $(stat -c %a $file)"
done
start_stranger
stranger open a 127.0.0.1:10809 blade01/disk >"$work/said" || fail "the export does not open: $(cat "$work/said")"
read -r size flags <"$work/said"
[ "$size" = 4194304 ] || fail "the export has $size bytes"
[ $((flags & 2)) -ne 0 ] || fail "the export does not say that it is read-only (flags $flags)"
answer=$(stranger write a 0 stray) && fail "a write through a read view was answered: $answer"
[ "$answer" != "${answer#error EPERM}" ] || fail "the write got $answer instead of EPERM"
stranger read a 0 16 >/dev/null || fail "a refused write broke the connection"
[ "$before" = "$(sha256sum <"$images/disk.img")" ] || fail "the drive has changed"
