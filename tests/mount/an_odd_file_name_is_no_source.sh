#!/bin/bash
# A9: spaces, parentheses, quotes and UTF-8 in the name of a source.
. "$(dirname "$0")/kit.sh"
start_chain blade01
number=0
for name in "a b.img" "setup (1).iso" "größe – 映像.img" "it's \"quoted\".img" 'back\slash $HOME `id`.img' " leading" "ünï/cödé &?#%20.img"; do
    number=$((number + 1))
    mkdir -p "$(dirname "$images/$name")"
    make_image "$images/$name" 1M
    expect 0 "odd$number" drivebay drive add "odd$number" --source "$images/$name"
    expect 0 "loaded" drivebay present "odd$number" --to blade01
    cmp "/srv/blade01/odd$number" "$images/$name" || fail "$name is read wrongly"
    [ "$(drivebay status --json | NAME="odd$number" "$python" -c '
import json, os, sys
print(*[d["source"] for d in json.load(sys.stdin)["drives"] if d["name"] == os.environ["NAME"]])')" = "$images/$name" ] ||
        fail "$name is told otherwise in the status"
    expect 0 "" drivebay withdraw "odd$number" --from blade01
done
cd "$images" || exit 1
make_image "relative (2).img" 1M
expect 0 "" drivebay drive add relative --source "relative (2).img"
status_is "drives['relative']['source'] == '$images/relative (2).img'" || fail "a relative source was not made absolute"
