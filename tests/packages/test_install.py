"""The packages on machines with systemd, as README.md ("Install on a real chassis") has it: installed, three files edited, a
line of fstab, a reboot. What takes longer is in long/. The tests follow each other in one boot."""
import re

import installed
from installed import main_pid
from testing import limit

MACHINES = installed.MACHINES
d = None


def setup(c):
    global d
    d = installed.prepared(c)


@limit(420)
def test_e2_a_chassis_set_up_as_the_readme_says_has_no_drive_after_a_reboot(c):
    installed.set_up(c, d)
    return "both hosts have the drive"


@limit(90)
def test_a_service_runs_with_more_rights_than_its_unit_says(c):
    found = []
    for machine, unit in ((c["mm"], "drivebay-arbiterd"), (c["mm"], "drivebayfs@srv-drivebay"),
                          (c["blade01"], "drivebay-gadgetd"), (c["blade01"], "drivebayfs@srv-drivebay")):
        status = machine.get(f"/proc/{main_pid(machine, unit)}/status").decode()
        field = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.split()[1:]}
        # Of all its processes: a keeper listens to nothing.
        group = machine.run(f"systemctl show -p ControlGroup --value {unit}").out.strip()
        pids = "|".join(machine.get(f"/sys/fs/cgroup{group}/cgroup.procs").decode().split())
        ports = sorted(re.findall(rf"(\S+:\d+)\s+\S+\s+users:.*pid=(?:{pids})\b", machine.run("ss -Hltnp").out))
        level = machine.run(f"systemd-analyze security {unit}.service | tail -n 1", timeout=60).out
        found.append(f"{machine.name} {unit}: uid {field['Uid']}, CapEff {field['CapEff']}, NoNewPrivs "
                     f"{field['NoNewPrivs']}, Seccomp {field['Seccomp']}, listens {ports}, {level.split(': ')[-1].strip()}")
        assert field["NoNewPrivs"] == "1" and field["Seccomp"] == "2", field
    print("\n".join("       " + line for line in found), flush=True)
    assert "uid 0" not in found[0] and "CapEff 0000000000000000" in found[0], found[0]


def test_a_reload_with_a_mistake_changes_something_or_succeeds(c):
    mm = c["mm"]
    mm.put("/etc/drivebay/conf.d/arbiter-ttl.cfg", "lease = { ttl_ms = 7000; };\n")
    mm.run("systemctl reload drivebay-arbiterd")
    mm.wait_until("journalctl -u drivebay-arbiterd -o cat | grep 'a setting changed' | grep -q ttl_ms", 10)
    mm.put("/etc/drivebay/conf.d/arbiter-ttl.cfg", "lese = { ttl_ms = 8000; };\n")
    assert mm.run("systemctl reload drivebay-arbiterd", check=False).rc != 0
    mm.wait_until("journalctl -u drivebay-arbiterd -o cat | grep -q 'arbiter-ttl.cfg:1: unknown key `lese`'", 10)
    mm.run("systemctl is-active drivebay-arbiterd && drivebay status && rm /etc/drivebay/conf.d/arbiter-ttl.cfg")


@limit(180)
def test_e5_a_wrong_mount_hangs_or_says_nothing(c):
    mm = c["mm"]
    said = mm.run("mount /srv/drivebay", check=False, timeout=30)
    assert said.rc != 0 and "already" in said.err, said
    cases = [("drivebay /srv/other fuse.drivebayfs config=/nowhere.cfg 0 0", "no configuration file /nowhere.cfg"),
             ("drivebay /srv/other fuse.drivebayfs defaults,lese=5 0 0", "unknown mount option \"lese=5\""),
             ("drivebay /srv/missing fuse.drivebayfs defaults 0 0", "does not exist"),
             ("drivebay /srv/other fuse.drivebayfs role=blade 0 0", "no name is given"),
             # The same state and socket as the mount that is there: two would be two gates.
             ("drivebay /srv/other fuse.drivebayfs defaults 0 0", "/srv/other is not mounted")]
    mm.run("mkdir -p /srv/other")
    for line, sentence in cases:
        mm.put("/tmp/fstab", line + "\n")
        said = mm.run(f"mount -T /tmp/fstab {line.split()[1]}", check=False, timeout=60)
        assert said.rc != 0 and sentence in said.err, said
        assert "/srv/other" not in mm.run("cat /proc/mounts").out
    mm.run("rmdir /srv/other")
