#!/bin/bash
# Lines of fstab through mount(8) and its helper, as on a machine without systemd: what is right mounts, what is not is named in a
# sentence within seconds, and nothing is left of it.
. "$(dirname "$0")/kit.sh"
# mount(8) takes its helpers from /sbin alone, and has its own PATH.
mkdir -p /run/sbin/upper /run/sbin/work
cp "$top"/fusefs/mount.fuse.drivebayfs "$top"/fusefs/umount.fuse.drivebayfs /run/sbin/upper
mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin/upper,workdir=/run/sbin/work overlay /usr/sbin || skip "no overlay here"
mount -t tmpfs tmpfs /usr/local/sbin && ln -s "$build/drivebayfs" /usr/local/sbin/drivebayfs || exit 1
mkdir -p "$work/fusefs" "$work/blade01" /srv/blade01 "/srv/a folder"
: >/srv/file
cat >"$work/etc/good.cfg" <<CONFIG
security = "none";
state_dir = "$work/fusefs";
nbd: { listen = [ "127.0.0.1:10809" ]; };
CONFIG
echo "security = \"none\"; socket = \"/run/drivebay/blade01.sock\";" >"$work/etc/blade.cfg"
printf 'role = "management";\npause_limt_ms = 7;\n' >"$work/etc/unknown.cfg"
printf 'role = ;' >"$work/etc/broken.cfg"
good=config=$work/etc/good.cfg
blade=config=$work/etc/blade.cfg,role=blade,blade=blade01
lines=0

# line SOURCE FOLDER OPTIONS: as it stands in fstab, where \040 is a space; mounted by folder, as `mount /srv/drivebay` is typed.
line() {
    lines=$((lines + 1))
    folder=${2//\\040/ }
    echo "$1 $2 fuse.drivebayfs $3 0 0" >"$work/etc/fstab"
}
mounts() {
    line "$@"
    expect 0 "" timeout 20 mount -T "$work/etc/fstab" "$folder"
    [ "$(findmnt -rno FSTYPE --mountpoint "$folder")" = fuse.drivebayfs ] || fail "$*: not mounted"
    [ "$1" != drivebay ] || ls "$folder" >/dev/null || fail "$*: cannot be listed"
    [ -n "${4:-}" ] && ! findmnt -rno OPTIONS --mountpoint "$folder" | grep -qw "$4" && fail "$*: not $4"
    expect 0 "" timeout 20 umount "$folder"
    findmnt --mountpoint "$folder" >/dev/null && fail "$*: still mounted"
    until_true 20 "its process ends" no_process
}
no_process() { ! ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q '/drivebayfs$'; }
# refuses STATUS SENTENCE SOURCE FOLDER OPTIONS
refuses() {
    local status=$1 sentence=$2
    shift 2
    line "$@"
    expect "$status" "$sentence" timeout 20 mount -T "$work/etc/fstab" "$folder"
    findmnt --mountpoint "$folder" >/dev/null && fail "$*: mounted all the same"
    until_true 5 "no process is left of $*" no_process
}

mounts drivebay /srv/drivebay "$good"
mounts drivebay /srv/drivebay "defaults,_netdev,nofail,$good"
mounts drivebay /srv/drivebay "noauto,user,exec,suid,dev,noatime,$good" nosuid
mounts drivebay /srv/drivebay "ro,$good" ro
mounts drivebay /srv/drivebay "x-systemd.device-timeout=5,X-mount.mkdir,comment=mine,$good"
mounts drivebay "/srv/a\\040folder" "allow_other,$good" allow_other
mounts drivebay /srv/drivebay/ "$good"
mounts 127.0.0.1 /srv/blade01 "$blade"
mounts 127.0.0.1:10809 /srv/blade01 "$blade,ro"
# No arbiter runs, and nobody answers at the module's address: the mounts above came up all the same.

refuses 32 'unknown mount option "lese=5"' drivebay /srv/drivebay "lese=5,$good"
refuses 32 'unknown mount option direct_io' drivebay /srv/drivebay "$good,direct_io"
refuses 32 'role=manager is neither' drivebay /srv/drivebay "role=manager,$good"
refuses 32 'no configuration file' drivebay /srv/drivebay config=/nowhere.cfg
refuses 32 "unknown.cfg:2: unknown key \`pause_limt_ms\`, did you mean \`pause_limit_ms\`?" drivebay /srv/drivebay "config=$work/etc/unknown.cfg"
refuses 32 'broken.cfg:1' drivebay /srv/drivebay "config=$work/etc/broken.cfg"
refuses 32 'no name' 127.0.0.1 /srv/blade01 "role=blade,$good"
refuses 32 'name' 127.0.0.1 /srv/blade01 "role=blade,blade=a/b,$good"
refuses 32 '99999' 127.0.0.1:99999 /srv/blade01 "$blade"
refuses 32 'does not exist' drivebay /srv/missing "$good"
refuses 32 'is no folder' drivebay /srv/file "$good"

line drivebay /srv/drivebay "$good"
expect 0 "" timeout 20 mount -T "$work/etc/fstab" /srv/drivebay
# Another place, the same socket and table: two would be two gates.
line drivebay /srv/blade01 "$good"
expect 32 "" timeout 20 mount -T "$work/etc/fstab" /srv/blade01
findmnt --mountpoint /srv/blade01 >/dev/null && fail "two mounts share one table"
"$top/fusefs/mount.fuse.drivebayfs" drivebay /srv/drivebay -o "$good" >"$work/said" 2>&1 && fail "mounted twice"
grep -q "mounted on /srv/drivebay already: end it with umount /srv/drivebay" "$work/said" || fail "mounted twice: $(cat "$work/said")"
line drivebay /srv/drivebay "$good"
expect 0 "" timeout 20 mount -a -T "$work/etc/fstab"
[ "$(findmnt -rno TARGET -t fuse.drivebayfs | wc -l)" -eq 1 ] || fail "mount -a has mounted it once more"
exec 5<"/srv/drivebay/drives"
expect 32 "busy" timeout 20 umount /srv/drivebay
exec 5<&-
expect 0 "" timeout 20 umount /srv/drivebay
echo "$lines lines"
