#!/bin/bash
# B6: while the arbiter's disk does not answer, status does, and says so; no blade that renews expires; what was asked
# meanwhile is done, and answered, when the disk is back.
. "$(dirname "$0")/kit.sh"
cc -shared -fPIC -o "$work/hanging_disk.so" "$here/hanging_disk.c" || fail "the hanging disk does not compile"
export HANG=$work/hang
arbiter_settings="lease: { ttl_ms = 2000; };"
LD_PRELOAD=$work/hanging_disk.so start_arbiter
start_management
until_true 10 "the arbiter knows the data path" drivebay_add_probe_works
start_whole_blade blade01
start_whole_blade blade02
make_image "$images/scratch.img" 1M
expect 0 scratch drivebay drive add scratch --source "$images/scratch.img"
expect 0 "loaded on blade01" drivebay present scratch --to blade01 --access write
expect 0 "behind blade01" drivebay present scratch --to blade02 --access write
epoch=$(epoch_of scratch blade01)

touch "$HANG"
drivebay blade add blade03 >"$work/added" 2>&1 &
adding=$!
until_true 5 "status says that the store is late" status_is "status['store']['waiting_ms'] >= 100"
end_now blade02-double
# More than two TTLs, in which each status is to be quick.
until=$((SECONDS + 5)) asked=0
while [ "$SECONDS" -lt "$until" ]; do
    timeout 1 drivebay status >"$work/status" || fail "status took more than 1 s while the disk hung"
    asked=$((asked + 1))
done
grep -q "store has not answered for" "$work/status" || fail "status does not say that the store is late"
is_running $adding || fail "blade03 was added on a disk that hangs: $(cat "$work/added")"

rm "$HANG"
wait $adding || fail "blade03 was not added: $(cat "$work/added")"
until_true 5 "the store is not late any more" status_is "'store' not in status" "'blade03' in blades"
drivebay events >"$work/events"
! grep "expired" "$work/events" | grep blade01 || fail "blade01 renewed all the time, and expired"
grep "expired" "$work/events" | grep -q blade02 || fail "blade02 was killed, and has not expired"
[ "$(epoch_of scratch blade01)" = "$epoch" ] || fail "blade01 lost its lease"
echo "status was asked $asked times while the disk hung"
