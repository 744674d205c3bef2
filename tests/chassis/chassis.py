"""The virtual chassis: machines of Debian's stock kernel on networks of their own.

    with Chassis(["mm", "blade01", "blade02"]) as c:
        mm, host = c["mm"], c["blade01"]
        daemon = mm.start("arbiterd", [c.path("arbiterd"), "--foreground"])
        host.wait_until("test -e /dev/sda", 10)
        c.cut("blade01"); c.restore("blade01")
        host.kill(); host.boot()

At the end of the block, by whatever way it is left, no process is. Logs stay in c.folder.
"""
import glob
import os
import shutil
import subprocess
import time

import ending
import guest_setup
from machine import Machine, wait_until
from network import Network
from spec import Disk, Spec, from_plan
from testing import Skip
from usb_wire import Wire

__all__ = ["Chassis", "Disk", "Spec", "wait_until"]

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT_RUNS = 10


def drop_disks(folder):
    for image in glob.glob(os.path.join(glob.escape(folder), "*/disk*.img")):
        os.unlink(image)


class Chassis:
    """`machines`: names of the plan ('mm', 'blade01' …) or Specs; `build`: the folder with the programs
    under test; `root`: where kernel and logs go; `env`: for every command in every machine."""

    def __init__(self, machines, build=None, root=None, env=None, say=None):
        self.top = os.path.dirname(os.path.dirname(HERE))
        self.build = os.path.abspath(build or os.path.join(self.top, "build", "release"))
        self.root = os.path.abspath(root or os.path.join(self.top, "build", "chassis"))
        self.env = {"DRIVEBAY_TOP": self.top, "DRIVEBAY_BUILD": self.build, **(env or {})}
        self.specs = [from_plan(one) for one in machines]
        self.say = say or (lambda text: None)
        self.kernel = None
        self.machines = {}
        self.wires = {one.name: Wire() for one in self.specs if one.wired}
        self.network = None
        self.folder = None

    def __getitem__(self, name):
        return self.machines[name]

    def __iter__(self):
        return iter(self.machines.values())

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        ending.on_signals()
        made = subprocess.run([os.path.join(HERE, "kernel.sh"), self.root], check=True,
                              stdout=subprocess.PIPE, text=True)
        self.kernel = made.stdout.strip()
        tree = None
        if any(one.systemd for one in self.specs):
            made = subprocess.run([os.path.join(HERE, "debian.sh"), self.root], check=False,
                                  stdout=subprocess.PIPE, text=True)
            if made.returncode == 77:
                raise Skip("no Debian tree can be made here; what debootstrap said stands above")
            made.check_returncode()
            tree = made.stdout.strip()
        self._make_folder()
        self.network = Network(os.path.join(self.folder, "switch.log"))
        with open(os.path.join(self.kernel, "version"), encoding="ascii") as version:
            release = version.read().strip()
        modules = os.path.join(self.kernel, "lib/modules", release)
        for index, one in enumerate(self.specs):
            folder = os.path.join(self.folder, one.name)
            os.mkdir(folder)
            with open(os.path.join(folder, "setup"), "w", encoding="utf-8") as target:
                target.write(guest_setup.script(index, one, self.specs, modules, release, tree))
            with open(os.path.join(folder, "agent"), "w", encoding="utf-8") as target:
                target.write(os.path.join(HERE, "agent.py") + "\n")
            shutil.copy(os.path.join(HERE, "agent.py"), folder)     # for a root that has not this one's paths
            self._make_disks(one, folder)
            self.machines[one.name] = Machine(self, one, index, folder)
        self.boot()

    def boot(self):
        """Powers on every machine that does not run, all at once, and waits for them."""
        for machine in self:
            if not machine.running:
                machine.power_on()
        end = time.monotonic() + sum(200 if one.systemd else 40 for one in self.specs)
        for machine in self:
            machine.wait_ready(max(1, end - time.monotonic()))

    def _make_folder(self):
        runs = os.path.join(self.root, "run")
        os.makedirs(runs, exist_ok=True)
        ended = [old for old in sorted(glob.glob(os.path.join(glob.escape(runs), "2*-*-*-*")))
                 if not os.path.exists(f"/proc/{old.rsplit('-', 1)[1]}")]
        for old in ended[:-KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)
        for old in ended:
            drop_disks(old)     # of a run that could not do it itself
        number = 0
        while True:
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{number}-{os.getpid()}"
            self.folder = os.path.join(runs, name)
            try:
                os.mkdir(self.folder)
                break
            except FileExistsError:
                number += 1

    @staticmethod
    def _make_disks(one, folder):
        for number, disk in enumerate(one.disks):
            if disk.path:
                continue
            path = os.path.join(folder, f"disk{number}.img")
            with open(path, "wb") as image:
                image.truncate(disk.size)
            if disk.mount:
                subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-E",
                                "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", path],
                               check=True, stdin=subprocess.DEVNULL)

    def close(self):
        """Ends every process of this chassis and drops the disks; safe to call again."""
        with ending.uninterrupted():
            for machine in self:
                machine.kill()
            if self.network:
                self.network.close()
                self.network = None
            for wire in self.wires.values():
                wire.close()
            if self.folder:
                drop_disks(self.folder)

    def path(self, program):
        """A program of the build under test, at the same path in every machine."""
        return os.path.join(self.build, program)

    # --- the network

    def _segment(self, name, segment):
        return segment or next(iter(self[name].spec.addresses))

    def cut(self, name, segment=None, direction="both"):
        """Loses every frame of a machine without a sign, as a fault further away does.

        direction: both; `into` (nothing reaches the machine); `out` (nothing leaves it)."""
        if direction not in ("both", "into", "out"):
            raise ValueError(f"direction '{direction}' is none of both, into, out")
        ways = {way: False for way in ("into", "out") if direction in ("both", way)}
        self.network.set(self._segment(name, segment), name, **ways)

    def restore(self, name, segment=None):
        """Undoes cut, delay and drop."""
        self.network.set(self._segment(name, segment), name, into=True, out=True, delay=0, drop=0)

    def delay(self, name, milliseconds, segment=None):
        """In each direction: a round trip grows by twice that."""
        self.network.set(self._segment(name, segment), name, delay=milliseconds)

    def drop(self, name, percent, segment=None):
        """In each direction."""
        self.network.set(self._segment(name, segment), name, drop=percent)

    def traffic(self, name, segment=None):
        """{frames, bytes, dropped} of what the machine has sent."""
        return self.network.count()[f"{self._segment(name, segment)}/{name}"]
