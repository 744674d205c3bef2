#!/bin/bash
# A server that hangs, of either drivebayfs, is killed by its keeper and started again, where a service manager asks for signs of life; the
# keeper itself goes on and answers. To the blade's host it was a pause.
. "$(dirname "$0")/kit.sh"
export WATCHDOG_USEC=12000000 NOTIFY_SOCKET="$work/notify"
"$python" - "$NOTIFY_SOCKET" >"$work/notified" <<'PYTHON' 8>&- 9>&- &
# The service manager: who says WATCHDOG=1.
import os, socket, struct, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
manager.bind(sys.argv[1])
while True:
    message, ancillary, *_ = manager.recvmsg(4096, 64)
    pid = struct.unpack("3i", ancillary[0][2][:12])[0]
    if b"WATCHDOG=1" in message:
        print(pid, flush=True)
PYTHON
until_true 10 "a service manager listens" test -S "$NOTIFY_SOCKET"
start_chain blade01
make_image "$images/disk.img" 8M
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "loaded on blade01" drivebay present disk --to blade01 --access write
epoch=$(epoch_of disk blade01)
beats() { grep -cx "${pids[$1]}" "$work/notified"; }

for name in blade01 management; do
    server=$(server_of $name)
    stop_now "$server"
    # Waits in the hanging server, and is answered by the next.
    dd if="/srv/blade01/disk@$epoch" of="$work/read" bs=64k iflag=direct status=none || fail "a read failed while the server of $name hung"
    cmp "$work/read" "$images/disk.img" || fail "what was read is not what is on the drive"
    dd if="$work/read" of="/srv/blade01/disk@$epoch" bs=64k oflag=direct conv=notrunc status=none ||
        fail "a write failed after the server of $name hung"
    [ "$(server_of $name)" != "$server" ] || fail "the server of $name was not replaced"
    is_running "${pids[$name]}" || fail "the keeper of $name ended"
    grep -q 'msg="the server hangs; it is killed"' "$work/logs/$name" || fail "the log of $name does not say why"
    before=$(beats $name)
    until_true 10 "the keeper of $name goes on answering" eval "[ \$(beats $name) -gt $before ]"
    grep -qx "$server" "$work/notified" && fail "a server answered in its keeper's place"
done
# One that is told to end, or that is slow, is not taken for one that hangs.
kills=$(cat "$work"/logs/* | grep -c 'the server hangs')
[ "$kills" -eq 2 ] || fail "$kills servers were killed, not 2"
expect 0 "withdrawn" drivebay withdraw disk --from blade01
end_politely blade01
