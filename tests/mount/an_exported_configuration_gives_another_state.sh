#!/bin/bash
# What export-config writes gives an arbiter with an empty store the same drives, blades and presentations; what is there stays, and what is
# there otherwise is refused.
. "$(dirname "$0")/kit.sh"
start_chain blade01
expect 0 "" drivebay blade add blade02
make_image "$images/install.iso" 4M
make_image "$images/an odd \"name\".img" 4M
expect 0 "" drivebay drive add install --source "$images/install.iso" --read-only
expect 0 "" drivebay drive add scratch --source "$images/an odd \"name\".img"
expect 0 "" drivebay present install --to blade01
expect 0 "" drivebay present install --to blade02 --slot 0
expect 0 "" drivebay present scratch --to blade01 --access write --slot 3
drivebay export-config >"$work/exported.cfg" || fail "export-config"
drivebay export-config --json | "$python" -c 'import json, sys; state = json.load(sys.stdin); sys.exit(len(state["presentations"]) != 3)' ||
    fail "the exported JSON has not the three presentations"
expect 0 "0 entered, 7 there already" drivebay import-config "$work/exported.cfg"

# An empty store: the old one is gone with its machine.
end_now blade01-double
end_politely arbiter
rm -r "$work/arbiter"
start_arbiter
until_true 10 "the arbiter knows the data path" drivebay_add_probe_works
status_is "not drives and not presentations" || fail "the new arbiter is not empty"
expect 0 "7 entered, 0 there already" drivebay import-config "$work/exported.cfg"
drivebay export-config >"$work/again.cfg" || fail "export-config"
diff "$work/exported.cfg" "$work/again.cfg" || fail "the state differs"
start_double blade01
until_true 30 "the blade has its drive in its slot again" status_is "any(l['drive'] == 'scratch' and l['state'] == 'held' and l['slot'] == 3 for l in status['leases'])"

before=$(snapshot)
sed 's#install.iso#other.iso#' "$work/exported.cfg" >"$work/other.cfg"
expect 1 "there is another drive install" drivebay import-config "$work/other.cfg"
sed 's#"write"#"read"#' "$work/exported.cfg" >"$work/other.cfg"
expect 1 "drivebay withdraw scratch --from blade01" drivebay import-config "$work/other.cfg"
echo 'drvies = ();' >"$work/other.cfg"
expect 1 "other.cfg:1: unknown key \`drvies\`" drivebay import-config "$work/other.cfg"
expect 1 "cannot be read" drivebay import-config "$work/is-not-there.cfg"
expect 2 "" drivebay import-config
[ "$(snapshot)" = "$before" ] || fail "a refused import changed something"
