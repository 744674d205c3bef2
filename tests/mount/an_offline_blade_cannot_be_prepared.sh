#!/bin/bash
# A drive presented to a blade that is not there is loaded when the blade connects, and present says so at once.
. "$(dirname "$0")/kit.sh"
start_chain
make_image "$images/disk.img" 4M
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "" drivebay blade add blade05
expect 0 "will be loaded when the blade connects" drivebay present disk --to blade05 --slot 2
status_is "presentations['disk', 'blade05']['slot'] == 2" "not blades['blade05']['online']" || fail "it is not entered"
start_whole_blade blade05
until_true 10 "it is loaded when the blade comes" status_is "blades['blade05']['slots'][2]['state'] == 'loaded'"
cmp /srv/blade05/disk "$images/disk.img" || fail "blade05 reads other bytes"
