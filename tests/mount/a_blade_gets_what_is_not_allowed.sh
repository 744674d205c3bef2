#!/bin/bash
# `allow` in the arbiter's configuration says which blades may have which drives, whoever presents them; a reload changes it.
. "$(dirname "$0")/kit.sh"
arbiter_settings='allow = [ "*/install read", "blade01/scratch write" ];'
start_chain blade01 blade02
for drive in install scratch; do
    make_image "$images/$drive.img" 1M
    expect 0 "" drivebay drive add $drive --source "$images/$drive.img"
done
expect 0 "loaded on blade02" drivebay present install --to all
expect 0 "loaded on blade01" drivebay present scratch --to blade01 --access write
[ "$(drivebay events | grep -c 'presented .*by=root .*drive=scratch')" -eq 1 ] || fail "the events do not say who presented it: $(drivebay events)"
before=$(snapshot)
expect 1 "blade blade01 may not write the drive install: \`allow\` in arbiter.cfg says who may have what" \
    drivebay present install --to blade01 --access write
expect 1 "blade blade02 may not read the drive scratch" drivebay present scratch --to blade02
expect 1 "blade blade02 may not read the drive scratch" drivebay present scratch --to all
[ "$before" = "$(snapshot)" ] || fail "what was refused changed something: $(snapshot)"
[ "$(drivebay events --json | grep -c '"event":"denied"')" -ge 3 ] || fail "refusals are no events: $(drivebay events --json | tail -n 5)"

sed -i 's|^allow = .*|allow = [ "blade02/scratch read", "blade02/install read" ];|' "$work/etc/arbiter.cfg"
kill -HUP "${pids[arbiter]}"
until_true 5 "what stands against the new list is named" grep -q 'does not let its blade have.*drive=scratch blade=blade01' "$work/logs/arbiter"
[ -n "$(epoch_of scratch blade01)" ] || fail "a reload took a drive away"
expect 0 "withdrawn" drivebay withdraw scratch --from blade01
expect 0 "loaded on blade02" drivebay present scratch --to blade02
expect 1 "may not write" drivebay present scratch --to blade01 --access write
