"""A link that is cut for longer than anything waits."""
from deployment import Deployment
from host_at_work import never_reset, verifying
from machine import wait_until
from testing import limit

MACHINES = ["mm", "blade01"]


@limit(180)
def test_d2_a_link_cut_for_60_s_is_a_medium_error_and_the_slot_recovers_by_itself(c):
    d, mm, blade = Deployment(c), c["mm"], c["blade01"]
    d.start()
    mm.run("truncate -s 16M /data/scratch.img")
    d.drivebay("drive", "add", "scratch", "--source", "/data/scratch.img")
    d.drivebay("present", "scratch", "--to", "blade01", "--access", "write", "--wait=20")
    device = d.host_device("scratch", "blade01")
    blade.run("dmesg -C")
    fio = verifying(blade, device, "--iodepth=4")
    mm.wait_until("test -n \"$(find /data/scratch.img -newermt '-1 second')\"", 20, "the host writes")
    c.cut("blade01")
    assert blade.channel.wait(lambda: fio.done, 30), "the host waits on past the pause limit"
    assert "Input/output error" in bytes(fio.out + fio.err).decode() or fio.rc != 0, "the host saw no error"
    blade.channel.wait(lambda: False, 60)
    c.restore("blade01")
    again = d.host_device("scratch", "blade01", limit=40)
    never_reset(blade)
    assert (again["path"], again["usb"]) == (device["path"], device["usb"]), (device, again)
    blade.run(f"printf recovered | dd of={again['path']} oflag=sync conv=notrunc status=none")
    wait_until(lambda: mm.run("head -c 9 /data/scratch.img").out == "recovered", 10, "it is written to again")
