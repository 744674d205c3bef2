#!/bin/sh
# Make the chassis' kernel and initramfs: Debian's stock kernel, nothing compiled.
#
#   kernel.sh [BUILDDIR]        default: build/chassis in the repository
#
# Prints the folder that holds vmlinux, initrd, lib/modules/VERSION and version. Its
# name has a checksum of what made it (this script, init), so a tree at another
# commit never changes it under a running machine. Does nothing when it is there.
# Everything is made beside its place and renamed, so an interrupted run leaves
# nothing that looks finished. Root (by sudo) is asked for only where the lists
# of packages have to be fetched first.
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
[ $# -le 1 ] || { echo "usage: kernel.sh [BUILDDIR]" >&2; exit 2; }
build=${1:-$here/../../build/chassis}

# What the initramfs loads before the machine's root can be mounted. All else
# is loaded later from lib/modules, by the role of the machine.
early='virtio_pci 9pnet_virtio 9p overlay virtio_console'

# Parts of the kernel package that no test machine can use: two thirds of it.
unused='drivers/gpu drivers/media drivers/infiniband drivers/iio
    drivers/net/wireless drivers/net/ethernet drivers/isdn drivers/platform
    drivers/staging drivers/comedi drivers/video sound net/mac80211
    net/bluetooth net/wireless'

say() { echo "kernel.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

for tool in apt-get dpkg depmod modprobe cpio busybox python3 flock sha256sum; do
    command -v "$tool" >/dev/null || fail "$tool is not installed; run 'make deps'"
done

mkdir -p "$build"
build=$(cd "$build" && pwd)
exec 9>"$build/.kernel.lock"
flock 9

key=$(cat "$here/kernel.sh" "$here/init" "$here/vmlinux.py" | sha256sum | cut -c1-12)
out=$build/kernel-$key
if [ -f "$out/used" ]; then
    touch "$out/used"
    echo "$out"
    exit 0
fi

# The lock is held: any such folder is the rest of an interrupted run.
rm -rf "$build"/kernel.new.*
new=$build/kernel.new.$$
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$new"

resolve() {
    apt-cache depends --no-recommends --no-suggests linux-image-amd64 2>/dev/null |
        sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1
}

# As root apt drops to a user of its own, who may not be able to write here.
download() {
    (cd "$new" && apt-get -qq -o APT::Sandbox::User=root download "$1") 9>&-
}

update_lists() {
    say "fetching the lists of packages"
    if [ "$(id -u)" = 0 ]; then apt-get -qq update 9>&-
    else sudo apt-get -qq update 9>&-; fi
}

package=$(resolve)
if [ -z "$package" ]; then
    update_lists
    package=$(resolve)
fi
[ -n "$package" ] || fail "no kernel package: linux-image-amd64 is unknown to apt"
say "fetching $package"
if ! download "$package"; then
    # Lists older than the archive name a version that is gone.
    update_lists
    package=$(resolve)
    download "$package" || fail "cannot fetch $package"
fi

say "unpacking it"
mkdir "$new/x"
dpkg -x "$new"/linux-image-*.deb "$new/x"
version=$(ls "$new/x/lib/modules")
[ -f "$new/x/boot/vmlinuz-$version" ] || fail "no kernel in $package"
for part in $unused; do rm -rf "$new/x/lib/modules/$version/kernel/$part"; done
# Moved to where usr-merged roots keep it, so that modprobe -d finds it there.
mv "$new/x/lib" "$new/lib"
depmod -b "$new" "$version" 2>/dev/null
/usr/bin/python3 "$here/vmlinux.py" "$new/x/boot/vmlinuz-$version" "$new/vmlinux"
echo "$version" >"$new/version"

say "making the initramfs"
root=$new/initramfs
mkdir -p "$root/bin" "$root/modules" "$root/dev" "$root/proc" "$root/sys" "$root/root"
install -m755 "$here/init" "$root/init"
cp "$(command -v busybox)" "$root/bin/busybox"
# shellcheck disable=SC2086
modprobe -d "$new" -S "$version" --show-depends -a $early |
    sed -n 's/^insmod \(.*\.ko\) *$/\1/p' | awk '!seen[$0]++' >"$new/early"
while read -r module; do
    cp "$module" "$root/modules/"
    basename "$module"
done <"$new/early" >"$root/modules/order"
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$new/initrd"

rm -rf "$new/x" "$root" "$new/early" "$new"/*.deb
touch "$new/used"
rm -rf "$out"
mv "$new" "$out"
# Those of other commits, once nobody can be using them any more.
find "$build" -maxdepth 2 -path '*/kernel-*/used' -mmin +1440 -printf '%h\0' | xargs -0r rm -rf
say "ready: Linux $version"
echo "$out"
