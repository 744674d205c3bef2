"""The whole chain on separate machines: from the management module's drive to a host's file system.

Each test names what would be broken if it failed; the letters are those of the acceptance list."""
import json
import time

from deployment import Deployment, sha256
from machine import wait_until
from testing import limit
from usb_gadget import host_devices

MACHINES = ["mm", "blade01", "blade02", "store", "desk"]
ALL = "blade01,blade02"
d = None    # the Deployment that every test here uses


def setup(c):
    global d
    d = Deployment(c)
    d.start()
    c["mm"].run("xorriso -as mkisofs -quiet -o /data/install.iso -V INSTALL -r -J "
                "/usr/share/common-licenses 2>/dev/null", timeout=60)
    d.drivebay("drive", "add", "install", "--source", "/data/install.iso")


def image(c, name, megabytes, machine="mm"):
    """A writable drive of that name from a fresh image file; its path."""
    path = f"/data/{name}.img"
    c[machine].run(f"truncate -s {megabytes}M {path}")
    d.drivebay("drive", "add", name, "--source", path)
    return path


def forget(*drives):
    """Takes drives away from everybody, by force, and removes them."""
    for drive in drives:
        d.drivebay("withdraw", drive, "--from", "all", "--force", check=False)
        wait_until(lambda name=drive: d.drivebay("drive", "remove", name, check=False).rc == 0, 15,
                   f"{drive} can be removed")


def served_bytes(blade):
    """What the management module's counters say that the blade has read."""
    return json.loads(d.drivebay("blade", "show", blade, "--json").out)["served"]["read_bytes"]


def scsi_read_fails(machine, path):
    return machine.run(f"dd if={path} of=/dev/null bs=4k count=1 iflag=direct", check=False).rc != 0


def test_a3_two_hosts_read_one_image_at_once_and_every_byte_comes_from_the_management_module(c):
    d.drivebay("present", "install", "--to", ALL)
    wanted = sha256(c["mm"], "/data/install.iso")
    size = int(c["mm"].run("stat -c %s /data/install.iso").out)
    before = {blade.name: served_bytes(blade.name) for blade in d.blades}
    jobs = {}
    for blade in d.blades:
        device = d.host_device("install", blade.name)
        assert device["name"].startswith("sr") and device["size"] == size, device
        blade.run("echo 3 >/proc/sys/vm/drop_caches")
        jobs[blade] = blade.popen(f"sha256sum {device['path']}")
    for blade, job in jobs.items():
        assert blade.channel.wait(lambda done=job: done.done, 60)
        assert bytes(job.out).decode().split()[0] == wanted, blade.name
    for blade in d.blades:
        wait_until(lambda name=blade.name: served_bytes(name) - before[name] >= size, 5,
                   f"the counters of {blade.name} tell {size} bytes")


def test_a5_a_write_without_a_write_lease_fails_in_the_file_in_the_export_and_in_the_lun(c):
    d.drivebay("present", "install", "--to", "blade01")
    mm, host = c["mm"], c["blade01"]
    before = sha256(mm, "/data/install.iso")
    file = mm.run("dd if=/dev/zero of=/srv/drivebay/blades/blade01/install bs=4k count=1 conv=notrunc", check=False)
    assert file.rc != 0 and "Read-only file system" in file.err, file
    export = mm.run(["nbdsh", "-u", f"nbd://{mm.address}/blade01/install", "-c",
                     "h.set_strict_mode(0)\nh.pwrite(bytes(512), 0)"], check=False)
    assert export.rc != 0 and "Operation not permitted" in export.err, export
    device = d.host_device("install", "blade01")["path"]
    sense = host.run(f"sg_raw -s 2048 -i /dev/zero {device} 2a 00 00 00 00 00 00 00 01 00", check=False)
    assert "write protected" in (sense.out + sense.err).lower(), sense
    assert sha256(mm, "/data/install.iso") == before


@limit(120)
def test_a4_a_hosts_eject_hands_the_drive_to_the_next_in_the_queue_intact(c):
    one, two = c["blade01"], c["blade02"]
    image(c, "scratch", 32)
    d.drivebay("present", "scratch", "--to", "blade01", "--access", "write")
    device = d.host_device("scratch", "blade01")["path"]
    one.run(f"mkfs.ext4 -q -F {device} && mkdir -p /mnt/a && mount {device} /mnt/a && "
            "head -c 4M /dev/urandom >/mnt/a/file && sync", timeout=60)
    digest = sha256(one, "/mnt/a/file")
    queued = d.drivebay("present", "scratch", "--to", "blade02", "--access", "write")
    assert "blade01" in queued.out + queued.err, queued
    refused = d.drivebay("present", "scratch", "--to", "blade02", "--no-queue", check=False)
    assert refused.rc == 1 and "blade01" in refused.err, refused
    epoch = d.lease("scratch", "blade01")["epoch"]
    one.run("umount /mnt/a")
    begin = time.monotonic()
    one.run(f"eject {device}")
    wait_until(lambda: (d.slot("scratch", "blade02") or {}).get("state") == "loaded", 20, "scratch on blade02")
    seconds = time.monotonic() - begin
    assert d.lease("scratch", "blade02")["epoch"] == epoch + 1
    assert d.lease("scratch", "blade01") is None
    device = d.host_device("scratch", "blade02")["path"]
    two.run(f"fsck.ext4 -f -n {device}", timeout=60)
    two.run(f"mkdir -p /mnt/a && mount {device} /mnt/a")
    assert sha256(two, "/mnt/a/file") == digest
    two.run("umount /mnt/a")
    forget("scratch")
    return f"loaded {seconds:.1f} s after the eject"


def test_a5_what_waits_and_what_is_refused_never_reaches_the_drive(c):
    path = image(c, "contested", 8)
    d.drivebay("present", "contested", "--to", "blade01", "--access", "write")
    before = sha256(c["mm"], path)
    for access in ("write", "read"):
        assert d.drivebay("present", "contested", "--to", "blade02", "--access", access, "--no-queue",
                          check=False).rc == 1
        waited = d.drivebay("present", "contested", "--to", "blade02", "--access", access, "--wait=1", check=False)
        assert waited.rc == 1, waited
        assert d.lease("contested", "blade02") is None, "at the limit it leaves the queue"
        d.drivebay("present", "contested", "--to", "blade02", "--access", access)
        assert d.lease("contested", "blade02")["state"] == "waiting"
        assert c["mm"].run("ls /srv/drivebay/blades/blade02/contested", check=False).rc != 0
        d.drivebay("withdraw", "contested", "--from", "blade02")
    assert sha256(c["mm"], path) == before
    forget("contested")


@limit(120)
def test_a6_a_remote_drive_that_only_the_management_module_reaches_is_read_by_both_hosts(c):
    store = c["store"]
    store.run("head -c 12M /dev/urandom >/data/remote.img", timeout=60)
    server = store.start("nbdkit", f"nbdkit -f -r -i {store.address} -p 10810 file /data/remote.img")
    c["mm"].wait_until("nbdinfo --size nbd://store.san:10810")
    for blade in d.blades:
        assert blade.run(f"busybox nc -w 1 {store.address} 10810 </dev/null", check=False).rc != 0
    d.drivebay("drive", "add", "remote", "--source", "nbd://store.san:10810", "--read-only", on=c["desk"])
    d.drivebay("present", "remote", "--to", "all", on=c["desk"])
    wanted = sha256(store, "/data/remote.img")
    for blade in d.blades:
        device = d.host_device("remote", blade.name)["path"]
        assert sha256(blade, device) == wanted, blade.name
    forget("remote")
    server.kill()


@limit(180)
def test_a7_one_host_uses_four_drives_and_three_go_on_when_a_remote_server_dies(c):
    host, store = c["blade01"], c["store"]
    store.run("head -c 6M /dev/urandom >/data/r1.img; head -c 6M /dev/urandom >/data/r2.img", timeout=60)
    servers = [store.start(f"nbdkit{n}", f"nbdkit -f -i {store.address} -p {10810 + n} file /data/r{n}.img")
               for n in (1, 2)]
    for n in (1, 2):
        c["mm"].wait_until(f"nbdinfo --size nbd://store.san:{10810 + n}")
        d.drivebay("drive", "add", f"remote{n}", "--source", f"nbd://store.san:{10810 + n}")
    image(c, "local2", 8)
    d.drivebay("present", "install", "--to", "blade01")
    for drive in ("local2", "remote1", "remote2"):
        d.drivebay("present", drive, "--to", "blade01", "--access", "write")
    path = {drive: d.host_device(drive, "blade01")["path"] for drive in ("install", "local2", "remote1", "remote2")}
    devices = host_devices(host)
    assert {one["interfaces"] for one in devices} == {4} and len({one["interface"] for one in devices}) == 4
    host.run(f"dd if={path['install']} of={path['local2']} bs=64k count=8 oflag=direct conv=fsync status=none && "
             f"dd if={path['local2']} of={path['remote1']} bs=64k count=8 oflag=direct conv=fsync status=none && "
             f"dd if={path['remote1']} of={path['remote2']} bs=64k count=8 oflag=direct conv=fsync status=none && "
             f"cmp -n 524288 {path['install']} {path['remote2']}", timeout=60)
    servers[1].kill()
    wait_until(lambda: scsi_read_fails(host, path["remote2"]), 40, "the dead server's drive fails")
    host.run(f"dd if={path['remote1']} of={path['local2']} bs=64k count=8 iflag=direct oflag=direct conv=fsync "
             f"status=none && dd if={path['install']} of=/dev/null bs=64k count=8 iflag=direct status=none", timeout=30)
    forget("local2", "remote1", "remote2")
    servers[0].kill()


def test_a8_withdraw_takes_the_medium_the_file_and_the_connection_and_the_next_is_a_media_change(c):
    mm, host = c["mm"], c["blade02"]
    image(c, "passing", 8)
    d.drivebay("present", "passing", "--to", "blade02", "--access", "write")
    before = d.host_device("passing", "blade02")
    connections = f"ss -Htn state established '( sport = :10809 )' dst {host.address} | wc -l"
    assert int(mm.run(connections).out) > 0
    d.drivebay("withdraw", "passing", "--from", "blade02")
    assert mm.run("ls /srv/drivebay/blades/blade02/passing", check=False).rc != 0
    sense = host.run(f"sg_turs -v {before['path']}", check=False)
    assert "not present" in (sense.out + sense.err).lower(), sense
    others = len([lease for lease in d.status()["leases"] if lease["blade"] == "blade02"])
    mm.wait_until(f"test $({connections}) -le {others}", 10)
    host.run("dmesg -C")
    d.drivebay("present", "passing", "--to", "blade02", "--access", "write")
    after = d.host_device("passing", "blade02")
    assert (after["path"], after["usb"]) == (before["path"], before["usb"])
    assert "USB disconnect" not in host.run("dmesg").out
    forget("passing")


def test_a9_a_large_iso_is_not_cut_but_shown_whole_as_a_read_only_disk(c):
    mm, size = c["mm"], 3 << 30
    mm.run(f"cp /data/install.iso '/data/größe (3 GiB).iso' && truncate -s {size} '/data/größe (3 GiB).iso'")
    mm.run("printf 'the last bytes' | dd of='/data/größe (3 GiB).iso' bs=1 "
           f"seek={size - 14} conv=notrunc status=none")
    added = d.drivebay("drive", "add", "large", "--source", "/data/größe (3 GiB).iso")
    assert "read-only disk" in added.out + added.err, added
    d.drivebay("present", "large", "--to", "blade01")
    device = d.host_device("large", "blade01")
    assert device["size"] == size and device["name"].startswith("sd") and device["ro"], device
    tail = c["blade01"].run(f"dd if={device['path']} bs=512 skip={size // 512 - 1} iflag=direct status=none | tail -c 14")
    assert tail.out == "the last bytes"
    forget("large")


@limit(120)
def test_a11_a_write_left_unanswered_by_a_cut_link_is_not_applied_after_two_handovers(c):
    one, two, mm = c["blade01"], c["blade02"], c["mm"]
    path = image(c, "fenced", 8)
    d.drivebay("present", "fenced", "--to", "blade01", "--access", "write")
    device = d.host_device("fenced", "blade01")["path"]
    # A stranger's client that keeps its connection, and a handle of the file on the management module.
    mm.start("stranger", ["nbdsh", "-u", f"nbd://{mm.address}/blade01/fenced", "-c", STRANGER])
    handle = mm.start("handle", ["python3", "-c", OLD_HANDLE, "/srv/drivebay/blades/blade01/fenced"])
    mm.wait_until("test -e /run/stranger.ready -a -e /run/handle.ready")
    c.cut("blade01")
    stuck = one.popen(f"head -c 4096 /dev/zero | tr '\\0' A | dd of={device} bs=4k count=1 oflag=direct conv=notrunc")
    begin = time.monotonic()
    d.drivebay("present", "fenced", "--to", "blade02", "--access", "write", "--wait=40", timeout=50)
    granted = time.monotonic() - begin
    second = d.host_device("fenced", "blade02")["path"]
    two.run(f"head -c 4096 /dev/zero | tr '\\0' B | dd of={second} bs=4k count=1 oflag=direct conv=fsync,notrunc status=none")
    two.run(f"eject {second}")
    wait_until(lambda: d.lease("fenced", "blade02") is None, 15, "blade02 has released it")
    c.restore("blade01")
    wait_until(lambda: (d.slot("fenced", "blade01") or {}).get("state") == "loaded", 40, "fenced on blade01 again")
    one.channel.wait(lambda: stuck.done, 30)
    mm.run("touch /run/go")
    assert handle.wait(15) == 0, handle.text()
    mm.wait_until("test -e /run/stranger.done", 15)
    assert mm.get("/run/stranger.done").decode().startswith("refused"), mm.get("/run/stranger.done")
    wait_until(lambda: mm.run(f"head -c 4096 {path}").out == "B" * 4096, 5, "blade02's bytes are on the drive")
    forget("fenced")
    return f"blade02 had it {granted:.1f} s after the cut"


STRANGER = """
import os, time
open("/run/stranger.ready", "w").close()
while not os.path.exists("/run/go"):
    time.sleep(0.05)
try:
    h.pwrite(b"C" * 4096, 0)
    verdict = "applied"
except nbd.Error as error:
    verdict = f"refused: {error}"
with open("/run/stranger.part", "w") as out:
    out.write(verdict)
os.rename("/run/stranger.part", "/run/stranger.done")
"""

OLD_HANDLE = """
import errno, os, sys, time
handle = os.open(sys.argv[1], os.O_RDWR)
open("/run/handle.ready", "w").close()
while not os.path.exists("/run/go"):
    time.sleep(0.05)
try:
    os.pwrite(handle, b"D" * 4096, 0)
except OSError as error:
    print(error)
    sys.exit(error.errno != errno.ESHUTDOWN)
sys.exit("the old handle wrote")
"""
