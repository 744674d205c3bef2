#!/bin/bash
# C3: random reads, writes, holes, zeroed ranges and syncs through several descriptors of the file at once give what a plain
# file would give; then the same on the blade's mount. OPERATIONS and SEED take more of them, or the same again.
. "$(dirname "$0")/kit.sh"
[ -x "$build/random-operations" ] || fail "$build/random-operations is missing; make BUILD=$build $build/random-operations"
start_chain blade01
make_image "$images/disk.img" 24M
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "loaded on blade01" drivebay present disk --to blade01 --access write
operations=${OPERATIONS:-40000}
random() {
    local file=$1
    shift
    random-operations ${SEED:+--seed "$SEED"} --backing "$images/disk.img" "$@" "$file" 2>&1 || fail "$file behaves unlike a plain file"
}
random /srv/drivebay/blades/blade01/disk --operations "$operations"
random /srv/blade01/disk --operations $((operations / 4))
status_is "drives['disk']['state'] == 'ready'" || fail "the drive is not ready any more"
