#!/bin/bash
# An arbiter that is started on an old copy of the store is rejected by its term: by blades, so that it ends; and once the
# data path has obeyed a later one, the earlier ends when it hears of that.
. "$(dirname "$0")/kit.sh"
arbiter_settings='lease = { ttl_ms = 1000; };'
make_image "$images/scratch.img" 1M
start_chain blade01
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
cp -r "$work/arbiter" "$work/old"
expect 0 "" drivebay present scratch --to blade01 --access write
epoch=$(epoch_of scratch blade01)
for _ in 1 2; do
    end_politely arbiter
    start_arbiter
    until_true 10 "blade01 is online again" status_is "blades['blade01']['online']"
done

start_old() {
    cat >"$work/etc/old.cfg" <<CONFIG
socket = "/run/drivebay/old.sock";
listen = [ "127.0.0.1:4741" ];
security = "none";
state_dir = "$work/old";
audit_log = "$work/old-audit.log";
lease = { ttl_ms = 1000; };
CONFIG
    start old drivebay-arbiterd --foreground --config "$work/etc/old.cfg"
    until_true 10 "the old arbiter answers" drivebay --server /run/drivebay/old.sock status
}

# old_ended SENTENCE
old_ended() {
    until_true 10 "the old arbiter has ended" eval "! is_running ${pids[old]}"
    wait "${pids[old]}" && fail "it ended with status 0"
    grep -qF -e "$1" "$work/logs/old" || fail "it did not say: $1"
}

# A blade that has heard the later arbiter turns the old one down, and that one notices. Nothing came to it in between.
start_old
"$python" - "$here" >"$work/refused" <<'PYTHON' || fail "the old arbiter did not turn the blade down"
import sys
sys.path.insert(0, sys.argv[1])
from websocket_client import WebSocket
link = WebSocket("127.0.0.1:4741", "/v1/link/blade")
link.send({"type": "hello", "protocol": 1, "blade": "blade01", "session": None, "boot_id": "x", "term": 9,
           "observed": {"version": 0, "udc": "", "speed": "", "slots": []}})
answer = link.receive()
assert answer["type"] == "refused", answer
print(answer["reason"])
PYTHON
old_ended "it runs on an old copy of the store, so it ends"
[ "$(epoch_of scratch blade01)" = "$epoch" ] || fail "the lease was touched"

# Where the data path comes to it, it goes above what it hears, and says so; what it does not know of is fenced.
start_old
end_politely management
sed -i 's,arbiter.sock,old.sock,' "$work/etc/fusefs.cfg"
start management drivebayfs drivebay /srv/drivebay --foreground -o "config=$work/etc/fusefs.cfg"
until_true 15 "the old arbiter went above the term that it heard" grep -q term-raised "$work/old-audit.log"
until_true 10 "what it does not know of is fenced" grep -q stray-admission "$work/old-audit.log"

# And the other one, which led before, ends as soon as the data path comes back to it.
end_politely management
sed -i 's,old.sock,arbiter.sock,' "$work/etc/fusefs.cfg"
start management drivebayfs drivebay /srv/drivebay --foreground -o "config=$work/etc/fusefs.cfg"
until_true 15 "the former arbiter has ended" eval "! is_running ${pids[arbiter]}"
wait "${pids[arbiter]}" && fail "it ended with status 0"
grep -qF "has obeyed an arbiter of term" "$work/logs/arbiter" || fail "it did not say why it ended"
unset "pids[arbiter]"

# Started again it leads: its store is the older one now, and it goes above that.
start_arbiter
until_true 15 "it went above the other's term" grep -q term-raised "$work/arbiter/audit.log"
until_true 15 "blade01 has the drive again, above every epoch there was" \
    status_is "leases['scratch', 'blade01']['state'] == 'held'" "leases['scratch', 'blade01']['epoch'] > $epoch"
