"""What installed packages go through: upgrades, shutdowns, mounts that come and go, removal. Each test rests on the ones before it."""
import json
import os
import re
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import installed
from installed import all_at_once, files_of, fio_into, main_pid, reboot, repacked, see_drive, server_pid
from machine import wait_until
from testing import limit

MACHINES = installed.MACHINES
d = None
before = {}


def events(after=0):
    return [json.loads(line) for line in d.drivebay("events", "--json", "--after", str(after)).out.splitlines()]


def setup(c):
    global d
    d = installed.prepared(c)
    all_at_once([lambda m=machine: before.update({m.name: files_of(m)}) for machine in c])


@limit(420)
def test_e2_a_chassis_set_up_as_the_readme_says_has_no_drive_after_a_reboot(c):
    installed.set_up(c, d)


@limit(240)
def test_e2_what_is_presented_does_not_come_back_after_a_reboot(c):
    reboot(c)
    see_drive(c, d)
    for machine in c:
        failed = machine.run("systemctl --failed --plain --no-legend").out
        assert "drivebay" not in failed, failed


@limit(400)
def test_e3_an_upgrade_is_an_error_to_a_host_that_writes(c):
    mm, blade = c["mm"], c["blade01"]
    for machine in (mm, blade):
        repacked(machine)
    mm.run("truncate -s 32M /srv/images/scratch.img && drivebay drive add scratch --source /srv/images/scratch.img")
    mm.run("drivebay present scratch --to blade01 --access write --wait=60", timeout=70)
    device = d.host_device("scratch", "blade01", 60)["path"]
    fio = fio_into(blade)
    # Verifies round after round until it is told to end.
    writer = blade.start("fio", f"exec {fio} --name=host --filename={device} --size=32M --bs=16k --rw=randwrite --direct=1 --ioengine=psync"
                " --verify=crc32c --verify_fatal=1 --verify_backlog=16 --verify_state_save=0 --randrepeat=0 --time_based --runtime=900"
                " --output-format=terse --output=/run/chassis/fio/said")
    def moved():
        views = json.loads(mm.run("drivebay status --json").out)["served"]
        return sum(view["writes"] for view in views if view["drive"] == "scratch")
    wait_until(lambda: moved() > 0, 30, "the host writes")
    upgrades = [(mm, "drivebay-arbiter", lambda: main_pid(mm, "drivebay-arbiterd")), (mm, "drivebay-fusefs", lambda: server_pid(mm)),
                (blade, "drivebay-fusefs", lambda: server_pid(blade)), (blade, "drivebay-gadgetd", lambda: main_pid(blade, "drivebay-gadgetd"))]
    for machine, package, running in upgrades:
        was = running()
        machine.run(f"apt-get -qy install ./{package}_*+next.deb", cwd="/run/chassis/debs", timeout=120)
        wait_until(lambda: running() not in (was, "", "0"), 20, f"{package} on {machine.name} was started anew")
        mm.wait_until("drivebay status", 30)
        writes = moved()
        wait_until(lambda: moved() > writes + 20, 60, f"the host goes on writing after {package} on {machine.name}")
    writer.kill(signal.SIGINT)
    writer.wait(60)
    with open(os.path.join(blade.folder, "fio", "said"), encoding="utf-8") as file:
        fields = next(line for line in file if line.startswith("3;")).split(";")
    # Fields 5, 6 and 47: errors, KiB verified, KiB written (fio's HOWTO, "Terse output").
    assert fields[4] == "0" and int(fields[5]) > 0 and int(fields[46]) > 0, fields
    assert not blade.run("dmesg | grep -E 'I/O error|reset .*USB device'", check=False).out
    mm.run("drivebay withdraw scratch --from blade01 && drivebay drive remove scratch", timeout=60)
    return f"4 packages, {fields[5]} KiB verified, 0 errors"


@limit(240)
def test_a_blade_that_is_shut_down_keeps_its_lease_or_its_hosts_drive(c):
    """Whoever looks after gadgetd has ended, and before the machine has: the host has no medium, the arbiter no lease."""
    mm, blade = c["mm"], c["blade02"]
    device = d.host_device("install", "blade02")
    blade.run(f"""cat >/etc/systemd/system/witness.service <<'.'
[Unit]
Before=drivebay-gadgetd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'dd if={device['path']} of=/dev/null bs=2048 count=1 2>/persistent/host-saw'
.
systemctl daemon-reload && systemctl start witness""")
    blade.run("systemctl restart drivebay-gadgetd", timeout=60)
    assert d.lease("install", "blade02")["state"] == "held"
    blade.run(f"dd if={device['path']} of=/dev/null bs=2048 count=1 iflag=direct")   # a restart ejects nothing
    before = events()[-1]["id"]
    epoch = d.lease("install", "blade02")["epoch"]
    blade.run("systemctl poweroff --no-block", check=False)
    wait_until(lambda: not blade.running, 90, "blade02 is off")
    told = [event for event in events(before) if event.get("epoch") == epoch and event["event"] == "fenced"]
    assert told and "all that was written is on the drive" in told[0]["detail"], events(before)
    blade.kill()
    c.boot()
    assert "No medium found" in blade.get("/persistent/host-saw").decode()
    blade.run("rm /etc/systemd/system/witness.service /persistent/host-saw; systemctl daemon-reload")
    d.host_device("install", "blade02", 90)     # it is presented still


@limit(180)
def test_a_killed_daemon_stays_dead(c):
    for machine, unit in ((c["mm"], "drivebay-arbiterd"), (c["blade01"], "drivebay-gadgetd")):
        was = main_pid(machine, unit)
        for _ in range(7):      # more than the usual start limit allows
            machine.run(f"systemctl kill -s KILL {unit}")
            wait_until(lambda: main_pid(machine, unit) not in (was, "0"), 30,
                       f"{unit} runs again")
            was = main_pid(machine, unit)
        machine.wait_until(f"systemctl is-active {unit}", 30)


@limit(180)
def test_umount_leaves_the_service_and_mount_does_not_start_it(c):
    blade = c["blade02"]
    blade.run("systemctl stop drivebay-gadgetd && drivebay-gadgetd --remove")
    for _ in range(2):
        blade.run("umount /srv/drivebay", timeout=30)
        assert blade.run("systemctl is-active drivebayfs@srv-drivebay", check=False).out.strip() != "active"
        blade.run("mount -a", timeout=30)
        blade.run("systemctl is-active drivebayfs@srv-drivebay && mountpoint /srv/drivebay")
    blade.run("systemctl daemon-reload && systemctl start drivebay-gadgetd")
    d.host_device("install", "blade02", 30)


@limit(180)
def test_a_certificate_ends_before_the_next_one_is_there(c):
    """Certificates live 90 days. One blade is on duty when its last month begins; the other sleeps through it."""
    mm, awake, asleep = c["mm"], c["blade01"], c["blade02"]
    own = "/var/lib/drivebay/identity/client-cert.pem"
    module = "/var/lib/drivebay/arbiter/pki/nbd-cert.pem"
    first = mm.get(module), awake.get(own)
    for machine in (mm, awake):
        machine.run("date -s '+65 days'")
    # They look every few hours, and when they start.
    mm.run("systemctl restart drivebay-arbiterd")
    wait_until(lambda: mm.get(module) != first[0], 20, "the module's own certificate is renewed")
    awake.run("systemctl restart drivebay-gadgetd")
    wait_until(lambda: awake.get(own) != first[1], 20, "the blade's certificate is renewed")
    for machine in c:
        machine.run("date -s '+30 days'" if machine is not asleep else "date -s '+95 days'")
    for machine in (awake, asleep):
        machine.run("systemctl restart drivebay-gadgetd")
    mm.wait_until("drivebay events | grep denied | grep blade02 | grep -q expired", 30)
    blades = {blade["name"]: blade for blade in json.loads(mm.run("drivebay status --json").out)["blades"]}
    assert not blades["blade02"]["online"], blades
    wait_until(lambda: d.slot("install", "blade01")["state"] == "loaded", 30, "the renewed blade has its drive")
    # A new connection, and not one that began in time.
    mm.run(f"kill -9 {server_pid(mm)}")
    awake.run("dd if=/srv/drivebay/install of=/dev/null bs=1M count=1 iflag=direct")
    token = json.loads(mm.run("drivebay enroll blade02 --json").out)["token"]
    mm.run("date -s '+16 minutes'")
    late = asleep.run(f"drivebay-gadgetd enroll --arbiter mm --token {token}", check=False)
    assert late.rc == 1 and "too late" in late.err, late
    token = json.loads(mm.run("drivebay enroll blade02 --json").out)["token"]
    asleep.run(f"drivebay-gadgetd enroll --arbiter mm --token {token} && systemctl restart drivebay-gadgetd")
    d.host_device("install", "blade02", 60)


@limit(300)
def test_e3_a_removed_package_takes_drives_from_a_host_or_leaves_something(c):
    mm, blade = c["mm"], c["blade02"]
    for package in ("drivebay-gadgetd", "drivebay-fusefs"):
        said = blade.run(f"apt-get -qy remove {package}", check=False, timeout=120)
        assert said.rc != 0 and "not removed while" in said.out + said.err, said
    assert d.slot("install", "blade02")["state"] == "loaded"
    mm.run("drivebay withdraw install --from all", timeout=60)
    mm.run("drivebay drive remove install && rm -r /srv/images")
    def purge(machine):
        machine.run("umount /srv/drivebay && sed -i /drivebay/d /etc/fstab && systemctl daemon-reload; rmdir /srv/drivebay",
                    timeout=60)
        machine.run("apt-get -qy purge 'drivebay-*'", timeout=300)
        left = files_of(machine) ^ before[machine.name]
        left = {path for path in left if not re.search(r"/(etc/(fstab|\.updated|resolv.conf|mtab)|__pycache__|var/\.updated)", path)}
        assert not left, sorted(left)
        assert not machine.run("ls /run | grep drivebay", check=False).out
        assert machine.run("getent passwd drivebay", check=False).rc != 0

    all_at_once([lambda m=machine: purge(m) for machine in (mm, blade)])


@limit(240)
def test_e5_a_machine_with_a_broken_configuration_has_no_login_prompt(c):
    blade = c["blade01"]     # the others' packages are gone
    blade.run("for file in arbiter fusefs gadgetd; do echo 'lese = ;' >/etc/drivebay/$file.cfg; done")
    blade.run("sed -i /drivebayfs/d /etc/fstab")
    blade.run("echo 'nowhere.example /srv/drivebay fuse.drivebayfs defaults,_netdev 0 0' >>/etc/fstab")
    blade.run("echo 'drivebay /srv/missing fuse.drivebayfs defaults,_netdev,nofail 0 0' >>/etc/fstab")
    at = os.path.getsize(blade.console)
    reboot(c, [blade])
    def prompt():
        with open(blade.console, "rb") as console:
            console.seek(at if os.path.getsize(blade.console) > at else 0)
            return b"blade01 login: " in console.read()
    wait_until(prompt, 120, "the login prompt")
    failed = blade.run("systemctl --failed --plain --no-legend").out
    assert "drivebay-gadgetd" in failed and "srv-drivebay.mount" in failed, failed
    assert "fusefs.cfg:1" in blade.run("journalctl -b -o cat -u srv-drivebay.mount").out
