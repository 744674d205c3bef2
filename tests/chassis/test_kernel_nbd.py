"""The kernel's own NBD client on an export of the management module: what Linux makes of it, a file system and its check."""
from deployment import Deployment, sha256
from testing import Skip, limit

MACHINES = ["mm", "blade01"]
DEVICE = "/dev/nbd0"
d = None


def setup(c):
    global d
    if c["blade01"].run("command -v nbd-client", check=False).rc != 0:
        raise Skip("nbd-client is not installed")
    d = Deployment(c)
    d.start()
    c["blade01"].run("modprobe nbd nbds_max=1")


def attach(blade, drive, *options):
    blade.run(["nbd-client", "mm", "10809", DEVICE, "-N", f"blade01/{drive}", "-b", "512", "-t", "30", *options], timeout=20)
    blade.wait_until(f"test $(blockdev --getsize64 {DEVICE}) -gt 0", 10, f"{DEVICE} has a size")


def detach(blade):
    blade.run(["nbd-client", "-d", DEVICE], timeout=20)
    blade.wait_until("! nbd-client -c " + DEVICE, 10, f"{DEVICE} is free")


@limit(90)
def test_a_file_system_made_through_the_kernels_client_is_clean_and_has_every_file_after_it_is_attached_again(c):
    mm, blade = c["mm"], c["blade01"]
    mm.run("truncate -s 48M /data/kernel.img")
    d.drivebay("drive", "add", "kernel", "--source", "/data/kernel.img")
    d.drivebay("present", "kernel", "--to", "blade01", "--access", "write")
    attach(blade, "kernel", "-C", "2")
    assert blade.run(f"blockdev --getsize64 --getro {DEVICE}").out.split() == [str(48 << 20), "0"]
    # What the kernel believes that the server can do.
    assert int(blade.run("cat /sys/block/nbd0/queue/discard_max_bytes").out) > 0, "no trim"
    assert blade.run("cat /sys/block/nbd0/queue/write_cache").out.strip() == "write back", "no flush"
    assert blade.run("cat /sys/block/nbd0/queue/fua").out.strip() == "1", "no FUA"
    blade.run(f"mkfs.ext4 -q -F {DEVICE}", timeout=30)
    blade.run(f"mkdir -p /mnt/k && mount {DEVICE} /mnt/k && cp -r /usr/share/common-licenses /mnt/k/ && "
              "head -c 8M /dev/urandom >/mnt/k/large && head -c 6M /dev/urandom >/mnt/k/gone && sync && "
              "rm /mnt/k/gone && fstrim /mnt/k && dd if=/dev/urandom of=/mnt/k/direct bs=64k count=32 oflag=direct,dsync status=none",
              timeout=60)
    sums = blade.run("cd /mnt/k && find . -type f ! -path './lost+found/*' | sort | xargs sha256sum").out
    blade.run("umount /mnt/k", timeout=20)
    blade.run(f"fsck.ext4 -f -n {DEVICE}", timeout=30)
    whole = sha256(blade, DEVICE)
    detach(blade)
    assert sha256(mm, "/data/kernel.img") == whole, "the drive's file is not what the client read"
    mm.run("fsck.ext4 -f -n /data/kernel.img", timeout=30)
    blade.run("echo 3 >/proc/sys/vm/drop_caches")
    attach(blade, "kernel")
    blade.run(f"mount -o ro {DEVICE} /mnt/k")
    again = blade.run("cd /mnt/k && find . -type f ! -path './lost+found/*' | sort | xargs sha256sum").out
    blade.run("umount /mnt/k")
    detach(blade)
    assert again == sums and sums.count("\n") > 5, "files differ after the device was attached again"
    d.drivebay("withdraw", "kernel", "--from", "blade01", "--force")
    return f"{sums.count(chr(10))} files"


def test_a_drive_presented_for_reading_is_a_read_only_device_of_the_kernel(c):
    mm, blade = c["mm"], c["blade01"]
    mm.run("head -c 4M /dev/urandom >/data/still.img")
    before = sha256(mm, "/data/still.img")
    d.drivebay("drive", "add", "still", "--source", "/data/still.img", "--read-only")
    d.drivebay("present", "still", "--to", "blade01")
    attach(blade, "still")
    assert blade.run(f"blockdev --getro {DEVICE}").out.strip() == "1"
    assert blade.run(f"dd if=/dev/zero of={DEVICE} bs=4k count=1 oflag=direct", check=False).rc != 0
    assert sha256(blade, DEVICE) == before == sha256(mm, "/data/still.img")
    detach(blade)


@limit(90)
def test_a_fence_ends_the_kernels_writes(c):
    """What this client sends after its blade has lost the drive is an error to its user, and nothing of it is applied."""
    mm, blade = c["mm"], c["blade01"]
    mm.run("truncate -s 8M /data/fenced.img")
    d.drivebay("drive", "add", "fenced", "--source", "/data/fenced.img")
    d.drivebay("present", "fenced", "--to", "blade01", "--access", "write")
    attach(blade, "fenced")
    writes = f"yes now | dd of={DEVICE} bs=4k count=1 iflag=fullblock oflag=direct"
    assert blade.run(writes).rc == 0
    d.drivebay("withdraw", "fenced", "--from", "blade01", "--force")
    before = sha256(mm, "/data/fenced.img")
    late = blade.run(writes.replace("now", "late"), check=False, timeout=60)
    assert late.rc != 0, late
    assert sha256(mm, "/data/fenced.img") == before
    blade.run(["nbd-client", "-d", DEVICE], check=False, timeout=20)
