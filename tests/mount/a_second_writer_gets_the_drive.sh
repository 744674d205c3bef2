#!/bin/bash
# A5: while blade01 holds the drive for writing, blade02 queues, waits or is refused, as it asks.
. "$(dirname "$0")/kit.sh"
start_chain blade01 blade02
make_image "$images/scratch.img" 8M
expect 0 scratch drivebay drive add scratch --source "$images/scratch.img"
expect 0 "loaded on blade01" drivebay present scratch --to blade01 --access write
before=$(sha256sum <"$images/scratch.img")

for access in write read; do
    expect 1 blade01 drivebay present scratch --to blade02 --access $access --no-queue
    status_is "('scratch', 'blade02') not in leases" || fail "a refused $access left something behind"

    expect 0 "behind blade01 (write)" drivebay present scratch --to blade02 --access $access
    status_is "leases['scratch', 'blade02']['state'] == 'waiting'" "leases['scratch', 'blade01']['state'] == 'held'" ||
        fail "$access does not wait"
    [ ! -e /srv/drivebay/blades/blade02/scratch ] || fail "blade02 has a file while it waits"
    [ ! -e /srv/blade02/scratch ] || fail "blade02's own mount has a file while it waits"
    expect 0 "withdrawn" drivebay withdraw scratch --from blade02

    started=$EPOCHSECONDS
    expect 1 "left the queue" drivebay present scratch --to blade02 --access $access --wait=1.5
    [ $((EPOCHSECONDS - started)) -ge 1 ] || fail "--wait=1.5 did not wait"
    status_is "('scratch', 'blade02') not in leases" || fail "the waiter of --wait=1.5 is still in the queue"
done
[ "$before" = "$(sha256sum <"$images/scratch.img")" ] || fail "the drive has changed"
status_is "leases['scratch', 'blade01']['state'] == 'held'" "blades['blade01']['slots'][1]['state'] == 'loaded'" ||
    fail "blade01 was disturbed"
