#!/bin/bash
# drivebay backup while the arbiter runs and is asked things, over both kinds of server; restoring it; epochs go on above those that
# were granted after it was taken.
. "$(dirname "$0")/kit.sh"
start_chain blade01
truncate -s 8M "$images/scratch.img"
expect 0 "" drivebay drive add scratch --source "$images/scratch.img"
expect 0 "" drivebay present scratch --to blade01 --access write
backup=$work/backup.db

# What stands in the way is refused, and left alone
mkdir "$work/folder"
echo precious >"$work/precious"
ln -s precious "$work/link"
expect 1 "is there already" drivebay backup "$work/precious"
expect 1 "is no file" drivebay backup "$work/folder" --force
expect 1 "is no file" drivebay backup "$work/link" --force
expect 1 "is no file" drivebay backup /dev/null --force
expect 1 "no backup was written" drivebay backup "$work/nowhere/backup.db"
expect 2 "FILE" drivebay backup
expect 3 "cannot reach" drivebay --server 127.0.0.1:9 backup "$backup"
[ "$(cat "$work/precious")" = precious ] && [ ! -e "$backup" ] || fail "a refused backup changed something"
[ -c /dev/null ] || fail "/dev/null is no device any more"

expect 0 "written and checked" drivebay backup "$backup"
grep -qF "$work/arbiter/arbiter.db-wal" "$work/said" || fail "it does not say how to restore: $(cat "$work/said")"
expect 0 '"bytes"' drivebay --json --server 127.0.0.1:4740 backup "$work/by-tcp.db"
expect 0 "1 drives, 1 blades, 1 leases" drivebay-arbiterd --check-store "$backup"
expect 0 "1 drives, 1 blades, 1 leases" drivebay-arbiterd --check-store "$work/by-tcp.db"
[ "$(stat -c %a "$backup")" = 600 ] || fail "the backup, which has sessions, can be read by others"
expect 0 "" drivebay backup "$work/precious" --force
expect 0 "good" drivebay-arbiterd --check-store "$work/precious"
ls "$work/arbiter" | grep -q backup && fail "the arbiter keeps its copy"
ls "$work" | grep -q 'backup.db\..' && fail "the command left an unfinished file"

# Many at once, with changes under way
for i in $(seq 8); do
    drivebay backup "$work/many-$i.db" >/dev/null 2>"$work/many-$i.err" &
    many+=($!)
    drivebay blade add "extra$i" >/dev/null 2>&1 || fail "nothing can be added while backups are taken"
done
for i in $(seq 8); do
    wait "${many[$((i - 1))]}" || fail "backup $i: $(cat "$work/many-$i.err")"
    expect 0 "good" drivebay-arbiterd --check-store "$work/many-$i.db"
done

# After the backup epochs go on; then the store is lost
for i in 1 2 3; do
    double blade01 eject 1 >/dev/null || fail "the host cannot eject"
    until_true 10 "the drive is free" status_is "('scratch', 'blade01') not in leases"
    expect 0 "" drivebay present scratch --to blade01 --access write
done
last=$(epoch_of scratch blade01)
# The store in use is no matter for --check-store
expect 2 "in use by a running arbiter" drivebay-arbiterd --check-store --config "$work/etc/arbiter.cfg"
end_now arbiter
expect 0 "9 blades" drivebay-arbiterd --check-store --config "$work/etc/arbiter.cfg"
printf 'garbage!%.0s' {1..512} | dd of="$work/arbiter/arbiter.db" bs=4096 seek=2 conv=notrunc status=none
rm -f "$work/arbiter/arbiter.db-wal"
sums=$(cd "$work/arbiter" && sha256sum arbiter.db*)
expect 1 "damaged" drivebay-arbiterd --foreground --config "$work/etc/arbiter.cfg"
grep -qF -e "--check-store $work/arbiter/arbiter.db" "$work/said" || fail "what to do is not said: $(cat "$work/said")"
expect 1 "$work/arbiter/arbiter.db: " drivebay-arbiterd --check-store --config "$work/etc/arbiter.cfg"
expect 2 "is-not-there" drivebay-arbiterd --check-store "$work/is-not-there"
expect 2 "check-store" drivebay-arbiterd "$backup"
[ "$(cd "$work/arbiter" && sha256sum arbiter.db*)" = "$sums" ] || fail "the damaged store was changed"

cp "$backup" "$work/arbiter/arbiter.db"
rm -f "$work/arbiter/arbiter.db-wal" "$work/arbiter/arbiter.db-shm"
start_arbiter
until_true 15 "blade01 is back" status_is "blades['blade01']['online']"
began=$SECONDS
until_true 30 "the drive is held again, in an epoch above" eval '
    drivebay present scratch --to blade01 --access write >/dev/null 2>&1; [ "0$(epoch_of scratch blade01)" -gt "$last" ]'
# Without the floors each epoch would have been tried in turn, for the 5 s that an admission may stay away.
[ $((SECONDS - began)) -lt 12 ] || fail "the epoch was found by trying"
[ "$(epoch_of scratch blade01)" -gt "$last" ] || fail "the epoch went back to $(epoch_of scratch blade01) from $last"
double blade01 write 1 0 "after the restore" >/dev/null || fail "nothing can be written after the restore"
end_politely arbiter
expect 0 "good" drivebay-arbiterd --check-store --config "$work/etc/arbiter.cfg"
