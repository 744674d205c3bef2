"""A blade's own daemons die under a drive that its host uses: what the host sees, and how it recovers."""
from deployment import Deployment, sha256
from machine import wait_until
from testing import limit

MACHINES = ["mm", "blade01"]
d = None


def setup(c):
    global d
    d = Deployment(c)
    d.start()
    c["mm"].run("truncate -s 16M /data/scratch.img")
    d.drivebay("drive", "add", "scratch", "--source", "/data/scratch.img")


def presented(c):
    """The host's device of the writable drive. What a test has started ends with it, so gadgetd may have to begin again."""
    if not d.daemon(c["blade01"], "drivebay-gadgetd").running:
        d.start_gadgetd(c["blade01"])
    d.drivebay("present", "scratch", "--to", "blade01", "--access", "write", "--wait=20")
    return d.host_device("scratch", "blade01")


def test_gadgetd_killed_during_io_is_not_noticed_by_the_host(c):
    blade, device = c["blade01"], presented(c)
    blade.run("dmesg -C")
    writer = blade.popen(f"dd if=/dev/urandom of={device['path']} bs=64k count=256 oflag=direct conv=notrunc")
    d.daemon(blade, "drivebay-gadgetd").kill()
    d.start_gadgetd(blade)
    assert blade.channel.wait(lambda: writer.done, 50) and writer.rc == 0, bytes(writer.err)
    wait_until(lambda: d.slot("scratch", "blade01"), 10, "the slot is told again")
    assert d.lease("scratch", "blade01")["epoch"] == 1
    assert d.host_device("scratch", "blade01")["path"] == device["path"]
    log = blade.run("dmesg").out
    assert "reset" not in log and "disconnect" not in log and "error" not in log, log
    blade.run("sync")
    assert sha256(blade, device["path"]) == sha256(c["mm"], "/data/scratch.img")


@limit(90)
def test_drivebayfs_of_the_blade_killed_comes_back_as_a_new_medium_on_the_same_drive(c):
    blade, device = c["blade01"], presented(c)
    epoch = d.lease("scratch", "blade01")["epoch"]
    d.kill_drivebayfs(blade)
    d.mount(blade, "mm")
    wait_until(lambda: (d.lease("scratch", "blade01") or {}).get("epoch", 0) > epoch, 20, "a new epoch")
    again = d.host_device("scratch", "blade01", limit=30)
    assert again["path"] == device["path"] and again["usb"] == device["usb"], (device, again)
    blade.run(f"printf recovered | dd of={again['path']} oflag=sync conv=notrunc status=none")
    assert c["mm"].run("head -c 9 /data/scratch.img").out == "recovered"
