"""drivebay-gadgetd alone, with the real kernel on both ends of the USB wire; arbiter and drivebayfs
are doubles (gadget_doubles.py), the media plain files."""
import json
import os
import signal

import usb_gadget
from spec import Spec
from testing import limit

# Host and device in one: a second processor lets them work at once.
MACHINES = [Spec("blade01", udcs=1, cpus=2)]
TREE = "/sys/kernel/config/usb_gadget/drivebay"
WORK = "/run/gadget"
MEDIA = "/run/media"
CONFIG = f"""
blade = "blade01"; arbiter = "{WORK}/arbiter.sock"; mount = "{MEDIA}";
drivebayfs = "{WORK}/drivebayfs.sock"; run_dir = "{WORK}/run";
"""


doubles = None


def setup(c):
    global doubles
    c["blade01"].run(f"mkdir {WORK}")
    doubles = c["blade01"].start("doubles", [os.path.join(os.path.dirname(os.path.abspath(__file__)), "gadget_doubles.py"), WORK])
    c["blade01"].wait_until(f"test -S {WORK}/drivebayfs.sock", 30)


class Blade:
    """A blade with the doubles as new and gadgetd's configuration in place."""

    def __init__(self, c):
        self.c, self.machine = c, c["blade01"]
        self.run = self.machine.run
        self.daemon = None
        self.run(f"""
            test -e {WORK}/config && {self.program} --config {WORK}/config --remove 2>/dev/null
            for gadget in /sys/kernel/config/usb_gadget/*/UDC; do
                test -e $gadget && test -n "$(cat $gadget)" && echo >$gadget
            done
            find {WORK} -mindepth 1 ! -type s -delete; rm -rf {MEDIA}; mkdir {MEDIA}; dmesg -C""")
        self.machine.put(f"{WORK}/config", CONFIG)
        doubles.kill(signal.SIGHUP)
        self.machine.wait_until(f"test -e {WORK}/forgotten")

    @property
    def program(self):
        return self.c.path("drivebay-gadgetd")

    def configure(self, more):
        """Keys beside those of CONFIG, before the start."""
        self.machine.put(f"{WORK}/config", CONFIG + more)

    def plan(self, *options):
        return self.run([self.program, "--config", f"{WORK}/config", "--plan", *options], check=False)

    def start(self):
        self.daemon = self.machine.start("gadgetd", [self.program, "--config", f"{WORK}/config", "--foreground"])
        return self.daemon

    def medium(self, drive, epoch, megabytes=4):
        """A medium of random bytes; its SHA-256."""
        path = f"{MEDIA}/{drive}@{epoch}"
        self.run(f"head -c {megabytes}M /dev/urandom >{path}")
        return self.run(f"sha256sum <{path}").out.split()[0]

    def desire(self, *slots):
        whole = [{"access": "write", "kind": "disk", "size": 4 << 20, "eject": False, **slot} for slot in slots]
        self.machine.put(f"{WORK}/desired.next", json.dumps(whole))
        self.run(f"mv {WORK}/desired.next {WORK}/desired")

    def slot(self, number):
        """The slot as gadgetd last reported it."""
        text = self.run(f"cat {WORK}/observed", check=False).out
        slots = json.loads(text)["slots"] if text else []
        return next((slot for slot in slots if slot["slot"] == number), {})

    def wait_slot(self, number, limit=20, **wanted):
        def shows(seen, value):
            """Of a medium that left, what is asked for; else the whole."""
            if isinstance(seen, dict) and isinstance(value, dict):
                return all(seen.get(key) == part for key, part in value.items())
            return seen == value

        def holds():
            seen = self.slot(number)
            return seen if all(shows(seen.get(key), value) for key, value in wanted.items()) else None
        try:
            return self.machine.wait_until(holds, limit)
        except AssertionError:
            raise AssertionError(f"slot {number} is not {wanted} but {self.slot(number)}") from None

    def hosts_drives(self, count=4):
        """What the host sees, once it sees `count` drives."""
        return self.machine.wait_until(
            lambda: usb_gadget.host_devices(self.machine)
            if len(usb_gadget.host_devices(self.machine)) == count else None, 30, f"{count} drives on the host")

    def host_sum(self, path):
        return self.run(f"dd if={path} bs=64k iflag=direct status=none | sha256sum").out.split()[0]

    def host_size(self, name, size, limit=20):
        """Waits until the host has noticed a medium of that size. Without udev nobody opens the drive
        by himself, and the kernel reads the size of a new medium at the next open."""
        self.machine.wait_until(f"test $(/sbin/blockdev --getsize64 /dev/{name}) = {size}", limit,
                                f"{name} has {size} bytes")

    def drains(self):
        text = self.run(f"cat {WORK}/drains 2>/dev/null", check=False).out
        return [json.loads(line) for line in text.splitlines()]

    def no_reset(self):
        log = self.run("dmesg").out
        bad = [line for line in log.splitlines() if "reset" in line and "usb" in line or "disconnect" in line]
        assert not bad, bad


def started(c):
    blade = Blade(c)
    blade.start()
    drives = blade.hosts_drives()
    blade.machine.wait_until(f"test -s {WORK}/observed")
    return blade, drives


def loaded(c):
    """scratch@7 in slot 1, seen by the host."""
    blade, drives = started(c)
    blade.medium("scratch", 7)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7})
    blade.wait_slot(1, state="loaded", drive="scratch", epoch=7)
    blade.host_size(drives[1]["name"], 4 << 20)
    return blade, drives[1]["name"]


def test_four_slots_are_four_interfaces_of_one_device_and_empty(c):
    blade, drives = started(c)
    assert [drive["interface"] for drive in drives] == [0, 1, 2, 3], drives
    assert {drive["interfaces"] for drive in drives} == {4}, drives
    assert [drive["name"][:2] for drive in drives] == ["sr", "sd", "sd", "sd"], drives
    assert len({drive["usb"] for drive in drives}) == 1 and len(drives[0]["serial"]) == 12, drives
    assert all(drive["removable"] and drive["size"] == 0 for drive in drives[1:]), drives
    report = json.loads(blade.run(f"cat {WORK}/observed").out)
    assert [slot["state"] for slot in report["slots"]] == ["empty"] * 4, report
    assert [slot["kind"] for slot in report["slots"]] == ["cdrom", "disk", "disk", "disk"], report


def test_usb_state_and_speed_are_reported(c):
    blade, _ = started(c)
    blade.machine.wait_until(
        lambda: json.loads(blade.run(f"cat {WORK}/observed").out).get("udc") == "configured", 5)
    assert json.loads(blade.run(f"cat {WORK}/observed").out)["speed"] == "super-speed"


def test_a_medium_put_in_is_read_and_written_by_the_host(c):
    blade, name = loaded(c)
    assert blade.host_sum(f"/dev/{name}") == blade.run(f"sha256sum <{MEDIA}/scratch@7").out.split()[0]
    blade.run(f"printf 'by the host' | dd of=/dev/{name} oflag=sync conv=notrunc status=none")
    assert blade.run(f"head -c 11 {MEDIA}/scratch@7").out == "by the host"
    blade.no_reset()


def test_a_read_medium_is_write_protected_on_the_host(c):
    blade, drives = started(c)
    blade.medium("install", 3)
    blade.desire({"slot": 1, "drive": "install", "epoch": 3, "access": "read"})
    blade.wait_slot(1, state="loaded")
    blade.host_size(drives[1]["name"], 4 << 20)
    assert blade.run(f"cat /sys/block/{drives[1]['name']}/ro").out == "1\n"
    refused = blade.run(f"dd if=/dev/zero of=/dev/{drives[1]['name']} count=1 oflag=sync conv=notrunc", check=False)
    assert refused.rc != 0, refused


def test_the_cdrom_slot_takes_an_image_and_names_what_it_cannot_take(c):
    blade, drives = started(c)
    total = blade.medium("install", 3)
    blade.desire({"slot": 0, "drive": "install", "epoch": 3, "access": "read", "kind": "cdrom"})
    blade.wait_slot(0, state="loaded")
    blade.host_size(drives[0]["name"], 4 << 20)
    assert blade.host_sum(f"/dev/{drives[0]['name']}") == total
    blade.desire({"slot": 0, "drive": "install", "epoch": 4, "access": "read"})
    assert "CD-ROM slot" in blade.wait_slot(0, state="error")["error"]
    blade.run(f"truncate -s 4096 {MEDIA}/small@5")
    blade.desire({"slot": 0, "drive": "small", "epoch": 5, "access": "read", "kind": "cdrom"})
    assert "smaller than" in blade.wait_slot(0, state="error", drive="small")["error"]


def test_what_cannot_be_loaded_is_told_with_its_reason(c):
    blade, _ = started(c)
    blade.run(f"mkdir {MEDIA}/folder@1; touch {MEDIA}/nothing@1; mkfifo {MEDIA}/pipe@1")
    blade.desire({"slot": 1, "drive": "folder", "epoch": 1}, {"slot": 2, "drive": "nothing", "epoch": 1},
                 {"slot": 3, "drive": "absent", "epoch": 1})
    assert "is a folder" in blade.wait_slot(1, state="error")["error"]
    assert "smaller than one block" in blade.wait_slot(2, state="error")["error"]
    assert "not mounted" in blade.wait_slot(3, state="error")["error"]
    blade.medium("absent", 1)
    blade.wait_slot(3, state="loaded", limit=15)


def test_an_eject_leaves_the_drive_without_a_medium_and_a_new_epoch_is_a_media_change(c):
    blade, name = loaded(c)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7, "eject": True})
    blade.wait_slot(1, state="empty", drive=None,
                    last={"drive": "scratch", "epoch": 7, "outcome": "drained", "by_host": False})
    assert blade.drains() == [{"drive": "scratch", "blade": "blade01", "epoch": 7}]
    assert "No medium found" in blade.run(f"dd if=/dev/{name} count=1", check=False).err
    blade.medium("scratch", 8, megabytes=6)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 8})
    blade.wait_slot(1, state="loaded", epoch=8)
    blade.host_size(name, 6 << 20)
    assert blade.hosts_drives()[1]["name"] == name
    blade.no_reset()


def test_a_host_eject_is_told_as_such_and_its_epoch_stays_out(c):
    blade, name = loaded(c)
    blade.run(f"eject /dev/{name}")
    blade.wait_slot(1, limit=2, state="ejected-by-host",
                    last={"drive": "scratch", "epoch": 7, "outcome": "drained", "by_host": True})
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7}, {"slot": 2, "drive": "scratch", "epoch": 7})
    blade.medium("other", 1)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7}, {"slot": 3, "drive": "other", "epoch": 1})
    blade.wait_slot(3, state="loaded")
    assert blade.slot(1)["state"] == "ejected-by-host"
    assert blade.run(f"cat {TREE}/functions/mass_storage.slot1/lun.0/file").out.strip() == ""


@limit(180)
def test_lost_writes_are_told(c):
    blade, name = loaded(c)
    blade.machine.put(f"{WORK}/outcome", "lost")
    blade.run(f"eject /dev/{name}")
    blade.wait_slot(1, last={"drive": "scratch", "epoch": 7, "outcome": "lost", "by_host": True})


@limit(180)
def test_a_door_locked_by_the_host_holds_a_polite_eject_and_not_a_forced_one(c):
    blade, name = loaded(c)
    blade.run(f"mkfs.ext4 -q -F /dev/{name}; mkdir -p /mnt/host; mount /dev/{name} /mnt/host", timeout=40)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7, "eject": True})
    blade.wait_slot(1, state="loaded", host_locked=True)
    assert blade.run("echo still >/mnt/host/there; sync; cat /mnt/host/there").out == "still\n"
    blade.run("umount /mnt/host")
    blade.wait_slot(1, state="empty", last={"drive": "scratch", "epoch": 7, "outcome": "drained", "by_host": False})
    blade.medium("scratch", 8)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 8})
    blade.wait_slot(1, state="loaded")
    blade.host_size(name, 4 << 20)
    holder = blade.machine.start("holder", f"exec 3</dev/{name}; echo open; sleep 1000")
    blade.machine.wait_until(lambda: "open" in holder.text())
    blade.desire()
    blade.wait_slot(1, state="empty", last={"drive": "scratch", "epoch": 8, "outcome": "drained", "by_host": False})
    blade.no_reset()


def test_a_medium_whose_drivebayfs_died_is_put_out_and_told(c):
    blade, _ = loaded(c)
    blade.machine.put(f"{WORK}/outcome", "unknown")
    blade.run(f"touch {WORK}/dead")
    blade.wait_slot(1, limit=20, state="empty",
                    last={"drive": "scratch", "epoch": 7, "outcome": "unknown", "by_host": False})


@limit(180)
def test_kill_9_and_a_new_start_leave_the_host_undisturbed(c):
    blade, name = loaded(c)
    reader = blade.machine.start("reader", f"""
        n=0; while dd if=/dev/{name} of=/dev/null bs=64k iflag=direct status=none; do n=$((n+1)); echo $n; done""")
    for _ in range(5):
        blade.daemon.kill()
        blade.daemon.wait()
        hellos = int(blade.run(f"wc -l <{WORK}/hellos").out)
        blade.start()
        blade.machine.wait_until(f"test $(wc -l <{WORK}/hellos) -gt {hellos}")
    seen = reader.text()
    blade.machine.wait_until(lambda: reader.text() != seen)
    hello = json.loads(blade.run(f"tail -n 1 {WORK}/hellos").out)
    assert hello["session"] == "s1" and hello["observed"]["slots"][1]["state"] == "loaded", hello
    assert reader.running and blade.hosts_drives()[1]["name"] == name and not blade.drains()
    reader.kill()
    blade.no_reset()


def test_a_host_eject_while_gadgetd_is_dead_is_not_undone(c):
    blade, name = loaded(c)
    blade.daemon.kill()
    blade.daemon.wait()
    blade.run(f"eject /dev/{name}")
    blade.start()
    blade.wait_slot(1, state="ejected-by-host",
                    last={"drive": "scratch", "epoch": 7, "outcome": "drained", "by_host": True})


def test_sigterm_leaves_the_gadget_as_it_is(c):
    blade, name = loaded(c)
    assert blade.daemon.stop() == 0
    assert blade.host_sum(f"/dev/{name}") == blade.run(f"sha256sum <{MEDIA}/scratch@7").out.split()[0]


def test_a_half_made_gadget_is_completed(c):
    blade = Blade(c)
    blade.run(f"mkdir {TREE}; mkdir {TREE}/functions/mass_storage.slot2 {TREE}/configs/c.1; "
              f"ln -s {TREE}/functions/mass_storage.slot2 {TREE}/configs/c.1/")
    blade.start()
    drives = blade.hosts_drives()
    assert [drive["name"][:2] for drive in drives] == ["sr", "sd", "sd", "sd"], drives


def test_a_foreign_gadget_of_that_name_is_left_alone(c):
    blade = Blade(c)
    blade.run(f"mkdir {TREE}; mkdir {TREE}/functions/mass_storage.theirs")
    blade.start()
    assert blade.daemon.wait() == 1
    assert "mass_storage.theirs" in blade.daemon.text(), blade.daemon.text()
    assert blade.run(f"ls {TREE}/functions").out == "mass_storage.theirs\n"
    blade.run(f"rmdir {TREE}/functions/* {TREE}")


def test_no_free_controller_is_told(c):
    blade = Blade(c)
    blade.run("truncate -s 1M /tmp/byhand")
    usb_gadget.by_hand(blade.machine, [{"file": "/tmp/byhand"}])
    blade.start()
    assert blade.daemon.wait() == 1
    assert "belongs to the gadget byhand" in blade.daemon.text(), blade.daemon.text()
    usb_gadget.remove(blade.machine)


def test_remove_takes_the_gadget_down_and_the_medium_is_released_by_the_next_start(c):
    blade, _ = loaded(c)
    busy = blade.run([blade.program, "--config", f"{WORK}/config", "--remove"], check=False)
    assert busy.rc == 1 and "is running" in busy.err, busy
    blade.daemon.stop()
    blade.run([blade.program, "--config", f"{WORK}/config", "--remove"])
    assert blade.run(f"test -e {TREE}", check=False).rc == 1
    blade.machine.wait_until(lambda: not usb_gadget.host_devices(blade.machine))
    blade.start()
    blade.wait_slot(1, state="empty", last={"drive": "scratch", "epoch": 7, "outcome": "drained", "by_host": False})


@limit(180)
def test_a_hung_lun_is_told_as_offline_and_holds_no_other_slot(c):
    blade = Blade(c)
    blade.machine.put(f"{WORK}/config", CONFIG + "limits = { stuck_ms = 1500; };")
    blade.run(f"modprobe loop; truncate -s 64M /tmp/freezable; mkfs.ext4 -q -F /tmp/freezable; "
              f"mount -o loop /tmp/freezable {MEDIA}", timeout=60)
    try:
        blade.start()
        drives = blade.hosts_drives()
        blade.medium("hung", 1)
        total = blade.medium("other", 1)
        hung = {"slot": 1, "drive": "hung", "epoch": 1}
        other = {"slot": 2, "drive": "other", "epoch": 1, "access": "read"}
        blade.desire(hung)
        blade.wait_slot(1, state="loaded", limit=20)
        blade.host_size(drives[1]["name"], 4 << 20)
        blade.run(f"fsfreeze -f {MEDIA}")       # writes to its files hang; reads do not
        blade.machine.start("writer", ["dd", "if=/dev/zero", f"of={drives[1]['path']}", "bs=64k", "count=1",
                                       "oflag=direct"])
        blade.machine.wait_until("grep -q '1' /sys/block/%s/inflight" % drives[1]["name"])
        blade.desire(other)
        assert "hangs" in blade.wait_slot(1, state="offline")["error"]
        blade.wait_slot(2, state="loaded")
        blade.host_size(drives[2]["name"], 4 << 20)
        assert blade.host_sum(drives[2]["path"]) == total and blade.slot(1)["state"] == "offline"
    finally:
        blade.run(f"fsfreeze -u {MEDIA}", check=False)
    blade.wait_slot(1, state="empty", last={"drive": "hung", "epoch": 1, "outcome": "drained", "by_host": False})
    blade.no_reset()
    blade.desire()
    blade.wait_slot(2, state="empty")
    blade.daemon.stop()
    blade.machine.wait_until(f"umount {MEDIA}")


@limit(180)
def test_four_media_at_once_and_one_put_out_leaves_the_others(c):
    blade, drives = started(c)
    sums = [blade.medium(f"d{slot}", 1) for slot in range(4)]
    wanted = [{"slot": slot, "drive": f"d{slot}", "epoch": 1, "access": "read",
               "kind": "disk" if slot else "cdrom"} for slot in range(4)]
    blade.desire(*wanted)
    for slot, drive in enumerate(drives):
        blade.wait_slot(slot, state="loaded", drive=f"d{slot}")
        blade.host_size(drive["name"], 4 << 20)
        assert blade.host_sum(drive["path"]) == sums[slot]
    blade.desire(*wanted[:2], wanted[3])
    blade.wait_slot(2, state="empty")
    assert blade.host_sum(drives[3]["path"]) == sums[3]
    blade.no_reset()


def test_a_plan_changes_the_kernels_gadget_or_is_not_what_a_start_does(c):
    blade = Blade(c)
    plan = blade.plan()
    assert plan.rc == 0 and blade.run(f"test -e {TREE}", check=False).rc == 1, plan
    lines = plan.out.splitlines()
    assert lines[-1] == f"bind    dummy_udc.0 to {TREE}/UDC", lines
    # The kernel takes each of these lines as it is.
    blade.run("set -e\n" + "\n".join(
        {"mkdir": "mkdir {0}", "write": "echo {0} >{2}", "bind": "echo {0} >{2}", "symlink": "ln -s {0} {2}"}[words[0]].format(*words[1:])
        for words in (line.split() for line in lines)))
    again = blade.plan()
    assert again.rc == 0 and again.out.startswith("nothing to do"), again
    blade.start()
    assert len(blade.hosts_drives()) == 4 and "adopted" in blade.daemon.text(), blade.daemon.text()
    seen = json.loads(blade.plan("--json").out)
    assert seen["adopted"] and seen["udc"] == "dummy_udc.0" and not seen["actions"], seen
    blade.daemon.stop()
    removal = blade.plan("--remove")
    blade.run("set -e\n" + "\n".join(
        {"unbind": "echo >{0}", "unlink": "rm {0}", "rmdir": "rmdir {0}"}[words[0]].format(*words[1:])
        for words in (line.split() for line in removal.out.splitlines())))
    assert blade.run(f"test -e {TREE}", check=False).rc == 1


def test_a_plan_does_not_say_where_a_start_would_refuse(c):
    blade = Blade(c)
    blade.run(f"mkdir {TREE}; mkdir {TREE}/functions/mass_storage.theirs")
    foreign = blade.plan()
    assert foreign.rc == 1 and foreign.out.startswith("refuse") and "mass_storage.theirs" in foreign.out, foreign
    blade.run(f"rmdir {TREE}/functions/* {TREE}; truncate -s 1M /tmp/byhand")
    usb_gadget.by_hand(blade.machine, [{"file": "/tmp/byhand"}])
    taken = blade.plan()
    usb_gadget.remove(blade.machine)
    assert taken.rc == 1 and "belongs to the gadget byhand" in taken.out, taken


def filled(blade, count):
    """A medium in each of `count` slots: (what the host sees of each drive, the media's sums)."""
    blade.start()
    drives = blade.hosts_drives(count)
    sums = [blade.medium(f"d{slot}", 1, megabytes=1) for slot in range(count)]
    blade.desire(*({"slot": slot, "drive": f"d{slot}", "epoch": 1, "size": 1 << 20, "access": "read"} for slot in range(count)))
    for slot, drive in enumerate(drives):
        blade.wait_slot(slot, state="loaded", drive=f"d{slot}")
        blade.host_size(drive["name"], 1 << 20)
    return drives, sums


@limit(180)
def test_twelve_slots_are_no_gadget_on_a_chip_with_few_endpoints(c):
    blade = Blade(c)
    slots = 'slots = (' + ", ".join(['"disk"'] * 12) + "); "
    blade.configure(slots)
    blade.start()
    assert blade.daemon.wait() == 1
    assert 'interfaces = \\"auto\\"' in blade.daemon.text(), blade.daemon.text()
    blade.configure(slots + 'interfaces = "auto";')
    drives, sums = filled(blade, 12)
    assert {drive["interfaces"] for drive in drives} == {4}, drives
    assert [(drive["interface"], drive["lun"]) for drive in drives] == [(at, lun) for at in range(4) for lun in range(3)], drives
    assert "4 of 12 interfaces: slots 0, 1 and 2; 3, 4 and 5;" in blade.daemon.text(), blade.daemon.text()
    assert [blade.host_sum(drive["path"]) for drive in drives] == sums
    blade.daemon.kill()
    blade.daemon.wait()
    hellos = int(blade.run(f"wc -l <{WORK}/hellos").out)
    blade.start()
    blade.machine.wait_until(f"test $(wc -l <{WORK}/hellos) -gt {hellos}")
    hello = json.loads(blade.run(f"tail -n 1 {WORK}/hellos").out)
    assert [slot["drive"] for slot in hello["observed"]["slots"]] == [f"d{slot}" for slot in range(12)], hello
    blade.no_reset()


@limit(180)
def test_luns_behind_one_interface_are_not_the_hosts_drives_in_the_slots_order(c):
    blade = Blade(c)
    blade.configure('interfaces = "luns"; ')
    blade.start()
    drives = blade.hosts_drives()
    assert [(drive["interfaces"], drive["lun"], drive["name"][:2]) for drive in drives] == \
        [(1, 0, "sr"), (1, 1, "sd"), (1, 2, "sd"), (1, 3, "sd")], drives
    total = blade.medium("scratch", 7)
    blade.desire({"slot": 3, "drive": "scratch", "epoch": 7})
    blade.wait_slot(3, state="loaded", drive="scratch")
    blade.host_size(drives[3]["name"], 4 << 20)
    assert blade.host_sum(drives[3]["path"]) == total
    blade.run(f"eject {drives[3]['path']}")
    blade.wait_slot(3, state="ejected-by-host")
    # Another layout in the configuration: the bound gadget keeps its own, and says so.
    blade.daemon.stop()
    blade.configure('interfaces = "slot";')
    assert "1 interfaces for 4 slots, which is not as configured" in blade.plan().out, blade.plan()
    blade.start()
    blade.machine.wait_until(lambda: "which is not as configured" in blade.daemon.text())
    assert blade.hosts_drives() == drives
    blade.daemon.stop()
    blade.run([blade.program, "--config", f"{WORK}/config", "--remove"])
    blade.start()
    assert [drive["interface"] for drive in blade.hosts_drives()] == [0, 1, 2, 3]


def reset(machine, drive):
    """The host resets the USB device, as its kernel does when a command has failed for too long."""
    machine.python(_reset, drive["usb"])


def _reset(device):
    import fcntl
    import os

    def number(name):
        with open(f"{device}/{name}", encoding="ascii") as entry:
            return int(entry.read())
    node = os.open("/dev/bus/usb/%03d/%03d" % (number("busnum"), number("devnum")), os.O_WRONLY)
    fcntl.ioctl(node, 0x5514, 0)    # USBDEVFS_RESET (linux/usbdevice_fs.h)
    os.close(node)


def kernels_file(blade, slot):
    return blade.run(f"cat {TREE}/functions/mass_storage.slot{slot}/lun.0/file").out.strip()


@limit(180)
def test_a_bus_reset_takes_a_medium_out_that_no_policy_is_for(c):
    blade, name = loaded(c)
    drive = blade.hosts_drives()[1]
    number = blade.run(f"cat {drive['usb']}/devnum").out
    reset(blade.machine, drive)
    blade.machine.wait_until(lambda: "reset the USB device" in blade.daemon.text(), 20)
    assert blade.host_sum(f"/dev/{name}") == blade.run(f"sha256sum <{MEDIA}/scratch@7").out.split()[0]
    assert blade.run(f"cat {drive['usb']}/devnum").out == number and blade.hosts_drives()[1]["name"] == name
    assert blade.slot(1)["state"] == "loaded" and kernels_file(blade, 1) == f"{MEDIA}/scratch@7" and not blade.drains()


@limit(180)
def test_a_host_that_gives_the_device_up_and_takes_it_again_finds_no_medium(c):
    blade, _ = loaded(c)
    device = blade.hosts_drives()[1]["usb"]
    blade.run(f"echo 0 >{device}/authorized")
    blade.machine.wait_until(lambda: not usb_gadget.host_devices(blade.machine))
    assert blade.slot(1)["state"] == "loaded" and kernels_file(blade, 1) == f"{MEDIA}/scratch@7"
    # That a host has only given up its configuration the kernel does not tell (composite.c, set_config()).
    blade.run(f"echo 1 >{device}/authorized")
    drive = blade.hosts_drives()[1]
    blade.machine.wait_until(lambda: "reset the USB device" in blade.daemon.text())
    blade.machine.wait_until(lambda: json.loads(blade.run(f"cat {WORK}/observed").out)["udc"] == "configured", 5)
    blade.host_size(drive["name"], 4 << 20)
    assert blade.host_sum(drive["path"]) == blade.run(f"sha256sum <{MEDIA}/scratch@7").out.split()[0]
    assert blade.slot(1)["state"] == "loaded"


@limit(180)
def test_a_reset_leaves_in_what_its_policy_takes_out_or_takes_out_the_rest(c):
    blade = Blade(c)
    blade.configure('policy = { on_reset = ("keep", "detach", "keep", "detach"); reset_after_s = 0; };')
    blade.start()
    drives = blade.hosts_drives()
    blade.medium("install", 3)
    total = blade.medium("scratch", 7)
    wanted = [{"slot": 1, "drive": "install", "epoch": 3, "wish": 5}, {"slot": 2, "drive": "scratch", "epoch": 7, "wish": 6}]
    blade.desire(*wanted)
    for slot in (1, 2):
        blade.wait_slot(slot, state="loaded")
        blade.host_size(drives[slot]["name"], 4 << 20)
    reset(blade.machine, drives[1])
    out = blade.wait_slot(1, state="ejected-by-host", last={"drive": "install", "epoch": 3, "outcome": "drained", "by_host": True})
    assert "policy: the host has reset the USB device" in out["error"], out
    assert kernels_file(blade, 1) == "" and kernels_file(blade, 2) == f"{MEDIA}/scratch@7"
    assert blade.slot(2)["state"] == "loaded" and blade.host_sum(drives[2]["path"]) == total
    # Not again for the same wish; and too early a reset is let pass.
    blade.daemon.stop()
    blade.configure('policy = { on_reset = ("keep", "detach", "detach"); reset_after_s = 3600; };')
    blade.start()
    blade.medium("install", 4)
    blade.desire({**wanted[0], "epoch": 4}, wanted[1], {"slot": 3, "drive": "install", "epoch": 4})
    blade.wait_slot(3, state="loaded")
    assert blade.slot(1)["state"] == "ejected-by-host" and "policy" in blade.slot(1)["error"], blade.slot(1)
    reset(blade.machine, drives[1])
    blade.machine.wait_until(lambda: blade.daemon.text().count("reset the USB device") > 0)
    assert blade.host_sum(drives[2]["path"]) == total and blade.slot(2)["state"] == "loaded"


@limit(180)
def test_a_host_that_ejects_at_once_after_the_insert_is_given_the_medium_again(c):
    blade, drives = started(c)
    blade.medium("scratch", 7)
    eager = blade.machine.start("eager", f"while :; do eject {drives[1]['path']} 2>/dev/null; done")
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7, "wish": 5})
    blade.wait_slot(1, state="ejected-by-host", last={"drive": "scratch", "epoch": 7, "outcome": "drained", "by_host": True})
    eager.kill()
    blade.medium("scratch", 8)
    blade.medium("other", 1)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 8, "wish": 5}, {"slot": 2, "drive": "other", "epoch": 1})
    blade.wait_slot(2, state="loaded")
    assert blade.slot(1)["state"] == "ejected-by-host" and kernels_file(blade, 1) == "", blade.slot(1)
    blade.no_reset()


def test_a_host_that_never_reads_holds_its_medium_or_is_not_told_as_loaded(c):
    blade, _ = started(c)
    blade.medium("scratch", 7)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7})
    blade.wait_slot(1, state="loaded", host_locked=False)
    assert kernels_file(blade, 1) == f"{MEDIA}/scratch@7"
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7, "eject": True})
    blade.wait_slot(1, limit=5, state="empty", last={"drive": "scratch", "epoch": 7, "outcome": "drained", "by_host": False})
    assert kernels_file(blade, 1) == ""


def test_a_disk_stays_read_only_because_its_lun_was_once_a_cdrom(c):
    blade, drives = started(c)
    blade.run(f"cd {TREE}/functions/mass_storage.slot1/lun.0 && echo 1 >cdrom && echo 0 >cdrom && grep -q 1 ro")
    blade.medium("scratch", 7)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7})
    blade.wait_slot(1, state="loaded")
    blade.host_size(drives[1]["name"], 4 << 20)
    blade.run(f"printf written | dd of={drives[1]['path']} oflag=sync conv=notrunc status=none")
    assert blade.run(f"head -c 7 {MEDIA}/scratch@7").out == "written"


@limit(180)
def test_a_large_cd_is_cut_silently(c):
    blade, drives = started(c)
    largest = 1151999 * 2048
    blade.run(f"truncate -s {largest} {MEDIA}/fits@1; truncate -s {largest + 2048} {MEDIA}/large@1")
    blade.desire({"slot": 0, "drive": "fits", "epoch": 1, "access": "read", "kind": "cdrom", "size": largest},
                 {"slot": 1, "drive": "large", "epoch": 1, "access": "read", "kind": "cdrom", "size": largest + 2048})
    blade.wait_slot(0, state="loaded")
    blade.wait_slot(1, state="loaded")
    blade.host_size(drives[0]["name"], largest)
    blade.host_size(drives[1]["name"], largest + 2048)
    blade.run(f"truncate -s {largest + 2048} {MEDIA}/large@2")
    blade.desire({"slot": 0, "drive": "large", "epoch": 2, "access": "read", "kind": "cdrom", "size": largest + 2048})
    told = blade.wait_slot(0, state="error", drive="large")
    assert str(largest) in told["error"] and "disk slot" in told["error"] and kernels_file(blade, 0) == "", told


def test_a_pipe_hangs_the_slot_or_is_refused_without_a_reason(c):
    blade, _ = started(c)
    blade.run(f"mkfifo {MEDIA}/pipe@1")
    blade.desire({"slot": 1, "drive": "pipe", "epoch": 1})
    assert "neither a file nor a block device" in blade.wait_slot(1, state="error")["error"]


@limit(180)
def test_the_host_reads_a_byte_that_it_had_cached_of_the_medium_before(c):
    blade, name = loaded(c)
    blade.run(f"cat /dev/{name} >/dev/null")    # by the page cache
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7, "eject": True})
    blade.wait_slot(1, state="empty")
    total = blade.medium("scratch", 8)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 8})
    blade.wait_slot(1, state="loaded", epoch=8)
    assert blade.run(f"cat /dev/{name} | sha256sum").out.split()[0] == total
    blade.no_reset()


@limit(180)
def test_spaces_and_parentheses_in_the_mounts_name_lose_the_medium(c):
    blade = Blade(c)
    odd = f"{MEDIA}/install media (1) \\\\040"
    blade.run(f"mkdir '{odd}'")
    blade.machine.put(f"{WORK}/config", CONFIG.replace(f'mount = "{MEDIA}"', 'mount = "' + odd.replace("\\", "\\\\") + '"'))
    blade.start()
    drives = blade.hosts_drives()
    blade.run(f"head -c 4M /dev/urandom >'{odd}/scratch@7'")
    total = blade.run(f"sha256sum <'{odd}/scratch@7'").out.split()[0]
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7})
    blade.wait_slot(1, state="loaded", drive="scratch")
    blade.host_size(drives[1]["name"], 4 << 20)
    assert blade.host_sum(drives[1]["path"]) == total
    blade.daemon.kill()
    blade.daemon.wait()
    blade.start()
    blade.run(f"eject {drives[1]['path']}")
    blade.wait_slot(1, state="ejected-by-host", last={"drive": "scratch", "epoch": 7, "outcome": "drained", "by_host": True})


@limit(180)
def test_an_unbound_gadget_is_told_as_configured(c):
    blade, _ = loaded(c)
    observed = lambda: json.loads(blade.run(f"cat {WORK}/observed").out)["udc"]
    blade.machine.wait_until(lambda: observed() == "configured", 5)
    blade.run(f"echo >{TREE}/UDC")
    assert blade.run("cat /sys/class/udc/dummy_udc.0/state").out == "configured\n"    # the kernel's own word
    blade.machine.wait_until(lambda: observed() == "not bound", 5)
    blade.run(f"echo dummy_udc.0 >{TREE}/UDC")
    blade.machine.wait_until(lambda: observed() == "configured", 10)
    assert blade.slot(1)["state"] == "loaded"
    blade.host_size(blade.hosts_drives()[1]["name"], 4 << 20)


@limit(180)
def test_changed_slots_touch_a_gadget_that_is_bound(c):
    blade, name = loaded(c)
    blade.daemon.stop()
    blade.configure('slots = ("disk"); interfaces = "luns";')
    blade.start()
    blade.machine.wait_until(lambda: "other slots than configured" in blade.daemon.text())
    assert len(blade.hosts_drives()) == 4
    assert blade.host_sum(f"/dev/{name}") == blade.run(f"sha256sum <{MEDIA}/scratch@7").out.split()[0]
    blade.no_reset()


def assert_sense(words, blade, drive, command, *options):
    """That the host's SCSI command comes to that, in sg_raw's words; what a new medium has to say first is passed over."""
    for _ in range(2):
        told = blade.run(f"sg_raw -v {' '.join(options)} {drive['path']} {command}", check=False)
        if "ready to ready change" not in told.out + told.err:
            break
    assert words in (told.out + told.err).lower(), told


TEST_UNIT_READY = "00 00 00 00 00 00"
READ_LAST_BLOCK = "28 00 00 00 1f ff 00 00 01 00"    # of 4 MiB
START_STOP_EJECT = "1b 00 00 00 02 00"


@limit(180)
def test_a_host_is_told_another_reason_than_the_one_there_is(c):
    """The sense keys of drivers/usb/gadget/function/f_mass_storage.c, as a host reads them."""
    blade, name = loaded(c)
    drive = blade.hosts_drives()[1]
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 7, "eject": True})
    blade.wait_slot(1, state="empty")
    assert_sense("medium not present", blade, drive, TEST_UNIT_READY)
    blade.medium("scratch", 8)
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 8})
    blade.wait_slot(1, state="loaded")
    blade.host_size(name, 4 << 20)
    blade.run(f"truncate -s 2M {MEDIA}/scratch@8")
    assert_sense("unrecovered read error", blade, drive, READ_LAST_BLOCK, "-r 512")
    holder = blade.machine.start("holder", f"exec 3</dev/{name}; echo open; sleep 1000")
    blade.machine.wait_until(lambda: "open" in holder.text())
    assert_sense("medium removal prevented", blade, drive, START_STOP_EJECT)
    assert blade.slot(1)["state"] == "loaded" and kernels_file(blade, 1) == f"{MEDIA}/scratch@8"
    holder.kill()
    blade.no_reset()


@limit(180)
def test_a_disk_beyond_2_tib_is_cut_or_wraps(c):
    blade, drives = started(c)
    size = (2 << 40) + (4 << 20)
    blade.run(f"truncate -s {size} {MEDIA}/huge@1")
    blade.desire({"slot": 1, "drive": "huge", "epoch": 1, "size": size})
    blade.wait_slot(1, state="loaded")
    blade.host_size(drives[1]["name"], size)
    blade.run(f"printf 'the end' | dd of={drives[1]['path']} bs=512 seek={size // 512 - 1} oflag=sync conv=notrunc,sync "
              "status=none")
    assert blade.run(f"tail -c 512 {MEDIA}/huge@1 | head -c 7").out == "the end"
    assert blade.run(f"du -k {MEDIA}/huge@1").out.split()[0] in ("4", "8"), "it was written somewhere else, too"


@limit(180)
def test_a_medium_that_grew_is_seen_as_large_before_it_is_put_in_again(c):
    blade, name = loaded(c)
    blade.run(f"truncate -s 8M {MEDIA}/scratch@7")
    assert blade.run(f"/sbin/blockdev --rereadpt /dev/{name}; /sbin/blockdev --getsize64 /dev/{name}").out == f"{4 << 20}\n"
    blade.run(f"eject /dev/{name}")
    blade.wait_slot(1, state="ejected-by-host")
    blade.run(f"mv {MEDIA}/scratch@7 {MEDIA}/scratch@8")
    blade.desire({"slot": 1, "drive": "scratch", "epoch": 8, "size": 8 << 20})
    blade.wait_slot(1, state="loaded")
    blade.host_size(name, 8 << 20)


@limit(180)
def test_a_hung_lun_behind_a_shared_interface_hangs_gadgetd_or_its_siblings_for_good(c):
    blade = Blade(c)
    blade.configure('slots = ("disk", "disk"); interfaces = "luns"; limits = { stuck_ms = 1500; };')
    blade.run(f"modprobe loop; truncate -s 64M /tmp/freezable; mkfs.ext4 -q -F /tmp/freezable; "
              f"mount -o loop /tmp/freezable {MEDIA}", timeout=60)
    try:
        blade.start()
        drives = blade.hosts_drives(2)
        blade.medium("hung", 1)
        total = blade.medium("other", 1)
        other = {"slot": 1, "drive": "other", "epoch": 1, "access": "read"}
        blade.desire({"slot": 0, "drive": "hung", "epoch": 1}, other)
        for slot in (0, 1):
            blade.wait_slot(slot, state="loaded")
            blade.host_size(drives[slot]["name"], 4 << 20)
        blade.run(f"fsfreeze -f {MEDIA}")
        blade.machine.start("writer", ["dd", "if=/dev/zero", f"of={drives[0]['path']}", "bs=64k", "count=1", "oflag=direct"])
        blade.machine.wait_until(f"grep -q 1 /sys/block/{drives[0]['name']}/inflight")
        blade.desire(other)
        # One interface has one thread and one lock (f_mass_storage.c, filesem): the sibling waits with it, gadgetd does not.
        assert "hangs" in blade.wait_slot(0, state="offline")["error"]
        assert "hangs" in blade.wait_slot(1, state="offline")["error"]
    finally:
        blade.run(f"fsfreeze -u {MEDIA}", check=False)
    blade.wait_slot(0, state="empty", last={"drive": "hung", "epoch": 1, "outcome": "drained", "by_host": False})
    blade.wait_slot(1, state="loaded")
    assert blade.host_sum(drives[1]["path"]) == total
    blade.no_reset()
    blade.desire()
    blade.wait_slot(1, state="empty")
    blade.daemon.stop()
    blade.machine.wait_until(f"umount {MEDIA}")
