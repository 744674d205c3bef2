"""Daemons die under a drive that a blade's host uses: what the host sees, and how it recovers. KILLS=N, SEED=N: see below."""
import os
import random
import time

from deployment import Deployment, sha256
from host_at_work import ClosedBurst, never_reset, verified, verifying
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
    """The host's device of the writable drive. What a test has started ends with it, so daemons may have to begin again."""
    if not d.daemon(c["mm"], "drivebay-arbiterd").running:
        d.start_arbiter()
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


@limit(int(os.environ.get("KILLS", "32")) * 10 + 60)
def test_d1_a_host_that_writes_and_verifies_notices_no_kill_of_any_daemon(c):
    blade, device = c["blade01"], presented(c)
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    blade.run("dmesg -C")
    kills = {"gadgetd": 0, "the blade's drivebayfs": 0, "the management module's drivebayfs": 0, "the arbiter": 0}
    verified_kib = 0
    # In the first half a slow link keeps answered writes in the blade's memory, whenever a kill comes. The second one asks for a
    # flush after every few writes: nothing is then allowed to be on its way.
    for delay_ms, options in ((5, ["--iodepth=8"]), (0, ["--iodepth=1", "--fsync=4"])):
        c.delay("blade01", delay_ms)
        fio = verifying(blade, device, *options)
        for _ in range(int(os.environ.get("KILLS", "32")) // 2):
            before = c["mm"].run("stat -c %.Y /data/scratch.img").out
            name = chance.choice(list(kills))
            kills[name] += 1
            if name == "gadgetd":
                d.daemon(blade, "drivebay-gadgetd").kill()
                d.start_gadgetd(blade)
            elif name == "the arbiter":
                d.daemon(c["mm"], "drivebay-arbiterd").kill()
                d.start_arbiter()
            else:
                d.kill_server(blade if "blade" in name else c["mm"])
            # The next kill hits a host at work.
            wait_until(lambda: fio.done or c["mm"].run("stat -c %.Y /data/scratch.img").out != before, 20,
                       f"the host writes on after a kill of {name}")
            assert not fio.done, f"seed {seed}, after a kill of {name}: {bytes(fio.out)} {bytes(fio.err)}"
        verified_kib += verified(blade, fio, f"seed {seed}: the host")
    log = blade.run("dmesg").out
    assert not any(word in log for word in ("reset", "disconnect", "error")), f"seed {seed}: {log}"
    again = d.host_device("scratch", "blade01")
    assert again == device, (device, again)
    killed = ", ".join(f"{count} of {name}" for name, count in kills.items())
    return f"seed {seed}; killed: {killed}; {verified_kib} KiB verified"


def on_the_drive(c, burst):
    return c["mm"].run(f"head -c {len(burst.content())} /data/scratch.img").raw_out == burst.content()


@limit(120)
def test_d1_answered_writes_that_no_flush_covers_yet_are_lost_by_a_kill(c):
    blade, mm, device = c["blade01"], c["mm"], presented(c)
    blade.run("dmesg -C")
    waited = []
    for number, killed in enumerate(([blade], [mm], [blade, mm])):
        burst = ClosedBurst(blade, device["path"], f"kill{number}")
        # While the link is cut nothing leaves the blade, so all that is answered now lies in its drivebayfs' memory.
        c.cut("blade01")
        burst.go_on()
        assert not on_the_drive(c, burst)
        for machine in killed:
            d.kill_server(machine)
        c.restore("blade01")
        waited.append(f"{burst.closed():.1f} s")
        assert on_the_drive(c, burst), f"closed, and not all there after a kill on {[machine.name for machine in killed]}"
    assert "error" not in never_reset(blade)
    assert d.host_device("scratch", "blade01") == device
    return f"closing took {', '.join(waited)}"


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


def cut_while_writing(c, seconds, **presented_to):
    """The link is cut for so long while the host writes and verifies; fio, perhaps ended, and the host's device."""
    blade, device = c["blade01"], presented(c)
    blade.run("dmesg -C")
    fio = verifying(blade, device, "--iodepth=4")
    c["mm"].wait_until("test -n \"$(find /data/scratch.img -newermt '-1 second')\"", 20, "the host writes")
    c.cut("blade01")
    blade.channel.wait(lambda: False, seconds)
    c.restore("blade01")
    return fio, device


@limit(60)
def test_d2_a_link_cut_for_5_s_is_a_pause(c):
    blade = c["blade01"]
    fio, device = cut_while_writing(c, 5)
    before = c["mm"].run("stat -c %.Y /data/scratch.img").out
    wait_until(lambda: fio.done or c["mm"].run("stat -c %.Y /data/scratch.img").out != before, 20, "the host writes on")
    verified(blade, fio, "the host")
    assert "error" not in never_reset(blade)
    assert d.host_device("scratch", "blade01") == device


@limit(120)
def test_d2_a_link_cut_for_15_s_is_a_medium_error_and_the_slot_recovers_by_itself(c):
    blade = c["blade01"]
    fio, device = cut_while_writing(c, 15)
    assert blade.channel.wait(lambda: fio.done, 30), "the host waits on past the pause limit"
    never_reset(blade)
    again = d.host_device("scratch", "blade01", limit=40)
    assert (again["path"], again["usb"]) == (device["path"], device["usb"]), (device, again)
    blade.run(f"printf recovered | dd of={again['path']} oflag=sync conv=notrunc status=none")
    wait_until(lambda: c["mm"].run("head -c 9 /data/scratch.img").out == "recovered", 10, "it is written to again")


def told_since(event):
    """The losses that the audit log tells after that event."""
    return [one["event"] for one in d.events(event) if one["event"] in ("lost", "loss-unknown")]


@limit(90)
def test_d2_a_link_cut_for_5_s_while_the_host_closes_its_drive_is_a_pause_and_everything_is_there(c):
    blade, device = c["blade01"], presented(c)
    blade.run("dmesg -C")
    before = d.last_event()
    burst = ClosedBurst(blade, device["path"], "pause")
    c.cut("blade01")
    burst.go_on()
    assert not on_the_drive(c, burst), "nothing was left to drain"
    blade.channel.wait(lambda: False, 5)
    assert "closed" not in burst.job.text(), "the close did not wait for what it had to make durable"
    c.restore("blade01")
    seconds = burst.closed()
    assert on_the_drive(c, burst), "closed, and not all there"
    assert "error" not in never_reset(blade)
    assert not told_since(before)
    assert d.host_device("scratch", "blade01") == device
    return f"the host waited {seconds:.1f} s"


@limit(120)
def test_d2_a_link_cut_past_the_pause_limit_while_the_host_closes_its_drive_is_no_silent_loss(c):
    blade, device = c["blade01"], presented(c)
    blade.run("dmesg -C")
    before = d.last_event()
    burst = ClosedBurst(blade, device["path"], "break")
    c.cut("blade01")
    cut = time.monotonic()
    burst.go_on()
    seconds = burst.closed()
    assert seconds < 10, f"closing took {seconds:.1f} s: past 10 s a host resets the whole device"
    wait_until(lambda: time.monotonic() - cut > 15, 20, "the session has expired")
    c.restore("blade01")
    wait_until(lambda: on_the_drive(c, burst) or told_since(before), 40, "the writes are there, or their loss is told")
    never_reset(blade)
    again = d.host_device("scratch", "blade01", limit=40)
    assert (again["path"], again["usb"]) == (device["path"], device["usb"]), (device, again)
    there = "all there" if on_the_drive(c, burst) else f"told: {', '.join(told_since(before))}"
    return f"closed after {seconds:.1f} s; when the link was back: {there}"
