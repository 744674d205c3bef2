#!/bin/sh
# Installs what debian/control's Build-Depends names and this machine lacks, and the packages that are named as arguments;
# does nothing when all is there.
set -eu
cd "$(dirname "$0")/.."

packages=$(sed -n '/^Build-Depends:/,/^$/p' debian/control |
    sed -e '/^#/d' -e 's/^Build-Depends://' -e 's/debhelper-compat *([^)]*)/debhelper/' -e 's/([^)]*)//g' -e 's/<[^>]*>//g' |
    if [ "$(dpkg --print-architecture)" = amd64 ]; then sed 's/\[amd64\]//'; else sed '/\[amd64\]/d'; fi |
    tr ',\n' '  ')
packages="$packages $*"

missing=
for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps: these packages are missing, and installing them needs root or sudo:$missing" >&2
        exit 1
    }
    sudo=sudo
fi
echo "Installing what is missing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $sudo apt-get -q update && $sudo apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "deps: apt-get could not install:$missing" >&2
    exit 1
fi
