#!/bin/bash
# drive refresh: an image replaced by another, larger one is read anew by every blade that has it, in a new epoch.
. "$(dirname "$0")/kit.sh"
start_chain blade01 blade02
make_image "$images/first.img" 4M
make_image "$images/second.img" 6M
cp "$images/first.img" "$images/install.img"
expect 0 "" drivebay drive add install --source "$images/install.img" --read-only
expect 0 "" drivebay present install --to all
old=$(epoch_of install blade01)
mv "$images/second.img" "$images/install.img"
cmp /srv/blade01/install "$images/first.img" || fail "a drive that was not refreshed changed under its blades"
expect 0 "install" drivebay drive refresh install
until_true 20 "both blades have it again" status_is "drives['install']['size'] == 6 * 1024 ** 2" \
    "leases['install', 'blade01']['state'] == 'held' and leases['install', 'blade01']['epoch'] > $old" \
    "any(s['drive'] == 'install' and s['state'] == 'loaded' for s in blades['blade01']['slots'].values())" \
    "any(s['drive'] == 'install' and s['state'] == 'loaded' for s in blades['blade02']['slots'].values())"
for blade in blade01 blade02; do
    cmp "/srv/$blade/install" "$images/install.img" || fail "$blade reads the old image"
done

# An image that is gone: said so, and good again once it is back
expect 0 "withdrawn" drivebay withdraw install --from all
mv "$images/install.img" "$images/away.img"
expect 1 "does not open" drivebay drive refresh install
grep -qF "$images/install.img" "$work/said" || fail "it is not said what does not open: $(cat "$work/said")"
status_is "drives['install']['state'] == 'failed'" || fail "the drive is not shown as failed"
expect 1 "install" drivebay present install --to blade01 --no-queue
mv "$images/away.img" "$images/install.img"
expect 0 "6 MiB" drivebay drive refresh install
cmp /srv/drivebay/drives/install "$images/install.img" || fail "refresh returned before the drive could be used"
expect 0 "loaded on blade01" drivebay present install --to blade01
