"""D5: the story of one drive and two blades, where the first blade's host is a machine of its own."""
import usb_wire
from deployment import Deployment, sha256
from machine import wait_until
from spec import Spec
from usb_gadget import host_devices


def machines(controller, usb_speed):
    return ["mm", Spec("blade01", udcs=1, wired=True, usb_speed=usb_speed), "blade02",
            Spec("host01", host_of="blade01", controller=controller)]


class Story:
    """Each step rests on the ones before it."""

    def __init__(self, c):
        self.d, self.c = Deployment(c), c
        self.mm, self.host, self.other = c["mm"], c["host01"], c["blade02"]
        self.d.start()
        self.wire = usb_wire.hand_over(c["blade01"])

    def four_slots_are_seen(self):
        """The host's devices, once each slot's interface has one."""
        found = wait_until(lambda: len(host_devices(self.host)) == 4 and host_devices(self.host), 30, "four drives on the host")
        assert [one["interface"] for one in found] == [0, 1, 2, 3] and {one["interfaces"] for one in found} == {4}, found
        assert [one["name"][:2] for one in found] == ["sr", "sd", "sd", "sd"] and {one["udc"] for one in found} == {-1}, found
        return found

    def device(self, drive):
        return self.d.host_device(drive, "blade01", 20, host="host01")["path"]

    def an_image_is_read(self):
        self.mm.run("head -c 4M /dev/urandom >/data/image.img")
        self.d.drivebay("drive", "add", "image", "--source", "/data/image.img", "--kind", "cdrom", "--read-only")
        self.d.drivebay("present", "image", "--to", "all", "--wait=20")
        assert sha256(self.host, self.device("image")) == sha256(self.mm, "/data/image.img")
        refused = self.host.run(f"dd if=/dev/zero of={self.device('image')} bs=2k count=1 oflag=direct", check=False)
        assert refused.rc != 0, refused

    def a_file_system_is_written(self):
        """The digest of a file on it."""
        self.mm.run("truncate -s 16M /data/scratch.img")
        self.d.drivebay("drive", "add", "scratch", "--source", "/data/scratch.img")
        self.d.drivebay("present", "scratch", "--to", "blade01", "--access", "write", "--wait=20")
        device = self.device("scratch")
        self.host.run(f"mkfs.ext4 -q -F -L first {device} && mkdir -p /mnt/a && mount {device} /mnt/a && "
                      "head -c 2M /dev/urandom >/mnt/a/file && sync", timeout=60)
        digest = sha256(self.host, "/mnt/a/file")
        self.host.run("umount /mnt/a")
        return digest

    def handed_over_by_eject(self, machine, device, blade):
        """`machine` ejects; the drive goes to `blade`, which waits for it."""
        machine.run(f"eject {device}")
        wait_until(lambda: (self.d.slot("scratch", blade) or {}).get("state") == "loaded", 20, f"scratch on {blade}")

    def the_hosts_eject_hands_it_to_the_other_blade(self, digest):
        self.d.drivebay("present", "scratch", "--to", "blade02", "--access", "write")
        device = self.device("scratch")
        # Kept in the host's own cache, as far as its kernel dares: bytes of the medium that leaves.
        assert self.host.run(f"head -c 4096 {device} | grep -a -c first").rc == 0
        self.handed_over_by_eject(self.host, device, "blade02")
        theirs = self.d.host_device("scratch", "blade02")["path"]
        self.other.run(f"fsck.ext4 -f -n {theirs} && mkdir -p /mnt/a && mount {theirs} /mnt/a", timeout=60)
        assert sha256(self.other, "/mnt/a/file") == digest
        self.other.run("head -c 2M /dev/urandom >/mnt/a/file && sync", timeout=30)
        digest = sha256(self.other, "/mnt/a/file")
        self.other.run(f"umount /mnt/a && e2label {theirs} second")
        return digest

    def what_the_other_blade_wrote_is_seen_after_the_media_change(self, digest):
        before = self.host.run("dmesg | wc -l").out
        self.d.drivebay("present", "scratch", "--to", "blade01", "--access", "write")
        self.handed_over_by_eject(self.other, self.d.host_device("scratch", "blade02")["path"], "blade01")
        device = self.device("scratch")
        label = self.host.run(f"e2label {device}").out.strip()
        assert label == "second", f"stale bytes: the label is '{label}'"
        self.host.run(f"mount {device} /mnt/a")
        assert sha256(self.host, "/mnt/a/file") == digest, "stale bytes in the file"
        self.host.run("umount /mnt/a")
        log = self.host.run(f"dmesg | tail -n +{int(before) + 1}").out
        assert not any(word in log for word in ("reset", "disconnect", "I/O error")), log

    def a_power_cycle_of_the_host_leaves_it_what_status_says(self):
        blade = self.c["blade01"]
        self.host.kill()
        wait_until(lambda: not self.wire.running, 20, "the host is unplugged")
        self.wire = usb_wire.hand_over(blade)
        self.c.boot()
        self.four_slots_are_seen()
        for drive in ("image", "scratch"):
            slot = self.d.slot(drive, "blade01")
            assert slot["state"] == "loaded", slot
            lun = f"/sys/kernel/config/usb_gadget/drivebay/functions/mass_storage.slot{slot['slot']}/lun.0/file"
            assert blade.get(lun).decode().strip().endswith(f"{drive}@{slot['epoch']}"), blade.get(lun)
        assert sha256(self.host, self.device("image")) == sha256(self.mm, "/data/image.img")
        assert self.host.run(f"e2label {self.device('scratch')}").out.strip() == "second"


def told(c):
    """The whole story; what the host is."""
    story = Story(c)
    story.four_slots_are_seen()
    story.an_image_is_read()
    digest = story.a_file_system_is_written()
    digest = story.the_hosts_eject_hands_it_to_the_other_blade(digest)
    story.what_the_other_blade_wrote_is_seen_after_the_media_change(digest)
    story.a_power_cycle_of_the_host_leaves_it_what_status_says()
    device = story.four_slots_are_seen()[0]
    speed = c["host01"].run(f"cat {device['usb']}/speed").out.strip()
    return f"by {c['host01'].spec.controller}, {speed} Mbit/s"
