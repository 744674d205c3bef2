#!/bin/bash
# A3, natively: two blades read one image at once, the same bytes, and the management module served at least as many.
. "$(dirname "$0")/kit.sh"
start_chain blade01 blade02
make_image "$images/install.img" 64M
sum=$(sha256sum <"$images/install.img")
expect 0 "" drivebay drive add install --source "$images/install.img" --read-only
expect 0 "" drivebay present install --to all
served() {
    status_is "blades['$1']['served']['read_bytes'] >= $2"
}
for blade in blade01 blade02; do
    sha256sum <"/srv/$blade/install" >"$work/sum-$blade" &
    readers+=($!)
done
for reader in "${readers[@]}"; do
    wait "$reader" || fail "a reader failed"
done
for blade in blade01 blade02; do
    [ "$(cat "$work/sum-$blade")" = "$sum" ] || fail "$blade read other bytes"
    until_true 5 "the counter of $blade tells of the bytes" served "$blade" 67108864
done
