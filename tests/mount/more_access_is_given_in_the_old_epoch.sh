#!/bin/bash
# Read to write is release, queue, new epoch: alone a blade gets it at once; beside another reader it waits, and two that
# ask at once do not lock each other out.
. "$(dirname "$0")/kit.sh"
start_chain blade01 blade02
truncate -s 4M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "(read" drivebay present scratch --to blade01
first=$(epoch_of scratch blade01)
expect 0 "(write" drivebay present scratch --to blade01 --access write
[ "$(epoch_of scratch blade01)" -gt "$first" ] || fail "writing was given in epoch $first"
double blade01 write 1 0 "in the new one" >/dev/null || fail "blade01 cannot write"
expect 0 "(write, epoch $(epoch_of scratch blade01))" drivebay present scratch --to blade01 --access write
expect 0 "(read" drivebay present scratch --to blade01
status_is "len(leases) == 1" "presentations['scratch', 'blade01']['access'] == 'read'" || fail "something is left behind"
double blade01 write 1 0 "too much" >"$work/said" && fail "blade01 writes although it only reads"

expect 0 "(read" drivebay present scratch --to blade02
for blade in blade01 blade02; do
    drivebay present scratch --to $blade --access write --wait=30 >"$work/upgrade-$blade" 2>&1 &
    asked+=($!)
done
until_true 20 "one of the two writes" eval \
    'status_is "sum(l[\"mode\"] == \"write\" and l[\"state\"] == \"held\" for l in leases.values()) == 1"'
winner=$(leases_in_short | awk '$3 == "write" && $5 == "held" { print $2 }')
until_true 10 "it is loaded" status_is "blades['$winner']['slots'][1]['state'] == 'loaded'"
double "$winner" eject 1 >/dev/null || fail "$winner cannot eject"
for pid in "${asked[@]}"; do
    wait "$pid" || fail "one of the two was refused: $(cat "$work"/upgrade-*)"
done
