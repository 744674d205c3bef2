"""An ISO image that boots on BIOS and UEFI, from a CD-ROM and from a disk, and says on the serial line how far it came."""
import hashlib
import os
import random
import shutil
import struct
import subprocess
import uuid

from testing import Skip

PART = "drivebay test: part {} is right"
PARTS = [f"{number:02}" for number in range(1, 17)]
# Before these it waits for the return key, so that none of them is read sooner than wanted.
GATES = [PARTS[0], PARTS[5], PARTS[10]]
GATE = "drivebay test: press return for part {}"
WHOLE = "drivebay test: every byte is right"
DAMAGED = "drivebay test: a byte is wrong"
SAVED = "drivebay test: the loader wrote"

# GRUB reads the payloads by the firmware's own driver.
CONFIGURATION = f"""
serial --unit=0 --speed=115200
terminal_output serial
set all=right
for part in {" ".join(PARTS)}; do
    if [ {" -o ".join(f"$part = {gate}" for gate in GATES)} ]; then
        echo "{GATE.format("$part")}"
        read return
    fi
    if hashsum --hash sha256 --check /$part.sum --prefix /; then
        echo "{PART.format("$part")}"
    else
        echo "{DAMAGED}"
        set all=
    fi
done
if [ "$all" = right ]; then
    echo "{WHOLE}"
fi
if search --file /drivebay.env --set where; then
    set booted=$grub_platform
    if save_env --file "($where)/drivebay.env" booted; then
        echo "{SAVED}"
    fi
fi
"""

EFI_SYSTEM = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le


def make(path, megabytes=4):
    """Skips where grub-mkrescue, its modules for both platforms or mtools are missing."""
    for needed in ("/usr/bin/grub-mkrescue", "/usr/bin/mcopy", "/usr/lib/grub/i386-pc", "/usr/lib/grub/x86_64-efi"):
        if not os.path.exists(needed):
            raise Skip(f"there is no {needed}; 'make deps' installs it")
    tree = path + ".tree"
    os.makedirs(os.path.join(tree, "boot/grub"))
    files = {"boot/grub/grub.cfg": CONFIGURATION.encode()}
    for name in PARTS:
        files[name] = random.Random(name).randbytes((megabytes << 20) // len(PARTS))
        files[f"{name}.sum"] = f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode()
    for name, data in files.items():
        with open(os.path.join(tree, name), "wb") as target:
            target.write(data)
    made = subprocess.run(["grub-mkrescue", "--locales=", "--fonts=", "--themes=", "-o", path, tree], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert made.returncode == 0, made.stdout
    shutil.rmtree(tree)


def make_writable(path):
    """Gives such an image, as a disk, a file that GRUB writes to: its environment then has booted=pc or booted=efi."""
    block = b"# GRUB Environment Block\n".ljust(1024, b"#")
    made = subprocess.run(["mcopy", "-i", f"{path}@@{_efi_partition(path)}", "-", "::/drivebay.env"], input=block,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert made.returncode == 0, made.stdout


def _efi_partition(path):
    """Where it begins, by the partition table (UEFI 2.10, 5.3.2 and 5.3.3)."""
    with open(path, "rb") as image:
        image.seek(512)
        header = image.read(92)
        table, count, size = struct.unpack_from("<QII", header, 72)
        image.seek(table * 512)
        for _ in range(count):
            entry = image.read(size)
            if entry[:16] == EFI_SYSTEM:
                return struct.unpack_from("<Q", entry, 32)[0] * 512
    raise ValueError(f"{path} has no EFI system partition")
