#!/bin/bash
# `events --follow` tells each event once, over a restart of the arbiter; the audit log has the same.
. "$(dirname "$0")/kit.sh"
start_chain blade01
truncate -s 4M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
drivebay events --follow --json >"$work/followed" 2>"$work/follow-errors" &
follower=$!
expect 0 "" drivebay present scratch --to blade01 --access write
expect 0 "" drivebay withdraw scratch --from blade01
until_true 10 "the withdrawal is told" grep -q '"released"\|"gone"\|"ended"\|"fenced"\|"withdrawn"' "$work/followed"
end_now arbiter
start_arbiter
until_true 15 "blade01 is back" status_is "blades['blade01']['online']"
expect 0 "" drivebay present scratch --to blade01 --access read
until_true 10 "what came after the restart is told" eval '[ "$(grep -c "\"mode\":\"read\"" "$work/followed")" -ge 1 ]'
kill $follower
"$python" - "$work/followed" "$work/arbiter/audit.log" <<'PYTHON' || fail "the followed events are not the audit log's"
import json, sys
followed = [json.loads(line) for line in open(sys.argv[1])]
audited = [json.loads(line) for line in open(sys.argv[2])]
ids = [event["id"] for event in followed]
assert ids == sorted(set(ids)), f"repeated or out of order: {ids}"
missing = [event for event in audited if event["id"] <= ids[-1] and event["id"] not in ids]
assert not missing, f"missed: {missing}"
assert all(event["time"] and event["event"] for event in followed)
PYTHON
expect 0 "scratch" drivebay events
last=$(drivebay events --json | tail -n 1 | "$python" -c 'import json, sys; print(json.loads(sys.stdin.readline())["id"])')
expect 0 "" drivebay events --after "$last"
[ ! -s "$work/said" ] || fail "--after $last still tells: $(cat "$work/said")"
