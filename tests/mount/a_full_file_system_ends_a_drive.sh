#!/bin/bash
# C5: where a drive's file can grow no more its user gets ENOSPC, by every way and with many requests at once; what was there
# is there, what has its place can be changed, nothing stays in flight, and with room again the same write succeeds.
. "$(dirname "$0")/kit.sh"
[ -x "$build/random-operations" ] || fail "$build/random-operations is missing; make BUILD=$build $build/random-operations"
# ext4 takes O_DIRECT; a tmpfs is served through the page cache where the kernel has no O_DIRECT for it.
truncate -s 16M "$images/small.img"
mkfs.ext4 -q -m 0 -O ^has_journal "$images/small.img"
mkdir -p "$work/direct" "$work/cached"
mount -o loop "$images/small.img" "$work/direct" || skip "no loop device here"
mount -t tmpfs -o size=16M tmpfs "$work/cached" || fail "no tmpfs"
start_chain blade01
start_stranger

no_space() { expect 1 "No space left on device" "$@"; }

for kind in direct cached; do
    image=$work/$kind/drive.img
    truncate -s 48M "$image"
    make_image "$images/first.img" 1M
    dd if="$images/first.img" of="$image" conv=notrunc status=none
    expect 0 "" drivebay drive add "$kind" --source "$image"
    expect 0 "loaded on blade01" drivebay present "$kind" --to blade01 --access write
    file=/srv/drivebay/blades/blade01/$kind
    stranger open "$kind" /run/drivebay/nbd.sock "blade01/$kind" >/dev/null || fail "the export of $kind does not open"

    no_space dd if=/dev/urandom of="$file" bs=1M seek=1 oflag=direct conv=notrunc
    no_space dd if=/dev/urandom of="/srv/blade01/$kind" bs=1M seek=30 oflag=direct conv=notrunc,fsync
    no_space fio --name=flood --ioengine=nbd --uri="nbd+unix:///blade01/$kind?socket=/run/drivebay/nbd.sock" --iodepth=64 \
        --rw=randwrite --bs=64k --offset=20M --size=24M
    answer=$(stranger write "$kind" 47000001 "no room for this")
    [ "$answer" != "${answer#error ENOSPC}" ] || fail "a write without room was answered \"$answer\""

    cmp -n 1048576 "$file" "$images/first.img" || fail "what was there before is not there any more"
    dd if="$file" of=/dev/null bs=1M status=none || fail "$kind cannot be read to its end"
    stranger write "$kind" 777 "in its place" >/dev/null || fail "what has its place cannot be changed"
    [ "$(stranger read "$kind" 777 12)" = "in its place" ] || fail "the change is not there"
    data_path_is "drives['$kind']['state'] == 'ready'" || fail "the drive has failed: $(data_path_is False)"
    until_true 5 "nothing is in flight" data_path_is "views['$kind', 'blade01']['in_flight'] == 0"

    expect 0 "" fallocate --punch-hole --offset 1M --length 47M "$file"
    stranger write "$kind" 47000001 "room for this" >/dev/null || fail "a write with room again is refused"
    expect 0 "" random-operations --operations 500 --backing "$image" "$file"
    expect 0 "" drivebay withdraw "$kind" --from all
done
umount "$work/direct" 2>/dev/null || true
