#!/bin/bash
# C3: eight jobs of fio at once, each in its own part of one drive, find every block that they wrote: through the file with
# O_DIRECT and without, through the NBD export, in sizes of whole blocks and in odd ones, verified while others still write.
. "$(dirname "$0")/kit.sh"
command -v fio >/dev/null || skip "fio is not installed"
start_chain blade01
make_image "$images/disk.img" 64M
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "loaded on blade01" drivebay present disk --to blade01 --access write
file=/srv/drivebay/blades/blade01/disk
export='nbd+unix:///blade01/disk?socket=/run/drivebay/nbd.sock'

# verified NAME ARGUMENTS…: eight jobs of 8 MiB each.
verified() {
    local name=$1
    shift
    expect 0 "" fio --name="$name" --numjobs=8 --size=8M --offset_increment=8M --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
        --verify_backlog=32 --randrepeat=0 --group_reporting --output-format=terse "$@"
    # Fields 6 and 47: KiB read, that is verified, and KiB written (fio's HOWTO, "Terse output").
    grep '^3;' "$work/said" | awk -F ';' '{ exit !($6 == $47 && $6 > 0) }' || fail "$name verified too little: $(cat "$work/said")"
    echo "$name: $(grep '^3;' "$work/said" | cut -d ';' -f 6) KiB verified"
}

direct=(--filename="$file" --direct=1 --ioengine=libaio --iodepth=8)
nbd=(--ioengine=nbd --uri="$export" --iodepth=8)
verified direct-file "${direct[@]}" --rw=randwrite --bsrange=512-64k
verified direct-file-4k-and-512 "${direct[@]}" --rw=randwrite --bssplit=512/20:4k/60:36k/20
verified odd-file --filename="$file" --ioengine=psync --rw=write --bsrange=100-100000 --bs_unaligned --fsync=200
verified export "${nbd[@]}" --rw=randwrite --bsrange=512-64k
verified odd-export "${nbd[@]}" --rw=write --bsrange=100-100000 --bs_unaligned --fsync=200
cmp "$file" "$images/disk.img" || fail "the file does not read as what it is served from"
