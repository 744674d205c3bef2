#!/bin/bash
# drives/<drive> on the management module is a lease of @local: refused while a blade's forbids it, and the other way round.
. "$(dirname "$0")/kit.sh"
start_chain blade01
truncate -s 4M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
file=/srv/drivebay/drives/scratch
[ "$(stat -c %s $file)" = 4194304 ] || fail "$file has $(stat -c %s $file) bytes"

expect 0 "" drivebay present scratch --to blade01 --access write
expect 1 "busy" dd if=$file of=/dev/null bs=4096 count=1
expect 1 "busy" "$python" -c "import os; os.open('$file', os.O_RDWR)"
expect 0 "" drivebay withdraw scratch --from blade01

exec 9<>$file || fail "the free drive cannot be opened locally"
until_true 5 "@local holds it" status_is "leases['scratch', '@local']['state'] == 'held'" "leases['scratch', '@local']['mode'] == 'write'"
printf 'local write' >&9 || fail "a local write fails"
expect 1 "the management module itself" drivebay present scratch --to blade01 --access read --no-queue
expect 0 "behind the management module itself" drivebay present scratch --to blade01 --access read
expect 1 "scratch" drivebay drive remove scratch
exec 9>&-
until_true 10 "blade01 gets it when the local file is closed" status_is "leases['scratch', 'blade01']['state'] == 'held'" \
    "blades['blade01']['slots'][1]['state'] == 'loaded'" "('scratch', '@local') not in leases"
[ "$(double blade01 read 1 0 11)" = "local write" ] || fail "blade01 does not see the local write"

exec 9<$file || fail "a local reader is refused beside a blade's reader"
until_true 5 "@local reads beside blade01" status_is "leases['scratch', '@local']['mode'] == 'read'"
expect 1 "" "$python" -c "import os; os.open('$file', os.O_RDWR)"
exec 9<&-
until_true 5 "@local has released" status_is "('scratch', '@local') not in leases"
