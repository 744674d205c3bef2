#!/bin/bash
# Ten thousand connections that prove nothing: silent ones, senders of a byte now and then, and half handshakes. An enrolled blade reads on, its
# session is renewed, and the daemons' memory stays as it was. What is left of its speed is printed; the limit is much lower than the
# goal of 90 %, as other tests use this machine meanwhile. Strangers have processors of their own: here they take what nobody else wants.
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
# reads: MiB a second, the median of three times two seconds
reads() {
    "$python" - <<'PYTHON'
import mmap, os, statistics, time
fd = os.open("/srv/blade01/disk", os.O_RDONLY | os.O_DIRECT)
buffer, place, speeds = mmap.mmap(-1, 1 << 18), 0, []
for _ in range(3):
    done, begin = 0, time.monotonic()
    while time.monotonic() < begin + 2:
        place = (place + (1 << 18) + 4096) % (63 << 20)
        done += os.preadv(fd, [buffer], place)
    speeds.append(done / (time.monotonic() - begin) / (1 << 20))
print(round(statistics.median(speeds)))
PYTHON
}
before=$(reads)
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
epoch=$(epoch_of disk blade01)
during=$(reads)
echo "MiB/s: $before alone, $during beside 10000 strangers ($((during * 100 / before)) %)"
echo "memory: arbiter $arbiter_memory then $(memory "${pids[arbiter]}") KiB, drivebayfs $server_memory then $(memory "$server") KiB"
[ "$(epoch_of disk blade01)" = "$epoch" ] && status_is "blades['blade01']['online'] and blades['blade01']['session'] == 'live'" || fail "the blade lost its session"
[ "$(memory "${pids[arbiter]}")" -lt $((arbiter_memory + 131072)) ] || fail "the arbiter's memory grows"
[ "$(memory "$server")" -lt $((server_memory + 131072)) ] || fail "drivebayfs' memory grows"
[ $((during * 100)) -ge $((before * 50)) ] || fail "the blade's reads suffer"
# What they do to newcomers who have a right.
until_true 10 "an operator is heard" drivebay --server 127.0.0.1:4740 --identity "$work/ann" blade list
until_true 10 "a blade is heard" nbdinfo --size "nbds://127.0.0.1:10809/blade01/disk?tls-certificates=$work/identity-blade01"
