#!/bin/bash
# A blade that falls silent keeps its lease while nobody wants it, and loses it after its TTL once somebody does; when it
# speaks again it learns that it has nothing.
. "$(dirname "$0")/kit.sh"
arbiter_settings='lease: { ttl_ms = 2000; };'
start_chain blade01 blade02
truncate -s 4M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "" drivebay present scratch --to blade01 --access write
epoch=$(epoch_of scratch blade01)
double blade01 cut >/dev/null
until_true 10 "blade01 is offline" status_is "not blades['blade01']['online']"
until_true 10 "its session has expired" status_is "blades['blade01']['session'] == 'expired'"
status_is "leases['scratch', 'blade01']['state'] == 'held'" "leases['scratch', 'blade01']['epoch'] == $epoch" ||
    fail "a lease that nobody wants ended with the session"
double blade01 write 1 0 "courtesy" >/dev/null || fail "its I/O ended with the session"
double blade01 speak >/dev/null
until_true 10 "blade01 is back" status_is "blades['blade01']['online']" "blades['blade01']['slots'][1]['state'] == 'loaded'"
[ "$(epoch_of scratch blade01)" = "$epoch" ] || fail "the lease did not revive"

double blade01 silent >/dev/null
expect 0 "loaded on blade02" drivebay present scratch --to blade02 --access write --wait=20
[ "$(double blade02 read 1 0 8)" = "courtesy" ] || fail "blade02 reads other bytes"
double blade01 write 1 0 "too late" >"$work/said" && fail "the silent blade still writes: $(cat "$work/said")"
[ "$(text_at "$images/scratch.img" 0 8)" = "courtesy" ] || fail "the silent blade's late write was applied"
double blade01 speak >/dev/null
until_true 15 "blade01 is back and empty" status_is "blades['blade01']['online']" "blades['blade01']['slots'][1]['state'] == 'empty'"
status_is "leases['scratch', 'blade02']['state'] == 'held'" || fail "blade02 was disturbed"
