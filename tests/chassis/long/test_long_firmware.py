"""D8: a host's firmware, BIOS and UEFI, boots the CD-ROM, the disk and the writable disk that are presented to it."""
import os
import shutil

import boot_image
from deployment import SLOTS, Deployment
from firmware_host import boots
from machine import wait_until
from spec import Spec
from testing import limit

# SeaBIOS looks for drives in a device's first mass-storage interface only, so each kind of slot is first on a blade of its own.
MACHINES = ["mm", Spec("blade01", udcs=1, wired=True), Spec("blade02", udcs=1, wired=True),
            Spec("blade03", udcs=1, wired=True, usb_speed="high")]
d = None


def setup(c):
    global d
    d = Deployment(c, slots={"blade02": SLOTS[1:]})
    d.start()
    folder = c["mm"].folder
    boot_image.make(f"{folder}/boot.iso")
    shutil.copy(f"{folder}/boot.iso", f"{folder}/hybrid.img")
    boot_image.make_writable(f"{folder}/hybrid.img")
    c["mm"].run("mv /run/chassis/boot.iso /run/chassis/hybrid.img /data/ && cp /data/boot.iso /data/stick.img", timeout=30)
    for name, file, how in (("boot", "boot.iso", []), ("stick", "stick.img", ["--kind", "disk", "--read-only"]),
                            ("hybrid", "hybrid.img", ["--kind", "disk"])):
        d.drivebay("drive", "add", name, "--source", f"/data/{file}", *how)


def boots_with(c, drive, firmware, blade, access="read", **how):
    d.drivebay("present", drive, "--to", blade, "--access", access, "--wait=20")
    try:
        return boots(c, d, blade, drive, firmware, **how)
    finally:
        d.drivebay("withdraw", drive, "--from", blade, "--force")
        wait_until(lambda: d.lease(drive, blade) is None, 20, "it is withdrawn")


@limit(240)
def test_d8_seabios_does_not_boot_the_presented_cdrom(c):
    return boots_with(c, "boot", "seabios", "blade01")


@limit(240)
def test_d8_seabios_does_not_boot_the_presented_cdrom_by_ehci(c):
    return boots_with(c, "boot", "seabios", "blade03", controller="usb-ehci")


@limit(240)
def test_d8_ovmf_does_not_boot_the_presented_cdrom(c):
    return boots_with(c, "boot", "ovmf", "blade01")


@limit(240)
def test_d8_seabios_does_not_boot_the_image_presented_as_a_read_only_disk(c):
    return boots_with(c, "stick", "seabios", "blade02")


@limit(240)
def test_d8_ovmf_does_not_boot_the_image_presented_as_a_read_only_disk(c):
    return boots_with(c, "stick", "ovmf", "blade02")


def writes(c, firmware, platform):
    """The loader's own write is on the drive after its boot."""
    said = boots_with(c, "hybrid", firmware, "blade02", access="write", last=boot_image.SAVED)
    assert c["mm"].run(f"grep -a -c '^booted={platform}$' /data/hybrid.img", check=False).rc == 0, "the loader's write is lost"
    return said


@limit(240)
def test_d8_seabios_does_not_boot_the_writable_disk_or_its_loaders_write_is_lost(c):
    return writes(c, "seabios", "pc")


@limit(240)
def test_d8_ovmf_does_not_boot_the_writable_disk_or_its_loaders_write_is_lost(c):
    return writes(c, "ovmf", "efi")
