"""fio, driven: one load on one server, and what it cost that server."""
import json
import subprocess
from dataclasses import dataclass

from programs import Unwell


@dataclass(frozen=True)
class Load:
    """`clients` of fio's jobs, each with `depth` requests of `block` in flight."""
    pattern: str  # fio's --rw
    block: str
    depth: int
    clients: int = 1
    cached: bool = False  # a range that fits everybody's page cache, and is in there

    def command(self, places, seconds, size):
        """One job, or `clients` of them, for each of the places, which are paths or NBD URIs."""
        jobs = []
        for where in places:
            target = ["--ioengine=nbd", f"--uri={where}"] if where.startswith("nbd") else ["--ioengine=libaio", f"--filename={where}"]
            jobs += ["--name=bench", *target]
        return ["fio", "--thread", f"--rw={self.pattern}", f"--bs={self.block}", f"--iodepth={self.depth}",
                f"--numjobs={self.clients}", f"--size={size}", "--direct=1", f"--runtime={seconds}", "--time_based",
                "--ramp_time=0.25", "--norandommap", "--randrepeat=0", "--allrandrepeat=0", "--output-format=json", *jobs]


@dataclass
class Outcome:
    iops: float
    mib: float       # a second
    slowest: float   # the slowest client's part of an equal share
    cpu_gib: float   # the server's CPU seconds for a GiB


def run(load, server, seconds, size):
    return run_each(load, [server], seconds, size)


def run_each(load, servers, seconds, size):
    """The load on each of the places that one program serves, at once."""
    before = servers[0].cpu_seconds()
    fio = subprocess.run(load.command([server.where for server in servers], seconds, size), capture_output=True, text=True,
                         check=False)
    cpu = servers[0].cpu_seconds() - before
    if fio.returncode != 0:
        raise Unwell(f"fio on {servers[0].where}: {(fio.stderr or fio.stdout).strip()[-400:]}")
    jobs = json.loads(fio.stdout[fio.stdout.index("{"):])["jobs"]
    way = "write" if "write" in load.pattern else "read"
    iops = [job[way]["iops"] for job in jobs]
    mib = sum(job[way]["bw_bytes"] for job in jobs) / (1 << 20)
    # The ramp before the measured time costs the server, too.
    moved_gib = mib * (seconds + 0.25) / 1024
    return Outcome(sum(iops), mib, min(iops) * len(iops) / sum(iops), cpu / moved_gib)
