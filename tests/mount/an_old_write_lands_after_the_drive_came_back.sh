#!/bin/bash
# A11: blade01's link is held up with a write in it; blade02 is granted, writes, releases; blade01 is granted again. The
# old write must not be applied: not by the blade's own client, nor through a FUSE handle or a connection kept open.
. "$(dirname "$0")/kit.sh"
blade_settings='pause_limit_ms = 60000;'
start_arbiter
start_management
until_true 10 "the arbiter knows the data path" drivebay_add_probe_works
start link "$python" "$here/cuttable_link.py" 10810 10809 /run/drivebay/link.ctl
until_true 5 "the link is there" test -S /run/drivebay/link.ctl
link() { "$python" "$here/ask_double.py" /run/drivebay/link.ctl "$@"; }
start_blade blade01 10810
start_double blade01
start_whole_blade blade02
truncate -s 8M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "loaded on blade01" drivebay present scratch --to blade01 --access write
old=$(epoch_of scratch blade01)
double blade01 write 1 0 "before" >/dev/null || fail "blade01 cannot write"

start_stranger
stranger open plain 127.0.0.1:10809 blade01/scratch >/dev/null || fail "the stranger cannot connect"
stranger open bound 127.0.0.1:10809 "blade01/scratch@$old" >/dev/null || fail "the stranger cannot connect to the epoch"
exec 9<>/srv/drivebay/blades/blade01/scratch || fail "no handle on the management module"

link stall >/dev/null
double blade01 write 1 0 "old write of the blade" >"$work/old-write" 2>&1 &
old_write=$!
until_true 5 "the write is on its way" eval '[ "$(link kept)" -gt 20 ]'

# The holder cannot answer: fence it.
expect 0 "" drivebay present scratch --to blade02 --access write --force
double blade02 write 1 0 "blade02 was here" >/dev/null || fail "blade02 cannot write"
double blade02 eject 1 >/dev/null || fail "blade02 cannot eject"
until_true 20 "blade02 has released" status_is "('scratch', 'blade02') not in leases"
drivebay present scratch --to blade01 --access write >"$work/again" 2>&1 &
again=$!
until_true 20 "blade01 is granted again" status_is "leases['scratch', 'blade01']['state'] == 'held'" \
    "leases['scratch', 'blade01']['epoch'] > $old + 1"

check_drive() { [ "$(text_at "$images/scratch.img" 0 64)" = "blade02 was here" ] || fail "$1: $(text_at "$images/scratch.img" 0 64)"; }
check_drive "before the old write was even delivered"
stranger write plain 0 "stranger's late write" >"$work/said" && fail "a stranger's connection of the old epoch still writes"
stranger write bound 0 "stranger's late write" >"$work/said" && fail "a connection bound to the old epoch still writes"
check_drive "a stranger's late write was applied"
printf 'handle write' >&9 2>/dev/null && fail "an old FUSE handle still writes"
check_drive "a write through an old FUSE handle was applied"
exec 9>&-
link deliver >/dev/null
wait $old_write
grep -q '^error' "$work/old-write" || fail "the old write was answered: $(cat "$work/old-write")"
wait $again || fail "blade01 was not loaded again: $(cat "$work/again")"
check_drive "the blade's old write was applied"
stranger open late 127.0.0.1:10809 "blade01/scratch@$old" >/dev/null && fail "the old epoch can be opened"
[ ! -e "/srv/drivebay/blades/blade01/scratch@$old" ] || fail "the old epoch's file can be found"
double blade01 write 1 0 "blade01 again" >/dev/null || fail "blade01 cannot write in its new epoch"
[ "$(text_at "$images/scratch.img" 0 13)" = "blade01 again" ] || fail "its new write is not on the drive"
