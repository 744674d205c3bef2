#!/bin/bash
# Lines of type fuse.drivebayfs, as in fstab, mount both sides; umount ends the daemons.
. "$(dirname "$0")/kit.sh"
# mount(8) has its own PATH
mount -t tmpfs tmpfs /usr/local/sbin && ln -s "$build/drivebayfs" /usr/local/sbin/drivebayfs || exit 1
start_arbiter
make_image "$images/disk.img" 4M
mkdir -p "$work/fusefs" "$work/blade01" /srv/blade01
cat >"$work/etc/fusefs.cfg" <<CONFIG
role = "management";
security = "none";
state_dir = "$work/fusefs";
socket = "/run/drivebay/fusefs.sock";
arbiter = "/run/drivebay/arbiter.sock";
nbd: { listen = [ "127.0.0.1:10809" ]; };
CONFIG
cat >"$work/etc/fusefs-blade01.cfg" <<CONFIG
role = "blade";
blade = "blade01";
security = "none";
state_dir = "$work/blade01";
socket = "/run/drivebay/blade01.sock";
CONFIG
cat >"$work/etc/fstab" <<FSTAB
drivebay        /srv/drivebay fuse.drivebayfs config=$work/etc/fusefs.cfg,nofail,_netdev 0 0
127.0.0.1:10809 /srv/blade01  fuse.drivebayfs rw,noatime,allow_other,config=$work/etc/fusefs-blade01.cfg 0 0
FSTAB
expect 0 "" mount -T "$work/etc/fstab" /srv/drivebay
[ "$(findmnt -no FSTYPE /srv/drivebay)" = fuse.drivebayfs ] || fail "it is mounted as $(findmnt -no FSTYPE /srv/drivebay)"
expect 0 "" mount -T "$work/etc/fstab" /srv/blade01
start_double blade01
until_true 10 "the arbiter knows the data path" drivebay_add_probe_works
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "loaded" drivebay present disk --to blade01
cmp /srv/blade01/disk "$images/disk.img" || fail "the blade's mount differs"
expect 0 "withdrawn" drivebay withdraw disk --from blade01
expect 0 "" umount /srv/blade01
expect 0 "" umount /srv/drivebay
# Whoever reads what mount says is not kept waiting for the daemon's end
timeout 10 sh -c "mount -T '$work/etc/fstab' /srv/drivebay 2>&1 | cat" || fail "mount's output does not end"
mountpoint -q /srv/drivebay || fail "it ended with whoever read its output"
expect 0 "" umount /srv/drivebay
no_daemon() { ! ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q '/drivebayfs$'; }
until_true 20 "both daemons end with their mounts" no_daemon

mkdir "$work/etc/broken"
sed 's/^role.*/role = "managment";/' "$work/etc/fusefs.cfg" >"$work/etc/broken/fusefs.cfg"
sed "s#config=$work/etc/#config=$work/etc/broken/#" "$work/etc/fstab" >"$work/etc/fstab-broken"
mount -T "$work/etc/fstab-broken" /srv/drivebay >"$work/said" 2>&1 && fail "a broken configuration was mounted"
grep -q "fusefs.cfg:1" "$work/said" || fail "the mistake is not named: $(cat "$work/said")"
mountpoint -q /srv/drivebay && fail "it is mounted all the same"
exit 0
