#!/bin/bash
# C3: nbdinfo sees the export as it is, nbdcopy and qemu-img copy an image with holes into it and out of it again, by many
# requests on several connections, and nothing differs.
. "$(dirname "$0")/kit.sh"
command -v nbdcopy >/dev/null || skip "nbdcopy (libnbd-bin) is not installed"
command -v qemu-img >/dev/null || skip "qemu-img (qemu-utils) is not installed"
start_chain blade01
make_image "$images/disk.img" 40M
make_image "$images/read.img" 1M
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "" drivebay drive add read --source "$images/read.img" --read-only
expect 0 "loaded on blade01" drivebay present disk --to blade01 --access write
expect 0 "loaded on blade01" drivebay present read --to blade01
socket=/run/drivebay/nbd.sock
export="nbd+unix:///blade01/disk?socket=$socket"
read_only="nbd+unix:///blade01/read?socket=$socket"

# facts URI EXPRESSION…: over what nbdinfo tells of the one export.
facts() {
    local uri=$1
    shift
    expect 0 "" nbdinfo --json "$uri"
    "$python" - "$work/said" "$@" <<'PYTHON' || fail "nbdinfo of $uri: $(cat "$work/said")"
import json, sys
[export] = json.load(open(sys.argv[1]))["exports"]
wrong = [one for one in sys.argv[2:] if not eval(one, dict(export))]
sys.exit(f"not so: {wrong}" if wrong else 0)
PYTHON
}
can='can_flush and can_fua and can_multi_conn and can_trim and can_zero and can_df'
facts "$export" 'globals()["export-size"] == 40 << 20' "not is_read_only" "$can" 'block_size_minimum == 1' \
    'block_size_maximum == 32 << 20' 'description.startswith("drivebay boot=")' '"epoch=1" in description'
facts "$read_only" 'globals()["export-size"] == 1 << 20' is_read_only "can_multi_conn and not can_trim and not can_zero"
expect 0 41943040 nbdinfo --size "$export"
expect 0 blade01/disk nbdinfo --list "nbd+unix://?socket=$socket"
grep -q blade01/read "$work/said" || fail "the list lacks the second export: $(cat "$work/said")"
expect 1 "" nbdinfo "nbd+unix:///blade01/nothing?socket=$socket"

# Data, a hole, a zeroed stretch that is none, and odd edges between them.
make_image "$images/new.img" 40M
fallocate --punch-hole --offset 5M --length 9M "$images/new.img"
fallocate --punch-hole --offset 20000001 --length 3000003 "$images/new.img"
dd if=/dev/zero of="$images/new.img" bs=1M seek=30 count=2 conv=notrunc status=none
cp --sparse=always "$images/new.img" "$images/second.img"
fallocate --punch-hole --offset 0 --length 2M "$images/second.img"

same() { cmp "$1" "$2" || fail "$3"; }
expect 0 "" nbdcopy --connections=4 --requests=64 --flush "$images/new.img" "$export"
same "$images/new.img" "$images/disk.img" "nbdcopy into the export"
expect 0 "" nbdcopy --connections=4 --requests=64 --request-size=1048576 "$export" "$images/out.img"
same "$images/new.img" "$images/out.img" "nbdcopy out of the export"
expect 0 "" nbdcopy --synchronous "$images/second.img" "$export"
same "$images/second.img" "$images/disk.img" "nbdcopy into the export, one request at a time"
expect 1 "" nbdcopy "$images/read.img" "$read_only"

expect 0 "" qemu-img convert -n -W -m 16 -f raw -O raw "$images/new.img" "$export"
expect 0 identical qemu-img compare -f raw -F raw "$images/new.img" "$export"
same "$images/new.img" "$images/disk.img" "qemu-img convert into the export"
expect 0 "" qemu-img convert -W -m 16 -f raw -O qcow2 "$export" "$images/out.qcow2"
expect 0 identical qemu-img compare -f raw -F qcow2 "$images/new.img" "$images/out.qcow2"
expect 0 "" qemu-img convert -n -f qcow2 -O raw "$images/out.qcow2" "$export"
same "$images/new.img" "$images/disk.img" "qemu-img convert of a qcow2 image into the export"

# Where extents are told: a hole reads as zeroes, and no data is called a hole.
expect 0 "" nbdinfo --json "$export"
if grep -q '"base:allocation"' "$work/said"; then
    fallocate --punch-hole --offset 8M --length 4M "$images/disk.img"
    expect 0 "" nbdinfo --map --json "$export"
    "$python" - "$work/said" "$images/disk.img" <<'PYTHON' || fail "nbdinfo --map: $(cat "$work/said")"
import json, sys
extents = json.load(open(sys.argv[1]))
drive = open(sys.argv[2], "rb").read()
at = 0
for extent in extents:
    assert extent["offset"] == at and extent["length"] > 0, extent
    at += extent["length"]
    if extent["type"] & 2:
        assert not any(drive[extent["offset"]:at]), extent
assert at == len(drive), at
assert any(extent["type"] == 3 for extent in extents), "no hole is told"
PYTHON
fi
