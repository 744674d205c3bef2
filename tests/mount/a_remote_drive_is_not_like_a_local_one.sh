#!/bin/bash
# R6, R7: a request over TCP connects a drive that another server has; it is shared like a local one. When that server
# dies the local drives go on, and when it is back the drive can be used again.
. "$(dirname "$0")/kit.sh"
command -v qemu-nbd >/dev/null || skip "qemu-nbd (qemu-utils) is not installed"
start_chain blade01 blade02
make_image "$images/remote.img" 8M
make_image "$images/local.img" 8M
serve() { start server qemu-nbd --persistent --shared=8 --format=raw --bind=127.0.0.1 --port=10900 --read-only --export-name=images "$images/remote.img"; }
serve
until_true 10 "the remote server listens" tcp_listens 10900
expect 0 "depot" drivebay --server http://127.0.0.1:4740 drive add depot --source nbd://127.0.0.1:10900/images --read-only
expect 0 "" drivebay drive add here --source "$images/local.img" --read-only
expect 1 "depot" drivebay drive add again --source nbd://127.0.0.1:10900/images --read-only
expect 0 "" drivebay --server 127.0.0.1:4740 present depot --to blade01,blade02
expect 0 "" drivebay present here --to all
for blade in blade01 blade02; do
    cmp "/srv/$blade/depot" "$images/remote.img" || fail "$blade reads the remote drive wrongly"
    cmp "/srv/$blade/here" "$images/local.img" || fail "$blade reads the local drive wrongly"
done
end_now server
cmp /srv/blade01/here "$images/local.img" || fail "the local drive suffers from the remote one's end"
timeout 60 dd if=/srv/blade01/depot of=/dev/null bs=4096 count=1 >"$work/said" 2>&1 && fail "a drive without a server was read"
serve
until_true 30 "the remote drive is back" cmp -n 1048576 /srv/blade02/depot "$images/remote.img"
expect 0 "" drivebay withdraw depot --from all
expect 0 "" drivebay drive remove depot
