#!/bin/bash
# C5: where a drive's file has been cut short under it, what lies behind the cut is EIO by every way, for odd writes too, with
# many requests at once; what lies before it is read, nothing stays in flight, and once the file is whole again so is the drive.
. "$(dirname "$0")/kit.sh"
mkdir -p "$work/cached"
mount -t tmpfs tmpfs "$work/cached" || fail "no tmpfs"
start_chain blade01
start_stranger
for kind in direct cached; do
    image=$images/drive.img
    [ "$kind" = direct ] || image=$work/cached/drive.img
    make_image "$image" 8M
    cp "$image" "$images/before.img"
    expect 0 "" drivebay drive add "$kind" --source "$image"
    expect 0 "loaded on blade01" drivebay present "$kind" --to blade01 --access write
    file=/srv/drivebay/blades/blade01/$kind
    stranger open "$kind" /run/drivebay/nbd.sock "blade01/$kind" >/dev/null || fail "the export of $kind does not open"
    # In the middle of a block, so that a read there comes back short.
    truncate -s 4000100 "$image"

    io_error() { expect 1 "Input/output error" "$@"; }
    for path in "$file" "/srv/blade01/$kind"; do
        io_error dd if="$path" of=/dev/null bs=1M skip=5 count=1 iflag=direct
        io_error dd if="$path" of=/dev/null bs=4096 skip=3999500 count=1200 iflag=skip_bytes,count_bytes
        io_error dd if="$path" of=/dev/null bs=4096 skip=$((4000100 / 4096)) count=1
        dd if="$path" bs=4096 count=976 status=none | cmp -n $((976 * 4096)) - "$images/before.img" || fail "$path: what lies before the cut is not read"
    done
    io_error fio --name=many --filename="$file" --direct=1 --ioengine=libaio --iodepth=64 --rw=randread --bs=16k --offset=4M --size=3M
    expect 1 "" fio --name=export --ioengine=nbd --uri="nbd+unix:///blade01/$kind?socket=/run/drivebay/nbd.sock" --iodepth=64 \
        --rw=randread --bs=16k --offset=4M --size=3M
    answer=$(stranger read "$kind" 6000001 100)
    [ "$answer" != "${answer#error EIO}" ] || fail "a read behind the cut was answered \"$answer\""
    if [ "$kind" = direct ]; then
        # It would have to read the block for its other bytes.
        answer=$(stranger write "$kind" 6000001 "odd")
        [ "$answer" != "${answer#error EIO}" ] || fail "an odd write behind the cut was answered \"$answer\""
    fi
    until_true 5 "nothing is in flight" data_path_is "views['$kind', 'blade01']['in_flight'] == 0" "drives['$kind']['state'] == 'ready'"

    cp --sparse=never "$images/before.img" "$image"
    cmp "$file" "$images/before.img" || fail "$file: the file is whole again, and the drive is not"
    expect 0 "" drivebay withdraw "$kind" --from all
done
