#!/bin/bash
# What a blade's host wrote is answered before the management module has it. It gets there all the same: when the management module
# is slow, when its server and the blade's are killed meanwhile, past the pause limit. A flush waits for it, and so does a read of it.
. "$(dirname "$0")/kit.sh"
blade_settings="pause_limit_ms = 4000;"
start_chain blade01
make_image "$images/shared.img" 4M
expect 0 "" drivebay drive add shared --source "$images/shared.img"
expect 0 "loaded on blade01" drivebay present shared --to blade01 --access write

# As a LUN does: open all the time, and never closed. Reads and flushes wait in threads of their own.
coproc { "$python" -uc '
import os, sys, threading
drive = os.open(sys.argv[1], os.O_RDWR)
print("open")
def do(word, offset="0", text=""):
    try:
        if word == "write":
            os.pwrite(drive, text.ljust(4096).encode(), int(offset))
        elif word == "write-much":
            for number in range(8):
                os.pwrite(drive, bytes(65536), (1 << 20) + (number << 16))
        elif word == "flush":
            os.fsync(drive)
        else:
            text = os.pread(drive, 4096, int(offset)).decode(errors="replace")[:5]
        print(word, "done", text)
    except OSError as error:
        print(word, error.strerror)
for line in sys.stdin:
    threading.Thread(target=do, args=line.split()).start()
' "/srv/blade01/shared@$(epoch_of shared blade01)" >"$work/host" 2>&1; }
slow=$(server_of management)
host() { echo "$*" >&"${COPROC[1]}"; }
said() { grep -q "^$1" "$work/host"; }
on_drive() { [ "$(text_at "$images/shared.img" "$1" ${#2})" = "$2" ]; }

until_true 5 "the host has the drive" said open
stop_now "$slow"
host write-much
until_true 3 "writes are answered although the management module is slow" said "write-much done"
host write 4096 first
until_true 3 "so is another one" said "write done first"
host read 4096
host flush
kill_server blade01
until_true 5 "another server took over" grep -q 'msg="taking over"' "$work/logs/blade01"
said flush && fail "a flush was answered before what was written is on the drive: $(cat "$work/host")"
on_drive 4096 first && fail "it is there too soon: nothing was shown"
# What the management module had received and not read is gone with its server, too.
kill_server management
until_true 10 "the flush is answered" said "flush done"
on_drive 4096 first || fail "an answered write is missing after a flush"
until_true 10 "the read is answered" said "read done first"

slow=$(server_of management)
# Past the pause limit: what is asked now fails, what was answered is sent when the link is back.
stop_now "$slow"
host write 8192 second
until_true 3 "a write is answered" said "write done second"
host read 0
until_true 10 "a read fails past the pause limit" said "read Input/output error"
on_drive 8192 second && fail "it is there too soon: nothing was shown"
kill -CONT "$slow"
until_true 10 "an answered write is sent past the pause limit" on_drive 8192 second
