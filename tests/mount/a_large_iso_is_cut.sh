#!/bin/bash
# A9: a 3 GiB ISO does not fit a USB CD-ROM; it becomes a read-only disk with a notice, or is refused with the reason.
. "$(dirname "$0")/kit.sh"
start_chain blade01
iso=$images/large.iso
truncate -s 3G "$iso"
printf 'CD001' | dd of="$iso" bs=1 seek=32769 conv=notrunc status=none
printf 'the last bytes' | dd of="$iso" bs=1 seek=$((3 * 1024 * 1024 * 1024 - 14)) conv=notrunc status=none
expect 0 "disk" drivebay drive add large --source "$iso"
grep -qi "read-only disk" "$work/said" || fail "nothing is said of why it is no CD-ROM: $(cat "$work/said")"
status_is "drives['large']['kind'] == 'disk'" "drives['large']['size'] == 3 * 1024 ** 3" "drives['large']['state'] == 'ready'" ||
    fail "the drive is not as told"
expect 1 "read" drivebay present large --to blade01 --access write
expect 0 "loaded on blade01" drivebay present large --to blade01
[ "$(stat -c %s /srv/blade01/large)" = 3221225472 ] || fail "the blade sees $(stat -c %s /srv/blade01/large) bytes"
[ "$(tail -c 14 /srv/blade01/large)" = "the last bytes" ] || fail "its end is cut"

small=$images/small.iso
truncate -s 1M "$small"
printf 'CD001' | dd of="$small" bs=1 seek=32769 conv=notrunc status=none
expect 0 "cdrom" drivebay drive add small --source "$small"
expect 1 "read" drivebay present small --to blade01 --access write
expect 0 "slot 0" drivebay present small --to blade01
