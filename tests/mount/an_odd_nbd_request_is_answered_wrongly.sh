#!/bin/bash
# C3: libnbd sends single bytes, odd edges, 32 MiB, a thousand requests at once, requests of no length, behind the end, with
# flags nobody knows, and changes to a read-only export; each is answered as the protocol says, and nothing else changes.
. "$(dirname "$0")/kit.sh"
# Debian's python3-libnbd goes with Debian's own interpreter.
debian_python=/usr/bin/python3
$debian_python -c 'import nbd' 2>/dev/null || skip "python3-libnbd is not installed"
start_chain blade01
make_image "$images/disk.img" 48M
make_image "$images/read.img" 48M
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "" drivebay drive add read --source "$images/read.img" --read-only
expect 0 "loaded on blade01" drivebay present disk --to blade01 --access write
expect 0 "loaded on blade01" drivebay present read --to blade01
expect 0 "" $debian_python "$here/odd_nbd_requests.py" /run/drivebay/nbd.sock blade01/disk blade01/read \
    /srv/drivebay/blades/blade01/disk "$images/disk.img"
