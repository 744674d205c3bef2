#!/bin/bash
# ^C and SIGTERM during --wait leave the queue, as its limit does; a waiter whose turn came is not thrown away.
. "$(dirname "$0")/kit.sh"
start_chain blade01 blade02
truncate -s 4M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "" drivebay present scratch --to blade01 --access write
for signal in INT TERM; do
    # A shell ignores SIGINT for what it starts in the background; env gives it back
    env --default-signal=INT drivebay present scratch --to blade02 --access read --wait >"$work/waiter" 2>&1 &
    waiter=$!
    until_true 5 "blade02 waits" status_is "leases['scratch', 'blade02']['state'] == 'waiting'"
    kill -$signal $waiter
    status=0
    wait $waiter || status=$?
    [ $status -eq 1 ] || fail "the waiter ended with status $status at SIG$signal: $(cat "$work/waiter")"
    grep -q "left the queue" "$work/waiter" || fail "the waiter said: $(cat "$work/waiter")"
    status_is "('scratch', 'blade02') not in leases" || fail "SIG$signal left a waiter behind"
done
