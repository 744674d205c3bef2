"""A writer that dies, freezes or is taken over in the middle of a burst of writes, on real hosts."""
import struct
import time

from deployment import Deployment
from host_at_work import ClosedBurst, never_reset
from machine import wait_until
from testing import limit

MACHINES = ["mm", "blade01", "blade02"]
BLOCK = 4096
BLOCKS = 256
TTL = 10    # seconds, as the arbiter's configuration has it
d = None


def setup(c):
    global d
    d = Deployment(c)
    d.start()
    c["mm"].run(f"truncate -s {BLOCK * BLOCKS} /data/burst.img")
    d.drivebay("drive", "add", "burst", "--source", "/data/burst.img")


# Writes block after block, each bearing its number, and logs a number once the kernel says that it is written. The device
# stays open, so the host keeps the door locked. Ends at an error, or when /run/stop is there.
BURST = """
import mmap, os, struct, sys
device = os.open(sys.argv[1], os.O_WRONLY | os.O_DIRECT)
page = mmap.mmap(-1, 4096)
log = open("/run/acknowledged", "wb", buffering=0)
number = 0
while not os.path.exists("/run/stop"):
    number += 1
    page[:16] = struct.pack(">8sQ", b"drivebay", number)
    try:
        os.pwrite(device, page, number % 256 * 4096)
    except OSError as error:
        sys.exit(f"write {number}: {error.strerror}")
    log.write(struct.pack(">Q", number))
"""


class Burst:
    def __init__(self, machine, device):
        self.machine = machine
        machine.run("rm -f /run/stop /run/acknowledged")
        self.job = machine.start("burst", ["python3", "-c", BURST, device])
        machine.wait_until("test $(stat -c %s /run/acknowledged 2>/dev/null || echo 0) -ge 160")

    def stop(self):
        self.machine.run("touch /run/stop")
        self.job.wait(30)

    def acknowledged(self):
        """By block: the last write that the host saw complete."""
        log = self.machine.get("/run/acknowledged")
        return {number % BLOCKS: number for (number,) in struct.iter_unpack(">Q", log[:len(log) // 8 * 8])}


def on_the_drive(c):
    """By block: the number of the write that is there, 0 for none; None for anything else."""
    data = c["mm"].get("/data/burst.img")
    found = {}
    for block in range(BLOCKS):
        mark, number = struct.unpack(">8sQ", data[block * BLOCK:block * BLOCK + 16])
        found[block] = number if mark == b"drivebay" else 0 if mark == bytes(8) else None
    return found


def hand_to(blade, *how, **run):
    return d.drivebay("present", "burst", "--to", blade, "--access", "write", *how, **run)


def begin(c):
    """blade01 writes."""
    hand_to("blade01")
    return Burst(c["blade01"], d.host_device("burst", "blade01")["path"])


def overwrite(c):
    """blade02's host writes the whole drive; what it wrote."""
    device = d.host_device("burst", "blade02")["path"]
    c["blade02"].run(f"head -c {BLOCK * BLOCKS} /dev/zero | tr '\\0' B | "
                     f"dd of={device} bs=64k oflag=direct conv=fsync,notrunc status=none", timeout=60)
    return b"B" * (BLOCK * BLOCKS)


def end(c):
    d.drivebay("withdraw", "burst", "--from", "all", "--force", check=False)
    wait_until(lambda: not [one for one in d.status()["leases"] if one["drive"] == "burst"], 20, "nobody has it")
    c["mm"].run(f"dd if=/dev/zero of=/data/burst.img bs={BLOCK} count={BLOCKS} conv=notrunc status=none")


def audited(after, blade):
    """The names of the events of that blade since event `after`."""
    return [event["event"] for event in d.events(after) if event.get("blade") == blade]


def loss_told(after):
    """Waits for it: the ways in which the audit log tells of a loss of blade01's."""
    wait_until(lambda: {"lost", "loss-unknown"} & set(audited(after, "blade01")), 30, "the loss is told")
    return ", ".join(sorted({"lost", "loss-unknown"} & set(audited(after, "blade01"))))


def test_take_waits_for_a_locked_door_until_its_deadline_and_loses_no_write_that_was_answered(c):
    burst = begin(c)
    started = time.monotonic()
    refusal = hand_to("blade02", "--take", "--deadline", "4", check=False, timeout=60)
    waited = time.monotonic() - started
    assert refusal.rc == 1 and "locked the door" in refusal.err, refusal
    assert waited >= 4, f"refused after {waited:.1f} s"
    assert d.lease("burst", "blade01")["state"] == "held" and d.lease("burst", "blade02") is None
    burst.stop()
    hand_to("blade02", "--take", timeout=60)
    found = on_the_drive(c)
    lost = {block: number for block, number in burst.acknowledged().items() if found[block] != number}
    assert not lost, lost
    end(c)
    return f"refused after {waited:.1f} s, then {len(burst.acknowledged())} blocks of answered writes were all there"


def test_force_says_that_writes_were_lost_or_that_it_cannot_be_known(c):
    burst = begin(c)
    before = d.last_event()
    hand_to("blade02", "--force", timeout=60)
    content = overwrite(c)
    burst.job.wait(60)
    assert burst.job.rc != 0, "the host's writes went on after the drive was taken by force"
    told = loss_told(before)
    assert c["mm"].get("/data/burst.img") == content, "a write of the old holder landed"
    end(c)
    return f"told: {told}"


@limit(150)
def test_a_frozen_blade_writes_nothing_after_its_lease_went(c):
    burst = begin(c)
    c["blade01"].pause()
    frozen = time.monotonic()
    hand_to("blade02", "--wait=40", timeout=60)
    granted = time.monotonic() - frozen
    content = overwrite(c)
    c["blade01"].resume()
    burst.job.wait(60)
    assert burst.job.rc != 0, "the frozen host's writes went on"
    assert c["mm"].get("/data/burst.img") == content, "a write of the frozen blade landed"
    assert granted <= TTL + 1 + 2, f"blade02 waited {granted:.1f} s"    # 2 s for the emulated host to see its medium
    end(c)
    return f"blade02 had it {granted:.1f} s after the freeze"


def without_medium(blade, device):
    """The slot is empty for the arbiter, and the host is told so when it asks; it was never reset."""
    wait_until(lambda: d.slot("burst", blade.name) is None, 40, "the slot is empty")
    sense = blade.run(f"sg_turs -v {device}", check=False)
    assert "not present" in (sense.out + sense.err).lower(), sense
    never_reset(blade)


@limit(150)
def test_d2_a_writer_whose_link_is_cut_loses_the_drive_to_a_waiter_and_its_late_writes_never_land(c):
    c["blade01"].run("dmesg -C")
    before = d.last_event()
    burst = begin(c)
    device = d.host_device("burst", "blade01")["path"]
    c.cut("blade01")
    cut = time.monotonic()
    hand_to("blade02", "--wait=40", timeout=60)
    granted = time.monotonic() - cut
    content = overwrite(c)
    burst.job.wait(60)
    assert burst.job.rc != 0, "the host that was cut off writes on"
    c.restore("blade01")
    told = loss_told(before)
    without_medium(c["blade01"], device)
    assert c["mm"].get("/data/burst.img") == content, "a write of the blade that was cut off landed"
    assert granted <= TTL + 1 + 2, f"blade02 waited {granted:.1f} s"
    end(c)
    return f"blade02 had it {granted:.1f} s after the cut; told: {told}"


@limit(150)
def test_d2_answered_writes_that_a_cut_link_and_a_waiter_leave_behind_are_told_as_lost(c):
    hand_to("blade01")
    c["blade01"].run("dmesg -C")
    before = d.last_event()
    device = d.host_device("burst", "blade01")["path"]
    burst = ClosedBurst(c["blade01"], device, "behind", blocks=BLOCK * BLOCKS // 16384)
    c.cut("blade01")
    burst.go_on()
    seconds = burst.closed()
    assert seconds < 10, f"closing took {seconds:.1f} s: past 10 s a host resets the whole device"
    hand_to("blade02", "--wait=40", timeout=60)
    assert c["mm"].get("/data/burst.img") != burst.content(), "nothing was left to lose"
    content = overwrite(c)
    c.restore("blade01")
    told = loss_told(before)
    without_medium(c["blade01"], device)
    assert c["mm"].get("/data/burst.img") == content, "a write of the blade that was cut off landed"
    end(c)
    return f"the host's close took {seconds:.1f} s; told: {told}"


@limit(150)
def test_a_writer_that_loses_power_in_a_burst_keeps_nobody_waiting_longer_than_its_session(c):
    begin(c)
    c["blade01"].kill()
    off = time.monotonic()
    hand_to("blade02", "--wait=40", timeout=60)
    loaded = time.monotonic() - off
    assert None not in on_the_drive(c).values(), "a block is torn or foreign"
    assert loaded <= TTL + 1 + 2, f"blade02 waited {loaded:.1f} s"
    content = overwrite(c)
    assert c["mm"].get("/data/burst.img") == content
    return f"blade02 had it {loaded:.1f} s after the power was gone"
