"""D8, its quick part: a host's firmware boots from what is presented. All of it: long/test_long_firmware.py"""
import os

import boot_image
from deployment import Deployment
from firmware_host import boots
from spec import Spec
from testing import limit

MACHINES = ["mm", Spec("blade01", udcs=1, wired=True)]


@limit(120)
def test_d8_a_hosts_bios_does_not_boot_the_presented_cdrom_or_a_killed_drivebayfs_ends_its_boot(c):
    d = Deployment(c)
    d.start()
    boot_image.make(os.path.join(c["mm"].folder, "boot.iso"), megabytes=2)
    c["mm"].run("mv /run/chassis/boot.iso /data/", timeout=30)
    d.drivebay("drive", "add", "boot", "--source", "/data/boot.iso")
    d.drivebay("present", "boot", "--to", "blade01", "--wait=20")
    return boots(c, d, "blade01", "boot", "seabios")
