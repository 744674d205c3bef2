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
