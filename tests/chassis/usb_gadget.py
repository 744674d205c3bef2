"""Both ends of a machine's USB wire, by sysfs and configfs: what the host sees, and gadgets
made by hand where a test wants no drivebay in between."""
import shlex


def host_devices(machine):
    """The drives that a machine has as a USB host, sorted by UDC, interface and LUN. Each:

    name (sda, sr0), path (/dev/sda), udc (N of dummy_udc.N; -1 where its controller is not the one of its own gadgets), interface (bInterfaceNumber),
    interfaces (bNumInterfaces of its device), lun, serial, vendor, model, removable, ro,
    size (bytes; 0 without a medium), usb (the device's folder in sysfs), devnum (another after each enumeration).
    """
    return machine.python(_host_devices)


def _host_devices():
    import os
    import re

    def read(*path):
        try:
            with open(os.path.join(*path), encoding="utf-8", errors="replace") as entry:
                return entry.read().strip()
        except OSError:
            return ""

    found = []
    for name in os.listdir("/sys/block"):
        block = os.path.realpath(f"/sys/block/{name}")
        wire = re.match(r"(.*?(?:/dummy_hcd\.(\d+))?/usb\d+/[\d.-]+)/[\d.-]+:\d+\.(\d+)/.*:(\d+)/block/",
                        block)
        if not wire:
            continue
        device, udc, interface, lun = wire.groups()
        found.append({
            "name": name, "path": f"/dev/{name}", "usb": device, "udc": int(udc or -1),
            "interface": int(interface), "lun": int(lun),
            "interfaces": int(read(device, "bNumInterfaces") or 0),
            "serial": read(device, "serial"), "devnum": read(device, "devnum"),
            "vendor": read(block, "device/vendor"), "model": read(block, "device/model"),
            "removable": read(block, "removable") == "1", "ro": read(block, "ro") == "1",
            "size": int(read(block, "size") or 0) * 512,
        })
    return sorted(found, key=lambda one: (one["udc"], one["interface"], one["lun"]))


def by_hand(machine, luns, udc=0, name="byhand", serial="0001"):
    """Makes and binds a gadget with one mass-storage function for each of `luns`:
    {"file": path or "", "ro": bool, "cdrom": bool, "inquiry": text}; all removable."""
    gadget = f"/sys/kernel/config/usb_gadget/{name}"
    lines = ["set -e", f"mkdir {gadget}", f"cd {gadget}", "mkdir strings/0x409 configs/c.1",
             "echo 0x1d6b >idVendor; echo 0x0104 >idProduct",
             f"echo {shlex.quote(serial)} >strings/0x409/serialnumber"]
    for number, lun in enumerate(luns):
        function = f"functions/mass_storage.{number}"
        lines += [f"mkdir {function}", f"echo 1 >{function}/lun.0/removable",
                  f"echo {int(lun.get('cdrom', False))} >{function}/lun.0/cdrom",
                  f"echo {int(lun.get('ro', False))} >{function}/lun.0/ro"]
        if lun.get("inquiry"):
            lines.append(f"echo {shlex.quote(lun['inquiry'])} >{function}/lun.0/inquiry_string")
        if lun.get("file"):
            lines.append(f"echo {shlex.quote(lun['file'])} >{function}/lun.0/file")
        lines.append(f"ln -s {function} configs/c.1/")
    lines.append(f"echo dummy_udc.{udc} >UDC")
    machine.run("\n".join(lines))


def remove(machine, name="byhand"):
    """Unbinds and removes a gadget made by `by_hand`."""
    machine.run(f"""
        set -e
        cd /sys/kernel/config/usb_gadget/{name}
        echo >UDC
        rm configs/c.1/mass_storage.*
        rmdir configs/c.1 functions/* strings/0x409
        cd .. && rmdir {name}""")
