#!/bin/bash
# C3: what qemu-io writes (patterns, with FUA too), zeroes, discards and reads in one order gives the same bytes and the same
# answers on the export and on a plain file. SEED gives the same orders again.
. "$(dirname "$0")/kit.sh"
command -v qemu-io >/dev/null || skip "qemu-io (qemu-utils) is not installed"
start_chain blade01
make_image "$images/disk.img" 16M
cp "$images/disk.img" "$images/plain.img"
expect 0 "" drivebay drive add disk --source "$images/disk.img"
expect 0 "loaded on blade01" drivebay present disk --to blade01 --access write
export='nbd+unix:///blade01/disk?socket=/run/drivebay/nbd.sock'
seed=${SEED:-$RANDOM$RANDOM}
echo "seed $seed"

"$python" - "$seed" >"$work/orders" <<'PYTHON'
import random, sys
lots = random.Random(int(sys.argv[1]))
size = 16 << 20
# What each option has to do, at the edges of blocks and across them.
for orders in ("write -P 0xab 0 4k", "write -f -P 0xcd 1000 3000", "read -v 0 8k", "read -P 0xab 0 1000", "read -P 0xcd 1000 3000",
               "write -z 64k 64k", "read -P 0 64k 64k", "write -z 1001 2002", "read -P 0 1001 2002", "read -v 0 8k",
               "write -z -u 128k 128k", "read -P 0 128k 128k", "discard 1M 64k", "read -P 0 1M 64k", "flush",
               "write -f -z 200k 1k", "write -P 7 16776704 512", "read -P 7 16776704 512", "read -v 16776192 1k",
               "writev -P 9 512 1024 512", "readv -v 512 1024 512", "write -f -P 3 2M 8M", "read -P 3 2M 8M"):
    print(orders)
for _ in range(900):
    length = lots.choice((1, lots.randrange(1, 600), 512 * lots.randrange(1, 64), 4096 * lots.randrange(1, 256),
                          lots.randrange(1, 1 << 20)))
    offset = lots.randrange(0, size - length + 1)
    if lots.random() < 0.5:
        offset = offset // 4096 * 4096
    order = lots.choice(("write -P {p}", "write -f -P {p}", "write -z", "write -z -u", "write -f -z", "discard", "read", "read", "flush"))
    if order == "flush":
        print("flush")
        continue
    if order == "discard":
        # What parts of a page read as after a discard is up to the storage.
        offset, length = offset // 4096 * 4096, max(4096, length // 4096 * 4096)
        length = min(length, size - offset)
    if order == "read":
        order, length = "read -v", min(length, 5000)
    print(order.format(p=lots.randrange(1, 256)), offset, length)
PYTHON

# answers IMAGE ORDERS: what qemu-io says to the orders, without the times.
answers() {
    timeout 90 qemu-io -f raw --discard unmap "$1" <"$2" >"$work/answers" 2>&1 ||
        fail "qemu-io on $1: $(grep -m 1 -i fail "$work/answers" || tail -n 1 "$work/answers")"
    sed -E 's/^(qemu-io> )*//; s/ops; .*/ops/' "$work/answers"
}
# In portions, so that what one did wrongly is seen before another has covered it.
split --lines=75 "$work/orders" "$work/orders."
for orders in "$work"/orders.*; do
    answers "$images/plain.img" "$orders" >"$work/of-the-file"
    answers "$export" "$orders" >"$work/of-the-export"
    diff "$work/of-the-file" "$work/of-the-export" >"$work/difference" || fail "the answers differ: $(head -n 5 "$work/difference")"
    grep -q '^read ' "$work/of-the-export" || fail "nothing was read: $(head -n 20 "$work/of-the-export")"
    cmp "$images/plain.img" "$images/disk.img" || fail "the drive and the plain file differ after $(basename "$orders")"
done
