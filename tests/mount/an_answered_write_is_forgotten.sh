#!/bin/bash
# What a blade's host wrote is answered before the management module has it. It gets there all the same: when the management module
# is slow, when its server and the blade's are killed meanwhile, past the pause limit. A flush waits for it, and so does a read of it.
. "$(dirname "$0")/kit.sh"
blade_settings="pause_limit_ms = 4000;"
start_chain blade01
make_image "$images/shared.img" 4M
expect 0 "" drivebay drive add shared --source "$images/shared.img"
expect 0 "loaded on blade01" drivebay present shared --to blade01 --access write
# As a LUN has it: open all the time, and without a cache.
exec {file}<>"/srv/blade01/shared@$(epoch_of shared blade01)"
slow=$(server_of management)
on_file() { "$python" -c "import os; $1" <&"$file"; }
write() { on_file "os.pwrite(0, b'$2'.ljust(4096), $1)"; }
on_drive() { [ "$(text_at "$images/shared.img" "$1" ${#2})" = "$2" ]; }

kill -STOP "$slow"
timeout 4 "$python" -c 'import os; [os.pwrite(0, bytes(65536), 1 << 20 | n << 16) for n in range(8)]' <&"$file" ||
    fail "writes wait for a management module that is slow"
write 4096 first
on_file "print(os.pread(0, 5, 4096).decode())" >"$work/read" &
reader=$!
on_file "os.fsync(0)" &
flush=$!
kill_server blade01
until_true 5 "another server took over" grep -q 'msg="taking over"' "$work/logs/blade01"
is_running $flush || fail "a flush was answered before what was written is on the drive"
on_drive 4096 first && fail "it is there too soon: nothing was shown"
# What the management module had received and not read is gone with its server, too.
kill_server management
wait $flush || fail "the flush failed"
on_drive 4096 first || fail "an answered write is missing after a flush"
wait $reader
[ "$(cat "$work/read")" = "first" ] || fail "a read overtook the write before it: $(cat "$work/read")"

slow=$(server_of management)
# Past the pause limit: what is asked now fails, what was answered is sent when the link is back.
kill -STOP "$slow"
write 8192 second
on_file "os.pread(0, 4096, 0)" 2>"$work/said" && fail "a read waits past the pause limit"
on_drive 8192 second && fail "it is there too soon: nothing was shown"
kill -CONT "$slow"
until_true 10 "an answered write is sent past the pause limit" on_drive 8192 second
