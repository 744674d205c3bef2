# The kit of the native tests: real daemons and real FUSE mounts on this machine, each test in a mount, network and
# process namespace of its own, so that default paths and ports are free and whatever a test starts ends with it.
# Sourced first thing by each test; a test ends with 0, or with 77 after skip().
#
#   start_arbiter, start_management, start_blade NAME, start_double NAME    one daemon, waited for until it is ready
#   end_now NAME (kill -9), end_politely NAME                               by the names above: arbiter, management, NAME, NAME-double
#   kill_server NAME              kill -9 of the server alone that a drivebayfs' keeper watches over
#   stop_now PID                  SIGSTOP; kill -CONT goes on with it
#   status_is EXPRESSION          a Python expression over the status: drives, blades, leases, presentations by name
#   data_path_is EXPRESSION…      the same over the management module's drivebayfs' own status: drives by name, views by (drive, blade)
#   until_true SECONDS WHAT CMD…  runs CMD until it is true; fails with WHAT
#   expect STATUS PART CMD…       CMD must end with STATUS and say PART on stdout or stderr (kept in $work/said)
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=$(cd "$top" && cd "${BUILD:-build/release}" && pwd) || exit 1
test_name=$(basename "$0" .sh)

skip() {
    echo "skip: $*"
    exit 77
}

if [ "${DRIVEBAY_KIT_INSIDE:-}" != yes ]; then
    [ "$(id -u)" -eq 0 ] || skip "namespaces and FUSE mounts need root here"
    [ -c /dev/fuse ] || skip "there is no /dev/fuse"
    export DRIVEBAY_KIT_INSIDE=yes
    exec unshare --mount --net --pid --fork --mount-proc --propagation private --kill-child=KILL "$0" "$@"
fi

work=${WORK:-$build/mount/$test_name}
rm -rf "$work"
mkdir -p "$work/logs" "$work/images" "$work/etc"
ip link set lo up
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /srv && mkdir -p /run/drivebay /srv/drivebay || exit 1
# A version manager's python3 takes longer to find Python than Python to run.
python=$(python3 -c 'import sys; print(sys.executable)')
export PATH="$build:$PATH" PYTHONDONTWRITEBYTECODE=1
unset DRIVEBAY_SERVER
images=$work/images
declare -A pids=()

fail() {
    echo "FAIL: $*" >&2
    drivebay status >&2 2>&1 || true
    for log in "$work"/logs/*; do
        echo "--- the end of $log" >&2
        tail -n 8 "$log" | cut -c 1-300 >&2
    done
    exit 1
}

until_true() {
    local limit=$1 what=$2
    shift 2
    local deadline=$((${EPOCHREALTIME/./} + limit * 1000000))
    until "$@" >"$work/last-try" 2>&1; do
        [ "${EPOCHREALTIME/./}" -lt "$deadline" ] || fail "not within $limit s: $what ($(tail -n 2 "$work/last-try" | tr '\n' ' '))"
        sleep 0.05
    done
}

expect() {
    local status=$1 part=$2 actual=0
    shift 2
    timeout -k 5 90 "$@" >"$work/said" 2>&1 </dev/null || actual=$?
    [ "$actual" -eq "$status" ] || fail "exit status $actual instead of $status: $* said: $(cat "$work/said")"
    [ -z "$part" ] || grep -qF -e "$part" "$work/said" || fail "\"$part\" is missing: $* said: $(cat "$work/said")"
}

status_is() {
    drivebay status --json 2>/dev/null | "$python" "$here/status_is.py" "$@"
}

data_path_is() { "$python" "$here/data_path_is.py" /run/drivebay/fusefs.sock "$@"; }

# is_running PID: a process that ended and was not waited for yet does not run.
is_running() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }

# start NAME PROGRAM ARGUMENTS…: in the background, with a log that goes on over restarts.
start() {
    local name=$1
    shift
    "$@" >>"$work/logs/$name" 2>&1 </dev/null 8>&- 9>&- &
    pids[$name]=$!
}

# A drivebayfs is a keeper and its server: both.
end_now() {
    local server
    server=$(server_of "$1")
    kill -9 "${pids[$1]}" $server
    wait "${pids[$1]}" 2>/dev/null
    [ -z "$server" ] || until_true 20 "the server of $1 is gone" eval "! kill -0 $server 2>/dev/null"
    unset "pids[$1]"
}

server_of() { pgrep -P "${pids[$1]}"; }

# Between two servers there is none to be killed.
kill_server() {
    local server
    server=$(server_of "$1") && kill -9 "$server" 2>/dev/null
}

# stop_now PID: SIGSTOP, and until every thread of it stands. Only a thread that takes the signal stops the others; before it comes to run, they go on.
stop_now() {
    kill -STOP "$1"
    until_true 5 "process $1 stands still" eval "! grep -h '^State:' /proc/$1/task/*/status | grep -qv T"
}

end_politely() {
    kill -TERM "${pids[$1]}"
    until_true 20 "$1 ends at SIGTERM" eval "! is_running ${pids[$1]}"
    wait "${pids[$1]}" || fail "$1 ended with status $? at SIGTERM"
    unset "pids[$1]"
}

# Settings that a test wants beside the kit's own, one a line, as they stand in the file.
arbiter_settings=""
management_settings=""
nbd_settings=""  # of the management module, within its group nbd
blade_settings=""
# Certificates are the subject of few tests; with "enrolled" they are made first.
arbiter_security=none
fusefs_security=none

start_arbiter() {
    mkdir -p "$work/arbiter"
    cat >"$work/etc/arbiter.cfg" <<CONFIG
socket = "/run/drivebay/arbiter.sock";
listen = [ "127.0.0.1:4740" ];
security = "$arbiter_security";
state_dir = "$work/arbiter";
audit_log = "$work/arbiter/audit.log";
$arbiter_settings
CONFIG
    start arbiter drivebay-arbiterd --foreground --config "$work/etc/arbiter.cfg"
    until_true 10 "the arbiter answers" drivebay status
}

start_management() {
    mkdir -p "$work/fusefs"
    cat >"$work/etc/fusefs.cfg" <<CONFIG
role = "management";
security = "$fusefs_security";
state_dir = "$work/fusefs";
socket = "/run/drivebay/fusefs.sock";
arbiter = "/run/drivebay/arbiter.sock";
pki = "$work/arbiter/pki";
nbd: { listen = [ "127.0.0.1:10809" ]; unix = "/run/drivebay/nbd.sock"; $nbd_settings };
$management_settings
CONFIG
    start management drivebayfs drivebay /srv/drivebay --foreground -o "config=$work/etc/fusefs.cfg"
    until_true 15 "the management module's drivebayfs is mounted" test -d /srv/drivebay/blades
    until_true 10 "the management module's drivebayfs listens" tcp_listens 10809
}

tcp_listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start_blade NAME [NBD_PORT]: the blade's drivebayfs at /srv/NAME, its socket /run/drivebay/NAME.sock
start_blade() {
    local name=$1 port=${2:-10809}
    mkdir -p "/srv/$name" "$work/$name"
    cat >"$work/etc/fusefs-$name.cfg" <<CONFIG
role = "blade";
blade = "$name";
security = "$fusefs_security";
state_dir = "$work/$name";
socket = "/run/drivebay/$name.sock";
management = "127.0.0.1:$port";
$([ "$fusefs_security" = none ] || echo "certificates = \"$work/identity-$name\";")
$blade_settings
CONFIG
    start "$name" drivebayfs "127.0.0.1:$port" "/srv/$name" --foreground -o "config=$work/etc/fusefs-$name.cfg"
    until_true 15 "$name's drivebayfs is mounted" mountpoint -q "/srv/$name"
}

# enroll NAME [ADDRESS]: the blade's certificate, in $work/identity-NAME; with fusefs_security=enrolled its mount uses that
enroll() {
    local token
    echo "identity = \"$work/identity-$1\"; blade = \"$1\";" >"$work/etc/gadgetd-$1.cfg"
    token=$(drivebay enroll "$1" --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)["token"])') || fail "no token for $1"
    expect 0 "this is blade $1 now" drivebay-gadgetd --config "$work/etc/gadgetd-$1.cfg" enroll --arbiter "${2:-127.0.0.1}" --token "$token"
}

# start_double NAME [SLOT_KINDS]: gadgetd's double over the blade's mount; its control socket is /run/drivebay/NAME.ctl
start_double() {
    local name=$1 kinds=${2:-cdrom,disk,disk,disk}
    status_is "'$name' in blades" >/dev/null || expect 0 "" drivebay blade add "$name"
    start "$name-double" "$python" "$here/blade_double.py" --blade "$name" --slots "$kinds" \
        --mount "/srv/$name" --drain "/run/drivebay/$name.sock" --control "/run/drivebay/$name.ctl" \
        --arbiter 127.0.0.1:4740 --session "$work/$name-session" \
        $([ "$arbiter_security" = none ] || echo --identity "$work/identity-$name")
    until_true 10 "$name is online" status_is "blades['$name']['online']"
}

# Everything of one blade.
start_whole_blade() {
    start_blade "$1"
    start_double "$1"
}

# double NAME COMMAND…: eject N, lock N, unlock N, silent, speak, state, write N OFFSET TEXT, read N OFFSET LENGTH
double() {
    local name=$1
    shift
    "$python" "$here/ask_double.py" "/run/drivebay/$name.ctl" "$@"
}

# stranger NAME ADDRESS: a raw NBD client that keeps its connections; see nbd_stranger.py for its words.
start_stranger() {
    start stranger "$python" "$here/nbd_stranger.py" /run/drivebay/stranger.ctl
    until_true 5 "the stranger's client is there" test -S /run/drivebay/stranger.ctl
}
stranger() { "$python" "$here/ask_double.py" /run/drivebay/stranger.ctl "$@"; }

# epoch_of DRIVE BLADE: of the lease that is held.
epoch_of() {
    drivebay status --json | "$python" -c '
import json, sys
drive, blade = sys.argv[1:]
print(*[l["epoch"] for l in json.load(sys.stdin)["leases"] if (l["drive"], l["blade"], l["state"]) == (drive, blade, "held")])' "$@"
}

# make_image FILE SIZE: of unlike blocks, so that a block at the wrong place is noticed.
make_image() {
    "$python" - "$1" "$(numfmt --from=iec "$2")" <<'PYTHON'
import random, sys
size = int(sys.argv[2])
source = random.Random(size)
with open(sys.argv[1], "wb") as image:
    for _ in range(size // 65536):
        image.write(source.randbytes(65536))
    image.write(source.randbytes(size % 65536))
PYTHON
}

# text_at FILE OFFSET LENGTH, read past every cache.
text_at() { dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" bs=4096 status=none | tr -d '\0'; }

# The usual chain: arbiter, management module, and whole blades by name.
start_chain() {
    start_arbiter
    start_management
    until_true 10 "the arbiter knows the data path" drivebay_add_probe_works
    local name
    for name in "$@"; do
        start_whole_blade "$name"
    done
}

# True once the data path answers the arbiter: a probe of nothing is refused for the right reason.
drivebay_add_probe_works() {
    drivebay drive add probe --source "$work/images/is-not-there" >"$work/probe" 2>&1
    ! grep -qi 'data path' "$work/probe" && grep -q 'is-not-there' "$work/probe"
}

# What operators' requests can change, as one line.
snapshot() { drivebay status --json | "$python" -c '
import json, sys
status = json.load(sys.stdin)
for lease in status["leases"]:
    del lease["age_ms"], lease["session_left_ms"]
print(json.dumps([status["drives"], status["presentations"], status["leases"]], sort_keys=True))'; }

# leases_in_short: who holds or awaits what, one lease a line.
leases_in_short() { drivebay leases --json | "$python" -c '
import json, sys
for lease in json.load(sys.stdin)["leases"]:
    print(*[lease[key] for key in ("drive", "blade", "mode", "epoch", "state")])'; }
