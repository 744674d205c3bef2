#!/bin/sh
# A remote drive whose writes stay in flight for some time, each for another one, up to a second; what is read of it comes
# at once. slow_drive.sh IMAGE UNIX-SOCKET; it becomes nbdkit.
image=$1
exec nbdkit --foreground --unix "$2" eval \
    thread_model='echo parallel' \
    get_size="stat -c %s '$image'" \
    pread="dd if='$image' iflag=skip_bytes,count_bytes skip=\$4 count=\$3 bs=64k status=none" \
    pwrite="sleep 0.\$(od -An -N1 -tu1 /dev/urandom | tr -d ' '); \
        dd of='$image' conv=notrunc oflag=seek_bytes seek=\$4 bs=64k iflag=fullblock status=none" \
    flush='true'
