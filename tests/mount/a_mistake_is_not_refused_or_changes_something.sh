#!/bin/bash
# A10: a table of mistakes. Each gets its exit status and its sentence, and the status stays what it was.
. "$(dirname "$0")/kit.sh"
start_chain blade01
expect 0 "" drivebay blade add blade02
make_image "$images/held.img" 4M
make_image "$images/free.img" 4M
make_image "$images/ro.img" 4M
make_image "$images/other.img" 4M
ln "$images/held.img" "$images/hard-link.img"
ln -s held.img "$images/soft-link.img"
mkdir "$images/folder"
: >"$images/empty.img"
printf 'x%.0s' {1..300} >"$images/tiny.img"
truncate -s 1000000 "$images/odd.img"
truncate -s 3G "$images/large.iso" && printf 'CD001' | dd of="$images/large.iso" bs=1 seek=32769 conv=notrunc status=none
mkfifo "$images/fifo"
make_image "$images/sealed.img" 1M
chattr +i "$images/sealed.img" 2>/dev/null
trap 'chattr -i "$images/sealed.img" 2>/dev/null' EXIT
expect 0 "" drivebay drive add held --source "$images/held.img"
expect 0 "" drivebay drive add free --source "$images/free.img"
expect 0 "" drivebay drive add ro --source "$images/ro.img" --read-only
truncate -s 2M "$images/iso.iso" && printf 'CD001' | dd of="$images/iso.iso" bs=1 seek=32769 conv=notrunc status=none
expect 0 "cdrom" drivebay drive add iso --source "$images/iso.iso"
expect 0 "" drivebay present held --to blade01 --slot 1 --access write
long=$(printf 'n%.0s' {1..65})
escape=$'a\eb' newline=$'a\nb'

settle() { until_true 10 "every drive is open" status_is "all(d['state'] == 'ready' for d in drives.values())"; }
settle

cases=0
# mistake STATUS PART ARGUMENTS…: what `drivebay ARGUMENTS…` must end with and say.
mistake() {
    local before
    before=$(snapshot)
    cases=$((cases + 1))
    expect "$1" "$2" drivebay "${@:3}"
    [ "$(wc -c <"$work/said")" -gt 10 ] || fail "no sentence: drivebay ${*:3}"
    [ "$(snapshot)" = "$before" ] || fail "something changed: drivebay ${*:3}"
}

# Unknown drives, blades, slots
mistake 1 held     present hel --to blade01
mistake 1 nothing  present nothing --to blade01
mistake 1 blade01  present free --to blade1
mistake 1 blade77  present free --to blade01,blade77
mistake 1 slot     present free --to blade01 --slot 9
mistake 1 held     present free --to blade01 --slot 1
mistake 1 slot     present free --to blade01 --slot 0
mistake 1 slot     present free --to blade02
mistake 1 nothing  withdraw nothing --from blade01
mistake 1 free     withdraw free --from blade01
mistake 1 blade77  withdraw held --from blade77
mistake 1 nothing  drive show nothing
mistake 1 nothing  drive remove nothing
mistake 1 nothing  drive refresh nothing
mistake 1 blade77  blade show blade77
mistake 1 blade77  blade remove blade77
# What a lease cannot be
mistake 1 read     present ro --to blade01 --access write
mistake 1 read     present iso --to blade01 --access write
mistake 1 private  present free --to blade01 --access private
mistake 1 cluster  present free --to blade01 --access cluster
mistake 1 blade01  present held --to blade02 --slot 1 --no-queue
# Sources
mistake 1 "is-not-there"  drive add new --source "$images/is-not-there"
mistake 1 "folder"        drive add new --source "$images/folder"
mistake 1 "empty"         drive add new --source "$images/empty.img"
mistake 1 "512"           drive add new --source "$images/tiny.img"
mistake 1 "512"           drive add new --source "$images/odd.img"
mistake 1 "fifo"          drive add new --source "$images/fifo"
mistake 1 "/dev/null"     drive add new --source /dev/null
mistake 1 "http"          drive add new --source http://127.0.0.1/x.img
mistake 1 "127.0.0.1"     drive add new --source nbd://127.0.0.1:9/none
mistake 1 "nbd"           drive add new --source "nbd://"
mistake 1 "socket"        drive add new --source "nbd+unix:///x"
mistake 2 "source"        drive add new --source ""
mistake 1 "1000000"       drive add new --source "$images/odd.img" --kind cdrom
[ ! -e "$images/sealed.img" ] || ! lsattr "$images/sealed.img" 2>/dev/null | cut -d' ' -f1 | grep -q i ||
    mistake 1 "--read-only" drive add new --source "$images/sealed.img"
# Names
mistake 2 "name"  drive add a/b --source "$images/other.img"
mistake 2 "name"  drive add .. --source "$images/other.img"
mistake 2 "name"  drive add "" --source "$images/other.img"
mistake 2 "name"  drive add "$escape" --source "$images/other.img"
mistake 2 "name"  drive add "$newline" --source "$images/other.img"
mistake 2 "name"  drive add "$long" --source "$images/other.img"
mistake 2 "name"  drive add "größe" --source "$images/other.img"
mistake 2 "name"  drive add all --source "$images/other.img"
mistake 2 "name"  blade add a/b
mistake 2 "name"  blade add @local
mistake 2 "name"  present a/b --to blade01
mistake 2 "name"  present free --to blade/01
mistake 2 "name"  present free --to blade01,,blade02
mistake 2 "all"   present free --to all,blade01
# Names and media that are taken
mistake 1 free     drive add free --source "$images/other.img"
mistake 1 blade01  blade add blade01
mistake 1 held     drive add new --source "$images/held.img"
mistake 1 held     drive add new --source "$images/../images/held.img"
mistake 1 held     drive add new --source "$images/hard-link.img"
mistake 1 held     drive add new --source "$images/soft-link.img"
mistake 1 ro       drive add new --source "$images/ro.img" --read-only
# What is in use
mistake 1 blade01  drive remove held
mistake 1 held     blade remove blade01
# The command line
mistake 2 "--to"       present free
mistake 2 "--from"     withdraw held
mistake 2 "--source"   drive add new
mistake 2 "rw"         present free --to blade01 --access rw
mistake 2 "--slot"     present free --to blade01 --slot first
mistake 2 "--slot"     present free --to blade01 --slot -1
mistake 2 "--wait"     present free --to blade01 --wait=soon
mistake 2 "--no-queue" present free --to blade01 --wait --no-queue
mistake 2 "--force"    present free --to blade01 --take --force
mistake 2 "tape"       drive add new --source "$images/other.img" --kind tape
mistake 2 "relative"   --server 127.0.0.1:4740 drive add new --source other.img
mistake 2 "command"    presnt free --to blade01
mistake 2 "--server"   --server 127.0.0.1:port status
mistake 3 "cannot reach" --server /run/drivebay/nobody.sock status
mistake 3 "cannot reach" --server 127.0.0.1:9 present free --to blade01
mistake 3 "systemctl start" --server /run/drivebay/nobody.sock drive add new --source "$images/other.img"

# A partition of a device in use, and the device of a partition in use
loop=$(losetup --find --show "$images/other.img" 2>/dev/null) || loop=""
partitions=0
if [ -n "$loop" ]; then
    trap 'chattr -i "$images/sealed.img" 2>/dev/null; delpart "$loop" 1 2>/dev/null; losetup -d "$loop" 2>/dev/null' EXIT
    addpart "$loop" 1 2048 2048
    part=${loop}p1
    numbers=$(cat "/sys/class/block/${part#/dev/}/dev" 2>/dev/null)
    if [ -n "$numbers" ]; then
        [ -b "$part" ] || { part=$work/part; mknod "$part" b "${numbers%:*}" "${numbers#*:}"; }
        expect 0 "" drivebay drive add whole --source "$loop"
        settle
        mistake 1 whole drive add new --source "$part"
        mistake 1 whole drive add new --source "$images/other.img"
        expect 0 "" drivebay drive remove whole
        until_true 5 "the removed drive is closed" drivebay drive add part --source "$part"
        settle
        mistake 1 part drive add new --source "$loop"
        expect 0 "" drivebay drive remove part
        partitions=1
    fi
fi
[ $partitions -eq 1 ] || echo "no loop device with partitions here: that one case was left out"

# Without the data path nothing can be judged, and nothing is entered
end_politely management
until_true 10 "the arbiter noticed" eval '! drivebay drive add new --source "$images/other.img" >"$work/said" 2>&1 && grep -qi "drivebayfs\|data path" "$work/said"'
mistake 1 "" drive add new --source "$images/other.img"
end_politely arbiter
expect 3 "cannot reach the arbiter" drivebay drive add new --source "$images/other.img"
expect 3 "cannot reach the arbiter" drivebay withdraw held --from blade01
expect 3 "cannot reach the arbiter" drivebay events
echo "$cases mistakes"
