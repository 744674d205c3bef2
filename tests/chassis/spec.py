"""What a chassis is made of: machines, their networks, drives and USB device ports."""
import dataclasses
import re

SEGMENTS = ("mgmt", "san")

# The plan of addresses; a blade's last byte is 10 + its number.
ADDRESSES = {
    "mm": {"mgmt": "10.77.0.1", "san": "10.78.0.1"},
    "store": {"san": "10.78.0.2"},
    "desk": {"mgmt": "10.77.0.90"},
    "wide": {"mgmt": "10.77.0.1"},
}

# Loaded by what a machine has, because each module costs emulated time at boot. Once it
# runs, the kernel loads file systems and character sets itself when they are mounted.
MODULES = {
    "common": ["virtio_net", "fuse"],
    "disk": ["virtio_blk"],
    "host": ["xhci_pci", "ehci_pci", "usb-storage", "sd_mod", "sr_mod"],
    "usb": ["libcomposite", "usb_f_mass_storage", "usb-storage", "sd_mod", "sr_mod"],
}


@dataclasses.dataclass
class Disk:
    """A virtio disk over a sparse file: /dev/vda, vdb, … in the order given.

    With `mount` it is made ext4 and mounted there before the agent answers. A machine's
    own root is an overlay in memory, where O_DIRECT is refused, so images that a daemon
    opens with O_DIRECT belong on such a disk. `path` attaches a file that exists, as raw.
    """
    size: int = 16 << 30
    sector: int = 512
    mount: str = ""
    path: str = ""
    serial: str = ""


@dataclasses.dataclass
class Spec:
    """A machine. `udcs`: how many dummy_hcd device ports (each wired to a host port of the same kernel).

    `systemd`: boots a Debian of its own with systemd (debian.sh) instead of the agent alone. What it writes goes to its first
    disk, so that it outlives a reboot; packages are installed in it as on any machine.
    `wired`: its USB wire can be plugged into another machine's controller (usb_wire.py); that is then its host, and its own kernel
    lets go of the device. `host_of`: such a machine, always plugged into that blade's wire, by `controller`
    ('qemu-xhci', 'usb-ehci'). `usb_speed`: 'super', or 'high' for a controller that knows no more.
    `poll_msecs`: how often this host looks for a changed medium; udev sets 2000, without
    udev the kernel never looks. `cpus`: emulated processors.
    """
    name: str
    memory: int = 384
    cpus: int = 1
    udcs: int = 0
    disks: list = dataclasses.field(default_factory=list)
    addresses: dict = None
    modules: list = dataclasses.field(default_factory=list)
    poll_msecs: int = 500
    mtu: int = 16000
    systemd: bool = False
    wired: bool = False
    host_of: str = ""
    controller: str = "qemu-xhci"
    usb_speed: str = "super"

    def __post_init__(self):
        if self.systemd:
            self.disks = [Disk(size=2 << 30, mount="/persistent"), *self.disks]
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", self.name):
            raise ValueError(f"'{self.name}' is no name for a machine")
        if self.addresses is None:
            self.addresses = {} if self.host_of else address_of(self.name)

    def all_modules(self):
        wanted = list(MODULES["common"])
        if self.disks:
            wanted += MODULES["disk"]
        if any(disk.mount for disk in self.disks):
            wanted.append("ext4")
        if self.udcs:
            # What a gadget needs is loaded by who needs it, where there is a systemd.
            wanted += [one for one in MODULES["usb"] if not self.systemd or "-storage" in one or "_mod" in one]
        if self.host_of:
            wanted += MODULES["host"]
        return list(dict.fromkeys(wanted + self.modules))


def address_of(name):
    blade = re.fullmatch(r"blade(\d\d)", name)
    if blade:
        return {"mgmt": f"10.77.0.{10 + int(blade.group(1))}"}
    if name in ADDRESSES:
        return dict(ADDRESSES[name])
    raise ValueError(f"machine '{name}' is not in the plan: give it addresses")


def from_plan(one):
    """A Spec from a name ('mm', 'store', 'desk', 'blade01' …), or a Spec as it is.

    'wide' is a whole chassis in one machine: management module and 14 blades, UDC by UDC."""
    if isinstance(one, Spec):
        return one
    if re.fullmatch(r"blade\d\d", one):
        return Spec(one, udcs=1)
    if one in ("mm", "store"):
        return Spec(one, disks=[Disk(mount="/data")])
    if one == "wide":
        return Spec(one, memory=2048, cpus=2, udcs=14, poll_msecs=2000, disks=[Disk(mount="/data")])
    return Spec(one)


def hosts_file(machines):
    """/etc/hosts of every machine: NAME is its mgmt address where it has one, NAME.san its san."""
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    for one in machines:
        first = True
        for segment in SEGMENTS:
            if segment in one.addresses:
                names = f"{one.name}.{segment}" + (f" {one.name}" if first else "")
                lines.append(f"{one.addresses[segment]} {names}")
                first = False
    return "\n".join(lines) + "\n"
