#!/bin/sh
# Make the Debian tree that machines with systemd boot from: what debootstrap installs, with the libraries of the packages, so
# that those install without a network.
#
#   debian.sh [BUILDDIR]        default: build/chassis in the repository
#
# Prints the folder of the tree. Its name has a checksum of this script, and of the list of what is installed: it is made once, beside
# its place and renamed. Where this machine gets its own packages, these come from. Needs root.
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-$here/../../build/chassis}

# Beside the base system: an init with what it needs to find devices, the agent's interpreter, what the packages depend on.
packages=systemd-sysv,udev,kmod,iproute2,mount,logrotate,python3-minimal,e2fsprogs,eject
packages=$packages,libaio1,libconfig++9v5,libfmt9,libfuse3-3,libnbd0,libsqlite3-0,libssl3,libstdc++6

say() { echo "debian.sh: $*" >&2; }
[ "$(id -u)" = 0 ] || { say "making a Debian tree needs root"; exit 77; }
command -v debootstrap >/dev/null || { say "debootstrap is not installed; run 'make deps'"; exit 1; }

mkdir -p "$build"
build=$(cd "$build" && pwd)
exec 9>"$build/.debian.lock"
flock 9
out=$build/debian-$(sha256sum "$here/debian.sh" | cut -c1-12)
if [ -f "$out.used" ]; then
    touch "$out.used"
    echo "$out"
    exit 0
fi

. /etc/os-release
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" "Component: main" |
    sed -n '1s/ .*//p')
[ -n "$mirror" ] || { say "apt knows no archive of Debian $VERSION_CODENAME"; exit 1; }
rm -rf "$build"/debian.new.* "$out"
new=$build/debian.new.$$
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
say "installing Debian $VERSION_CODENAME (once)"
if ! debootstrap --variant=minbase --include="$packages" "$VERSION_CODENAME" "$new" "$mirror" >"$build/debian.log" 2>&1 9>&-; then
    # An archive that does not answer, devices that may not be made: this machine's, and no fault of what is tested.
    tail -n 20 "$build/debian.log" >&2
    exit 77
fi
rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/* "$new/etc/hostname" "$new/etc/machine-id"
mv "$new" "$out"
touch "$out.used"
# Those of other commits, once nobody can be using them any more.
find "$build" -maxdepth 1 -name 'debian-*.used' -mmin +1440 | while read -r old; do rm -rf "${old%.used}" "$old"; done
say "ready"
echo "$out"
