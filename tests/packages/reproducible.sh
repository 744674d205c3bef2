#!/bin/bash
# Two builds of this commit, in clean clones at unlike paths, give the same packages byte for byte: reproducible.sh [FOLDER [JOBS]]
set -u
cd "$(dirname "$0")/../.." || exit 1
folder=${1:-build/reproducible}
jobs=${2:-$(nproc)}
rm -rf "$folder"
mkdir -p "$folder" || exit 1
folder=$(cd "$folder" && pwd)
status=0
other=another-place/with-a-longer-name
for place in one $other; do
    git clone -q --no-hardlinks . "$folder/$place" || exit 1
done
for place in one $other; do
    # What a machine may have set otherwise.
    (umask "$([ "$place" = one ] && echo 022 || echo 002)" && cd "$folder/$place" &&
        TZ=$([ "$place" = one ] && echo UTC || echo Asia/Tokyo) make --no-print-directory -j"$jobs" deb) >"$folder/log" 2>&1 || {
        tail -n 20 "$folder/log" >&2
        status=1
    }
done
one=$(cd "$folder/one/build/deb" && sha256sum ./*.deb)
two=$(cd "$folder/$other/build/deb" && sha256sum ./*.deb)
echo "$one"
[ $status -eq 0 ] && [ -n "$one" ] && [ "$one" = "$two" ] || status=1
[ $status -eq 0 ] || diff <(echo "$one") <(echo "$two")
echo "reproducible: $((1 - status)) passed, $status failed, 0 skipped"
exit $status
