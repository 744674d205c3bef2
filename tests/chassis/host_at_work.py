"""A blade's host that writes, and what may not be seen on it meanwhile."""


def verifying(blade, device, *options):
    """fio, writing and verifying round after round until it is told to end."""
    return blade.popen(" ".join((
        f"cd /run && fio --name=verify --filename={device['path']} --direct=1 --ioengine=libaio --rw=randwrite --bs=16k",
        "--verify=crc32c --verify_fatal=1 --verify_backlog=64 --verify_state_save=0 --randrepeat=0 --time_based",
        "--runtime=3600 --output-format=terse", *options)))


def verified(blade, fio, what):
    """KiB that it has verified, once it has ended without an error."""
    assert not fio.done, f"{what} saw an error: {bytes(fio.out)} {bytes(fio.err)}"
    blade.run("pkill -INT -o -x fio", check=False)
    assert blade.channel.wait(lambda: fio.done, 60), f"{what} does not end"
    # Fields 5 and 6: errors, KiB read (fio's HOWTO, "Terse output").
    fields = next(line for line in bytes(fio.out).decode().splitlines() if line.startswith("3;")).split(";")
    assert fields[4] == "0" and int(fields[5]) > 0, fields
    return int(fields[5])


def never_reset(blade):
    log = blade.run("dmesg").out
    assert not any(word in log for word in ("reset", "disconnect")), log
    return log


# Writes a drive in two halves, each block with another content, then closes it. Between the halves it waits for /run/go. What it
# sees goes to the log: "closing" when every write was answered, "closed" with the seconds that closing took.
BURST = """
import mmap, os, sys, time
device, blocks, seed = os.open(sys.argv[1], os.O_WRONLY | os.O_DIRECT), int(sys.argv[2]), sys.argv[3]
page = mmap.mmap(-1, 16384)
for block in range(blocks):
    if block == blocks // 2:
        print("half", flush=True)
        while not os.path.exists("/run/go"):
            time.sleep(0.01)
    page[:] = f"{seed} {block:7}\\n".encode().ljust(16, b".") * 1024
    os.pwrite(device, page, block * 16384)
print("closing", flush=True)
begin = time.monotonic()
os.close(device)
print(f"closed {time.monotonic() - begin:.1f}", flush=True)
"""


class ClosedBurst:
    """A host that writes `blocks` of 16 KiB and closes the drive; `seed`, of 6 characters at most, tells its content from another's."""

    def __init__(self, machine, device, seed, blocks=64):
        self.machine, self.seed, self.blocks = machine, seed, blocks
        machine.run("rm -f /run/go /run/chassis/closed-burst.log")
        self.job = machine.start("closed-burst", ["python3", "-c", BURST, device, str(blocks), seed])
        machine.wait_until(lambda: "half" in self.job.text(), 20, "half of the burst is written")

    def go_on(self):
        """Returns once every write was answered."""
        self.machine.run("touch /run/go")
        self.machine.wait_until(lambda: "closing" in self.job.text(), 10, f"the burst is answered: {self.job.text()}")

    def closed(self, limit=30):
        """The seconds that closing took."""
        self.job.wait(limit)
        assert self.job.rc == 0, self.job.text()
        return float(self.job.text().split("closed ")[1])

    def content(self):
        return b"".join(f"{self.seed} {block:7}\n".encode().ljust(16, b".") * 1024 for block in range(self.blocks))
