"""The packages on machines with systemd, as README.md ("Install on a real chassis") has it: installed, three files edited, a
line of fstab, a reboot."""
import glob
import os
import re
import shutil

from chassis import Spec
from deployment import Deployment, sha256
from machine import wait_until
from testing import limit

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MACHINES = [Spec("mm", systemd=True, memory=512), Spec("blade01", systemd=True, memory=512, udcs=1),
            Spec("blade02", systemd=True, memory=512, udcs=1)]
BLADES = ("blade01", "blade02")


def readme():
    """The commands and the edits of the section, by machine: {"mm": [line, …], "blade": […], "reboot": […]}."""
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
        section = file.read().split("\n## Install on a real chassis\n")[1].split("\n## ")[0]
    parts = {"mm": [], "blade": [], "after": []}
    now = None
    for line in section.splitlines():
        for words, part in (("**On the management module", "mm"), ("**On each blade", "blade"), ("**Reboot", "after")):
            now = part if line.startswith(words) else now
        if now and line.startswith("    "):
            parts[now].append(line.strip())
    return parts


def typed(machine, line, names):
    """A line of the README as it is typed on this machine: an edit (FILE: LINE), or a command."""
    for name, value in names.items():
        line = line.replace(name, value)
    edit = re.fullmatch(r"(/etc/\S+): +(.*)", line)
    if edit:
        machine.python(edited, edit[1], edit[2])
    elif line.startswith("apt install"):
        machine.run(line.replace("apt install", "apt-get -qy install"), cwd="/run/chassis/debs", timeout=300)
    else:
        machine.run(line, timeout=120)


def edited(path, line):
    """As an operator does: the key is there, perhaps in a comment. A line without a key goes to the end."""
    import re
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        text = file.read()
    for setting in re.findall(r"\w+ = [^;{]+;", line):
        key = setting.split(" = ")[0]
        text, count = re.subn(rf"^( *)(// )?{key} = .*$", lambda found: found[1] + setting, text, count=1, flags=re.M)
        assert count == 1, f"{path} has no line for {key}"
    if " = " not in line:
        text += line + "\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def reboot(c):
    """All at once, as a power cycle that is announced."""
    for machine in c:
        machine.run("systemctl reboot --no-block", check=False)
    for machine in c:
        wait_until(lambda one=machine: not one.running, 90, f"{machine.name} goes down")
    for machine in c:
        machine.kill()
    c.boot()


def debs_into(machine, build):
    """What `make deb` made, where the machine can read it."""
    place = os.path.join(machine.folder, "debs")
    shutil.rmtree(place, ignore_errors=True)
    os.mkdir(place)
    for path in glob.glob(os.path.join(glob.escape(build), "*.deb")):
        shutil.copy(path, place)


d = None


def setup(c):
    global d
    d = Deployment(c)
    for machine in c:
        debs_into(machine, os.path.join(TOP, "build", "deb"))
        machine.wait_until("systemctl is-system-running | grep -Eq 'running|degraded'", 60)


@limit(420)
def test_e2_a_chassis_set_up_as_the_readme_says_has_no_drive_after_a_reboot(c):
    mm, lines = c["mm"], readme()
    assert lines["mm"] and lines["blade"] and lines["after"], "the README has no such section"
    mm.run("mkdir -p /srv/images && head -c 3M /dev/urandom >/srv/images/debian.iso")
    for line in lines["mm"]:
        typed(mm, line, {"10.0.0.1": mm.address})
    for name in BLADES:
        for line in lines["blade"]:
            typed(c[name], line, {"10.0.0.1": mm.address, "blade01": name})
    reboot(c)
    wanted = sha256(mm, "/srv/images/debian.iso")
    for line in lines["after"]:
        mm.wait_until("drivebay status", 60, "the arbiter answers")
        wait_until(lambda: mm.run(line, check=False, timeout=60).rc == 0, 60, line)
    for name in BLADES:
        device = d.host_device("install", name, 60)
        assert sha256(c[name], device["path"], 3 << 20) == wanted, name
    return "both hosts have the drive"
