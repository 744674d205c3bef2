"""A whole chassis in one machine: the management module and 14 blades, each with its own drivebayfs, gadgetd and USB device port."""
from deployment import (ARBITER_CFG, BLADE_FUSEFS_CFG, GADGETD_CFG, LABORATORY, MANAGEMENT_FUSEFS_CFG, SLOTS, Deployment)
from machine import wait_until

# What a machine that is one blade leaves at its default.
FUSEFS_OWN = 'socket = "{run}/fusefs.sock";\n'
GADGETD_OWN = ('mount = "{mount}";\ndrivebayfs = "{run}/fusefs.sock";\nrun_dir = "{run}/gadgetd";\nudc = "dummy_udc.{udc}";\n'
               'gadget = {{ name = "{blade}"; }};\n')


class Blade:
    def __init__(self, number):
        self.name, self.udc = f"blade{number:02}", number - 1
        self.etc, self.run, self.mount = f"/etc/drivebay/{self.name}", f"/run/drivebay/{self.name}", f"/srv/{self.name}"


class WideDeployment(Deployment):
    """Of the machine 'wide'; the same commands and status as any other's."""

    def __init__(self, chassis, blades=14):
        super().__init__(chassis, management="wide")
        self.blades = [Blade(number) for number in range(1, blades + 1)]

    def start(self):
        self.install(self.mm)
        self.mm.put("/etc/hosts", f"127.0.0.1 localhost\n{self.mm.address} wide mm\n")
        self.mm.put("/etc/drivebay/arbiter.cfg", LABORATORY + ARBITER_CFG.format(mm=self.mm.address))
        self.mm.put("/etc/drivebay/fusefs.cfg", LABORATORY + MANAGEMENT_FUSEFS_CFG.format(mm=self.mm.address))
        self.start_arbiter()
        self.mount(self.mm, "drivebay")
        self.enter(blades=[f'"{blade.name}"' for blade in self.blades])
        self._all_at_once([self._mounted(blade) for blade in self.blades])
        for blade in self.blades:
            self.mm.start(f"gadgetd-{blade.name}", ["drivebay-gadgetd", "--foreground", "--config", f"{blade.etc}/gadgetd.cfg"])
        wait_until(lambda: all(one["online"] for one in self.status()["blades"]), 60, "every blade online")

    def enter(self, **lists):
        """import-config of a file with these lists, whose elements are libconfig's text: one command instead of dozens, each of
        which costs an emulated second."""
        self.mm.put("/run/entered.cfg", "".join(f"{name} = ( {', '.join(elements)} );\n" for name, elements in lists.items()))
        self.drivebay("import-config", "/run/entered.cfg", timeout=60)

    def _mounted(self, blade):
        """Writes a blade's configuration and begins its mount."""
        own = {"run": blade.run, "mount": blade.mount, "udc": blade.udc, "blade": blade.name}
        slots = ", ".join(f'"{kind}"' for kind in SLOTS)
        self.mm.run(["mkdir", "-p", blade.etc, blade.run, blade.mount])
        self.mm.put(f"{blade.etc}/fusefs.cfg", LABORATORY + BLADE_FUSEFS_CFG.format(blade=blade.name) + FUSEFS_OWN.format(**own))
        self.mm.put(f"{blade.etc}/gadgetd.cfg",
                    LABORATORY + GADGETD_CFG.format(blade=blade.name, slots=slots) + GADGETD_OWN.format(**own))
        return self.mm.popen(["drivebayfs", "--config", f"{blade.etc}/fusefs.cfg", "mm", blade.mount],
                             log=f"/run/chassis/drivebayfs-{blade.name}.log")

    def _all_at_once(self, jobs, limit=60):
        for job in jobs:
            assert self.mm.channel.wait(lambda one=job: one.done, limit) and job.rc == 0, bytes(job.out + job.err)
