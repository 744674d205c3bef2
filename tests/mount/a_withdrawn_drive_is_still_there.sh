#!/bin/bash
# A8: withdraw removes the file and ends the NBD connections; the next present loads with a new epoch.
. "$(dirname "$0")/kit.sh"
start_chain blade01
make_image "$images/disk.img" 4M
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "" drivebay present disk --to blade01
epoch=$(epoch_of disk blade01)
start_stranger
stranger open plain 127.0.0.1:10809 blade01/disk >/dev/null || fail "no plain connection"
stranger open bound /run/drivebay/nbd.sock "blade01/disk@$epoch" >/dev/null || fail "no connection bound to the epoch"
ls /srv/drivebay/blades/blade01 | grep -qx disk || fail "the file is not listed"
[ -e "/srv/drivebay/blades/blade01/disk@$epoch" ] || fail "the file is not found by its epoch"
ls /srv/drivebay/blades/blade01 | grep -q @ && fail "a name with an epoch is listed"

expect 0 "withdrawn" drivebay withdraw disk --from blade01
[ ! -e /srv/drivebay/blades/blade01/disk ] || fail "the file is still there"
[ ! -e "/srv/drivebay/blades/blade01/disk@$epoch" ] || fail "the file of the old epoch is still there"
[ ! -e /srv/blade01/disk ] || fail "the blade's file is still there"
for name in plain bound; do
    stranger read $name 0 16 >"$work/said" && fail "connection '$name' still reads"
done
stranger open again 127.0.0.1:10809 "blade01/disk@$epoch" >/dev/null && fail "the old epoch is served again"

expect 0 "" drivebay present disk --to blade01
[ "$(epoch_of disk blade01)" -gt "$epoch" ] || fail "the epoch did not rise"
stranger open again 127.0.0.1:10809 "blade01/disk@$epoch" >/dev/null && fail "the old epoch is served beside the new one"
cmp "/srv/blade01/disk@$(epoch_of disk blade01)" "$images/disk.img" || fail "the blade reads other bytes"
