#!/bin/bash
# A drive that is slow for a blade is a drive: what its host reads and writes comes late, and not as an error past the pause limit.
. "$(dirname "$0")/kit.sh"
management_settings='drives: { limits = [ "*/shared 150K" ]; };'
start_chain blade01
make_image "$images/shared.img" 4M
expect 0 "" drivebay drive add shared --source "$images/shared.img"
expect 0 "loaded on blade01" drivebay present shared --to blade01 --access write

# As a LUN does: 16 KiB at a time, in order, and a flush in the end.
"$python" - "/srv/blade01/shared@$(epoch_of shared blade01)" <<'END' || fail "a slow drive's host got an error"
import os, sys
piece = 16384
drive = os.open(sys.argv[1], os.O_RDWR)
for number in range(96):
    os.pwrite(drive, bytes([number + 1]) * piece, number * piece)
os.fsync(drive)
for number in range(96):
    assert os.pread(drive, piece, number * piece) == bytes([number + 1]) * piece, number
END
