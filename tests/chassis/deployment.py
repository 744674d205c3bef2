"""drivebay on the machines of a chassis: programs, configuration and mounts at the paths that an
installation uses, so that every command in a test is one that an operator would type."""
import json

from machine import wait_until
from usb_gadget import host_devices

PROGRAMS = ("drivebay", "drivebayfs", "drivebay-arbiterd", "drivebay-gadgetd")
MOUNT = "/srv/drivebay"
SLOTS = ("cdrom", "disk", "disk", "disk")

# Where enrolment is the subject it is left out.
LABORATORY = 'security = "none";\n'
ARBITER_CFG = 'listen = ( "{mm}:4740" );\n'
MANAGEMENT_FUSEFS_CFG = 'role = "management";\nnbd = {{ listen = ( "{mm}:10809" ); }};\n'
BLADE_FUSEFS_CFG = 'role = "blade";\nblade = "{blade}";\nmanagement = "mm:10809";\n'
GADGETD_CFG = 'blade = "{blade}";\narbiter = "mm:4740";\nslots = ( {slots} );\n'
FSTAB = "{source} {mount} fuse.drivebayfs defaults,_netdev,nofail 0 0\n"


class Deployment:
    """Nothing runs before start(). `blades` of the chassis are all that are named blade…. `enrolled`: as the README sets a chassis
    up, with certificates; else whoever reaches a port is believed. `slots`: {blade: kinds}, where they are not SLOTS."""

    def __init__(self, chassis, enrolled=False, slots=None, management="mm"):
        self.enrolled = enrolled
        self.slots = slots or {}
        self.security = "" if enrolled else LABORATORY
        self.chassis = chassis
        self.mm = chassis[management]
        self.blades = [machine for machine in chassis if machine.name.startswith("blade")]
        self.daemons = {}       # (machine name, program) -> Process, of those that start() keeps

    def start(self):
        self.install(self.mm)
        self.mm.put("/etc/drivebay/arbiter.cfg", self.security + ARBITER_CFG.format(mm=self.mm.address))
        self.mm.put("/etc/drivebay/fusefs.cfg", self.security + MANAGEMENT_FUSEFS_CFG.format(mm=self.mm.address))
        self.start_arbiter()
        if self.enrolled:
            self.drivebay("pki", "init")
        self.mount(self.mm, "drivebay")
        for blade in self.blades:
            self.start_blade(blade)
        for blade in self.blades if not self.enrolled else ():
            self.drivebay("blade", "add", blade.name)
        wait_until(lambda: all(blade["online"] for blade in self.status()["blades"]), 20,
                   "every blade online")

    def install(self, machine):
        """A machine's /usr is its own overlay, so links there reach no other."""
        build = self.chassis.build
        machine.run("\n".join(
            ["set -e", f"mkdir -p /etc/drivebay /run/drivebay /var/lib/drivebay {MOUNT}"]
            + [f"ln -sf '{build}/{program}' /usr/bin/{program}" for program in PROGRAMS]))

    def start_arbiter(self):
        self._start(self.mm, "drivebay-arbiterd")
        self.mm.wait_until("drivebay status", 10, "the arbiter answers")

    def start_blade(self, blade):
        """After a reboot too: a machine's root does not outlive its power."""
        self.install(blade)
        slots = ", ".join(f'"{kind}"' for kind in self.slots.get(blade.name, SLOTS))
        blade.put("/etc/drivebay/fusefs.cfg", self.security + BLADE_FUSEFS_CFG.format(blade=blade.name))
        blade.put("/etc/drivebay/gadgetd.cfg", self.security + GADGETD_CFG.format(blade=blade.name, slots=slots))
        if self.enrolled:
            self.enroll(blade)
        self.mount(blade, "mm")
        self.start_gadgetd(blade)

    def enroll(self, blade):
        """A token from the management module, used on the blade."""
        token = json.loads(self.drivebay("enroll", blade.name, "--json").out)["token"]
        blade.run(["drivebay-gadgetd", "enroll", "--arbiter", "mm", "--token", token], timeout=30)

    def make_operator(self, machine):
        """Its root may do everything from there."""
        self.drivebay("operator", "add", machine.name, "--role", "admin", "--to", "/run/operator")
        machine.run("mkdir -p -m 700 /etc/drivebay/operator")
        for file in ("ca-cert.pem", "client-cert.pem", "client-key.pem"):
            machine.put(f"/etc/drivebay/operator/{file}", self.mm.get(f"/run/operator/{file}"), 0o600)

    def start_gadgetd(self, blade):
        self._start(blade, "drivebay-gadgetd")

    def mount(self, machine, source):
        machine.put("/etc/fstab", FSTAB.format(source=source, mount=MOUNT))
        machine.run(f"mount {MOUNT} </dev/null >>/run/chassis/drivebayfs.log 2>&1", timeout=30)

    def kill_drivebayfs(self, machine):
        """kill -9, as a crash would end it. What is left of its mount stays."""
        machine.run("kill -9 $(pidof drivebayfs)")

    def kill_server(self, machine):
        """kill -9 of the server that the keeper of its mount starts again; between two there is none."""
        machine.run("pkill -9 -P $(pgrep -o -x drivebayfs) drivebayfs", check=False)

    def _start(self, machine, program):
        self.daemons[machine.name, program] = machine.start(program, [program, "--foreground"])

    def daemon(self, machine, program):
        return self.daemons[machine.name, program]

    # --- the operator's command

    def drivebay(self, *words, on=None, check=True, timeout=40):
        """On the management module, or on another machine against the management module's API."""
        if on is None:
            return self.mm.run(["drivebay", *words], check=check, timeout=timeout)
        self.install(on)
        return on.run(["drivebay", "--server", "mm:4740", *words], check=check, timeout=timeout)

    def status(self):
        return json.loads(self.drivebay("status", "--json").out)

    def events(self, after=0):
        """The audit log's events after that one, oldest first."""
        return [json.loads(line) for line in self.drivebay("events", "--json", "--after", str(after)).out.splitlines()]

    def last_event(self):
        return self.events()[-1]["id"]

    def lease(self, drive, blade):
        """The lease of that drive and blade in `status`, or None."""
        return next((lease for lease in self.status()["leases"]
                     if (lease["drive"], lease["blade"]) == (drive, blade)), None)

    def slot(self, drive, blade):
        """The slot that holds that drive on that blade, or None."""
        for one in self.status()["blades"]:
            if one["name"] == blade:
                return next((slot for slot in one["slots"] if slot["drive"] == drive), None)
        return None

    # --- what a blade's host sees

    def host_device(self, drive, blade, limit=15, host=None):
        """The host's device (see usb_gadget.host_devices) that holds that drive: the interface
        with the number of its slot, once the host has seen a medium in it. `host`: the machine that
        the blade's USB wire leads to, where that is not its own controller."""
        machine = self.chassis[host or blade]

        def device():
            slot = self.slot(drive, blade)
            if not slot or slot["state"] != "loaded":
                return None
            for one in host_devices(machine):
                if one["interface"] == slot["slot"]:
                    # The size is read when somebody opens the device, as udev would after a media change.
                    machine.run(f": <{one['path']}", check=False)
            return next((one for one in host_devices(machine)
                         if one["interface"] == slot["slot"] and one["size"] > 0), None)

        return wait_until(device, limit, f"{drive} on the host of {blade}")


def sha256(machine, path, size=None):
    """Of a whole device or file, or of its first `size` bytes."""
    source = f"head -c {size} {path}" if size else f"cat {path}"
    return machine.run(f"{source} | sha256sum", timeout=120).out.split()[0]
