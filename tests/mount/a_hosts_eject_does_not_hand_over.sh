#!/bin/bash
# A4, natively: host 1 writes and ejects; host 2, which waits, gets the drive by itself, with what host 1 wrote.
. "$(dirname "$0")/kit.sh"
start_chain blade01 blade02
make_image "$images/scratch.img" 8M
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "" drivebay present scratch --to blade01 --access write
first=$(epoch_of scratch blade01)
double blade01 write 1 1048577 "written by host 1" >/dev/null || fail "host 1 cannot write"
drivebay present scratch --to blade02 --access write --wait=30 >"$work/waiter" 2>&1 &
waiter=$!
until_true 5 "blade02 waits" status_is "leases['scratch', 'blade02']['state'] == 'waiting'"
double blade01 eject 1 >/dev/null || fail "host 1 cannot eject"
wait $waiter || fail "the waiter ended with status $?: $(cat "$work/waiter")"
grep -q "loaded on blade02" "$work/waiter" || fail "the waiter said: $(cat "$work/waiter")"
[ "$(epoch_of scratch blade02)" = $((first + 1)) ] || fail "the epoch went from $first to $(epoch_of scratch blade02)"
status_is "('scratch', 'blade01') not in leases" "('scratch', 'blade01') not in presentations" \
    "blades['blade01']['slots'][1]['state'] == 'ejected-by-host'" || fail "blade01 still has something of it"
[ "$(double blade02 read 1 1048577 17)" = "written by host 1" ] || fail "host 2 does not see what host 1 wrote"
[ "$(text_at "$images/scratch.img" 1048577 17)" = "written by host 1" ] || fail "it is not on the drive"
[ ! -e "/srv/drivebay/blades/blade01/scratch" ] || fail "blade01's file is still there"
