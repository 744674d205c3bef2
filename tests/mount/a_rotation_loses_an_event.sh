#!/bin/bash
# The real logrotate with the file that is installed, while things happen and over restarts: every event is in the files once,
# in the order of its id, and no id comes twice.
. "$(dirname "$0")/kit.sh"
command -v logrotate >/dev/null || skip "there is no logrotate"
start_arbiter
sed "s|/var/log/drivebay/|$work/arbiter/|" "$top/arbiter/drivebay-arbiterd.logrotate" >"$work/etc/logrotate"
chmod 644 "$work/etc/logrotate"
grep -q "^$work/arbiter/audit.log {" "$work/etc/logrotate" || fail "the installed file is about another log"

rotate() { expect 0 "" logrotate --force --state "$work/logrotate.state" "$work/etc/logrotate"; }
# Blades come and go while it runs, and each must be told of.
keep_busy() {
    local n=0
    while [ ! -e "$work/enough" ]; do
        n=$((n + 1))
        drivebay blade add "blade$n" >/dev/null 2>&1 && echo "blade$n" >>"$work/added"
    done
}
added_more_than() { [ "$(wc -l <"$work/added" 2>/dev/null || echo 0)" -gt "$1" ]; }
# The log that the arbiter writes now is the one by that name.
log_goes_on() { [ -s "$work/arbiter/audit.log" ]; }
keep_busy &
busy=$!
for round in 1 2 3 4; do
    until_true 20 "blades are added" added_more_than $((round * 5))
    rotate
    until_true 10 "the arbiter writes into a new log" log_goes_on
    if [ $round -eq 2 ]; then
        end_politely arbiter
        rotate
        start_arbiter
    elif [ $round -eq 3 ]; then
        end_now arbiter
        start_arbiter
    fi
done
touch "$work/enough"
wait $busy
drivebay events --json >"$work/remembered" || fail "no events"
ls "$work/arbiter" | grep -q 'audit.log.2.gz' || fail "no older log is compressed: $(ls "$work/arbiter")"

"$python" - "$work" <<'PYTHON' || fail "an event is missing or in the wrong place"
import glob, gzip, json, re, sys
work = sys.argv[1]
number = lambda name: int((re.search(r"audit\.log\.(\d+)", name) or [0, 0])[1])
files = sorted(glob.glob(work + "/arbiter/audit.log*"), key=number, reverse=True)
events = []
for name in files:
    with (gzip.open if name.endswith(".gz") else open)(name, "rt") as log:
        events += [json.loads(line) for line in log if line.strip()]
ids = [event["id"] for event in events]
for before, after in zip(ids, ids[1:]):
    # A term begins its ids anew, higher.
    assert after == before + 1 or after // 1000000 > before // 1000000 or after > before + 1 and any(
        e["id"] == after and e["event"] == "arbiter-started" for e in events), (before, after)
added = [line.strip() for line in open(work + "/added")]
told = [event["blade"] for event in events if event["event"] == "blade-added"]
assert len(set(ids)) == len(ids)
assert [blade for blade in told if blade in added] == added, set(added) - set(told)
last = [json.loads(line) for line in open(work + "/remembered")][-1]["id"]
assert last == ids[-1], (last, ids[-1])
print(len(files), "files,", len(ids), "events,", len(added), "blades")
PYTHON
