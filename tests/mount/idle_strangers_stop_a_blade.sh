#!/bin/bash
# Ten thousand connections that prove nothing: silent ones, senders of a byte now and then, and half handshakes. An enrolled blade reads on, its
# session is renewed, and the daemons' memory stays bounded. Strangers have processors of their own: here they take what nobody else wants, and
# what is left of the blade's speed is told beside a program that only does that. The limit is much lower than the goal of 90 %, as
# other tests use this machine meanwhile (ROUNDS=N: of two times two seconds). Those who have a right are heard, from an address that was never seen before, too.
. "$(dirname "$0")/kit.sh"
arbiter_security=enrolled fusefs_security=enrolled
arbiter_settings='lease = { ttl_ms = 3000; };'
make_image "$images/disk.img" 64M
start_arbiter
expect 0 "" drivebay pki init
enroll blade01
start_management
until_true 10 "the arbiter knows the data path" drivebay_add_probe_works
start_blade blade01
start_double blade01
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "" drivebay present disk --to blade01
expect 0 "" drivebay operator add ann --to "$work/ann"

memory() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
server=$(server_of management)
# reads: MiB a second, over two seconds
reads() {
    "$python" - <<'PYTHON'
import mmap, os, time
fd = os.open("/srv/blade01/disk", os.O_RDONLY | os.O_DIRECT)
buffer, place, done, begin = mmap.mmap(-1, 1 << 18), 0, 0, time.monotonic()
while time.monotonic() < begin + 2:
    place = (place + (1 << 18) + 4096) % (63 << 20)
    done += os.preadv(fd, [buffer], place)
print(round(done / (time.monotonic() - begin) / (1 << 20)))
PYTHON
}
median() { printf '%s\n' "$@" | sort -n | sed -n "$(($# / 2 + 1))p"; }
alone=$(median "$(reads)" "$(reads)" "$(reads)")
arbiter_memory=$(memory "${pids[arbiter]}") server_memory=$(memory "$server")
cat >"$work/strangers.py" <<'PYTHON'
"""COUNT connections to the two listeners, kept as long as the other side keeps them, and opened again."""
import resource, select, socket, ssl, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
count = int(sys.argv[1])
open_now, made = [], 0
hello = ssl.MemoryBIO()
try:
    ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="mm").do_handshake()
except ssl.SSLWantReadError:
    pass
# Half a handshake with each: a whole TLS hello, and NBD's STARTTLS, with nothing behind it.
halves = (hello.read(), b"\0\0\0\1IHAVEOPT\0\0\0\5\0\0\0\0")
def one(number):
    s = socket.socket()
    s.setblocking(False)
    s.bind((f"127.0.{1 + number % 200}.{1 + number % 97}", 0))
    try:
        s.connect(("127.0.0.1", (4740, 10809)[number % 2]))
    except BlockingIOError:
        pass
    if number % 6 < 2:
        try:
            s.send(halves[number % 2])
        except OSError:
            pass
    return s
while True:
    while len(open_now) < count:
        try:
            open_now.append(one(made))
        except OSError:
            break
        made += 1
        if made % 500 == 0:
            time.sleep(0.05)
            if made == count:
                print("all", flush=True)
    # A slow sender's byte, or the beginning of a TLS hello.
    for s in open_now[:: max(1, len(open_now) // 200)]:
        try:
            s.send(b"\x16\x03\x01"[: 1 + made % 3])
        except OSError:
            pass
    gone = set()
    for begin in range(0, len(open_now), 4000):
        poll = select.poll()
        part = {s.fileno(): s for s in open_now[begin:begin + 4000]}
        for fd in part:
            poll.register(fd, select.POLLIN | select.POLLHUP | select.POLLERR)
        for fd, _ in poll.poll(0):
            try:
                if not part[fd].recv(4096):
                    gone.add(fd)
            except BlockingIOError:
                pass
            except OSError:
                gone.add(fd)
    for s in [s for s in open_now if s.fileno() in gone]:
        open_now.remove(s)
        s.close()
    time.sleep(0.25)
PYTHON
start strangers chrt --idle 0 "$python" "$work/strangers.py" 10000
until_true 60 "the strangers are there" grep -q all "$work/logs/strangers"
start spinning chrt --idle 0 "$python" -c 'while True: pass'
epoch=$(epoch_of disk blade01)
beside_strangers=() beside_nothing=()
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; } # of 10 ms
taken=0
for _ in $(seq "${ROUNDS:-3}"); do
    stop_now "${pids[spinning]}"
    taken=$((taken - $(ticks "${pids[arbiter]}")))
    beside_strangers+=("$(reads)")
    taken=$((taken + $(ticks "${pids[arbiter]}")))
    kill -CONT "${pids[spinning]}"
    stop_now "${pids[strangers]}"
    beside_nothing+=("$(reads)")
    kill -CONT "${pids[strangers]}"
done
during=$(median "${beside_strangers[@]}") without=$(median "${beside_nothing[@]}")
echo "MiB/s: $alone alone, $without beside a program that takes what nobody wants, $during beside 10000 strangers ($((during * 100 / without)) %)"
echo "in each round: ${beside_strangers[*]} beside strangers, ${beside_nothing[*]} without; the arbiter took $((taken / ${#beside_nothing[@]} / 2)) % of a processor"
echo "memory: arbiter $arbiter_memory then $(memory "${pids[arbiter]}") KiB, drivebayfs $server_memory then $(memory "$server") KiB"
[ "$(epoch_of disk blade01)" = "$epoch" ] && status_is "blades['blade01']['online'] and blades['blade01']['session'] == 'live'" || fail "the blade lost its session"
[ "$(memory "${pids[arbiter]}")" -lt $((arbiter_memory + 131072)) ] || fail "the arbiter's memory grows"
[ "$(memory "$server")" -lt $((server_memory + 131072)) ] || fail "drivebayfs' memory grows"
[ $((during * 100)) -ge $((without * 60)) ] || fail "the blade's reads suffer"
# What they do to newcomers who have a right.
until_true 10 "an operator is heard" drivebay --server 127.0.0.1:4740 --identity "$work/ann" blade list
until_true 10 "a blade is heard" nbdinfo --size "nbds://127.0.0.1:10809/blade01/disk?tls-certificates=$work/identity-blade01"
"$python" - "$work/ann" <<'PYTHON' || fail "nobody hears an operator from an address that was never seen"
import socket, ssl, sys, time
context = ssl.create_default_context(cafile=f"{sys.argv[1]}/ca-cert.pem")
context.check_hostname = False
context.load_cert_chain(f"{sys.argv[1]}/client-cert.pem", f"{sys.argv[1]}/client-key.pem")
begin, tries, answer = time.monotonic(), 0, b""
while not answer.startswith(b"HTTP/1.1 200") and time.monotonic() < begin + 30:
    tries += 1
    try:
        with socket.create_connection(("127.0.0.1", 4740), 5, ("127.0.0.77", 0)) as plain, context.wrap_socket(plain) as secure:
            secure.sendall(b"GET /v1/status HTTP/1.1\r\nHost: mm\r\n\r\n")
            answer = secure.recv(64)
    except OSError:
        time.sleep(0.05)
print(f"an operator from a new address: heard after {time.monotonic() - begin:.2f} s, in try {tries}")
sys.exit(not answer.startswith(b"HTTP/1.1 200"))
PYTHON
