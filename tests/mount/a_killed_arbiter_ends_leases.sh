#!/bin/bash
# kill -9 of the arbiter: every lease and every I/O goes on, waiters keep their places, epochs go on rising.
. "$(dirname "$0")/kit.sh"
start_chain blade01 blade02
make_image "$images/disk.img" 32M
truncate -s 8M "$images/scratch.img"
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "" drivebay present disk --to blade01,blade02
expect 0 "slot 2" drivebay present scratch --to blade01 --access write
drivebay present scratch --to blade02 --access write --wait=90 >"$work/waiter" 2>&1 &
waiter=$!
until_true 10 "blade02 waits" status_is "leases['scratch', 'blade02']['state'] == 'waiting'"
before=$(leases_in_short)

end_now arbiter
expect 3 "cannot reach the arbiter" drivebay status
cmp /srv/blade01/disk "$images/disk.img" || fail "reading ended with the arbiter"
double blade01 write 2 0 "without arbiter" >/dev/null || fail "writing ended with the arbiter"
cmp /srv/drivebay/blades/blade02/disk "$images/disk.img" || fail "reading on the management module ended with the arbiter"

start_arbiter
until_true 15 "both blades are back" status_is "blades['blade01']['online']" "blades['blade02']['online']"
until_true 15 "the leases are what they were" eval '[ "$(leases_in_short)" = "$before" ]'
old=$(epoch_of scratch blade01)
double blade01 eject 2 >/dev/null || fail "host 1 cannot eject"
wait $waiter || fail "the waiter ended with status $?: $(cat "$work/waiter")"
[ "$(epoch_of scratch blade02)" -gt "$old" ] || fail "the epoch did not rise"
end_politely arbiter
start_arbiter
