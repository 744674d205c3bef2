#!/bin/bash
# The reconnect barrier: a client's higher instance shuts its lower one, which can never come back.
. "$(dirname "$0")/kit.sh"
start_chain blade01
truncate -s 4M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
# Slot 1's double has the blade's own connection; the stranger plays a blade that no daemon serves.
expect 0 "" drivebay blade add blade09
drivebay present scratch --to blade09 --slot 0 --access write >"$work/said" 2>&1 || fail "$(cat "$work/said")"
until_true 5 "blade09 is granted" status_is "leases['scratch', 'blade09']['state'] == 'held'"
export_name=blade09/scratch@$(epoch_of scratch blade09)
start_stranger
stranger open plain 127.0.0.1:10809 blade09/scratch >/dev/null || fail "no plain connection"
stranger open two 127.0.0.1:10809 "$export_name#2" >/dev/null || fail "no instance 2"
stranger open two-more /run/drivebay/nbd.sock "$export_name#2" >/dev/null || fail "instance 2 is not multi-conn"
stranger write two 0 "by two" >/dev/null || fail "instance 2 cannot write"
[ "$(stranger read two-more 0 6)" = "by two" ] || fail "connections of one instance differ"
stranger open three 127.0.0.1:10809 "$export_name#3" >/dev/null || fail "no instance 3"
for name in two two-more; do
    stranger write $name 0 "late" >"$work/said" && fail "instance 2 still writes after 3 was answered"
done
[ "$(stranger read three 0 6)" = "by two" ] || fail "instance 3 reads $(stranger read three 0 6)"
stranger open two-again 127.0.0.1:10809 "$export_name#2" >"$work/said" && fail "instance 2 came back after 3"
stranger open one 127.0.0.1:10809 "$export_name#1" >"$work/said" && fail "instance 1 came after 3"
stranger write three 0 "by three" >/dev/null || fail "instance 3 was disturbed"
[ "$(stranger read plain 0 8)" = "by three" ] || fail "a connection without an instance was shut"
for bad in "blade09/scratch@0" "blade09/scratch@99" "blade09/scratch#3" "blade09/scratch@x" "blade08/scratch" "scratch" "" \
    "$export_name#0" "$export_name#99999999999999999999" "blade09/../scratch"; do
    stranger open bad 127.0.0.1:10809 "$bad" >"$work/said" && fail "the export '$bad' can be opened"
done
expect 0 "" drivebay withdraw scratch --from blade09 --force
stranger open four 127.0.0.1:10809 "$export_name#4" >"$work/said" && fail "a fenced epoch can be opened by a new instance"
exit 0
