#!/bin/bash
# While the host locks the door, withdraw and --take are refused after their deadline and nothing changes; --force fences
# first and says what may be lost.
. "$(dirname "$0")/kit.sh"
start_chain blade01 blade02
truncate -s 4M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "" drivebay present scratch --to blade01 --access write
epoch=$(epoch_of scratch blade01)
double blade01 lock 1 >/dev/null
expect 1 "door" drivebay withdraw scratch --from blade01 --deadline 1
status_is "leases['scratch', 'blade01']['state'] == 'held'" "leases['scratch', 'blade01']['epoch'] == $epoch" \
    "blades['blade01']['slots'][1]['state'] == 'loaded'" || fail "a refused withdrawal changed something"
double blade01 write 1 0 "still mine" >/dev/null || fail "blade01 cannot write after a refused withdrawal"
expect 1 "door" drivebay present scratch --to blade02 --access write --take --deadline 1
status_is "leases['scratch', 'blade01']['state'] == 'held'" "leases['scratch', 'blade01']['epoch'] == $epoch" \
    "('scratch', 'blade02') not in leases" || fail "a refused --take changed something"

# The door is opened within the deadline: everything the host wrote is on the drive
drivebay present scratch --to blade02 --access write --take --deadline 30 >"$work/take" 2>&1 &
take=$!
until_true 10 "blade01 is asked to eject" status_is "leases['scratch', 'blade01']['state'] == 'revoking'"
double blade01 unlock 1 >/dev/null
wait $take || fail "--take ended with status $?: $(cat "$work/take")"
[ "$(double blade02 read 1 0 10)" = "still mine" ] || fail "what blade01 wrote before --take is lost"
expect 0 "withdrawn" drivebay withdraw scratch --from blade02

expect 0 "" drivebay present scratch --to blade01 --access write
double blade01 lock 1 >/dev/null
expect 0 "loaded on blade02" drivebay present scratch --to blade02 --access write --force
status_is "('scratch', 'blade01') not in presentations" || fail "blade01 still has its presentation"
drivebay events | grep -i 'scratch' | grep -qi 'lost\|unknown\|drained' || fail "the events do not tell what became of blade01's writes"
