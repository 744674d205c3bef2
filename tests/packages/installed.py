"""What the tests of installed packages share: a chassis whose machines run systemd, and what an operator types there."""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess

from chassis import Spec
from deployment import Deployment, sha256
from machine import wait_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MACHINES = [Spec("mm", systemd=True, memory=512), Spec("blade01", systemd=True, memory=512, udcs=1),
            Spec("blade02", systemd=True, memory=512, udcs=1)]
BLADES = ("blade01", "blade02")
MOUNT_UNIT = "drivebayfs@srv-drivebay"


def readme():
    """The commands and the edits of the section, by machine: {"mm": [line, …], "blade": […], "enrolment": […], "after": […]}."""
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
        section = file.read().split("\n## Install on a real chassis\n")[1].split("\n## ")[0]
    parts = {"mm": [], "blade": [], "enrolment": [], "after": []}
    now = None
    for line in section.splitlines():
        for words, part in (("**On the management module", "mm"), ("**On each blade", "blade"),
                            ("**Let each blade in", "enrolment"), ("**Reboot", "after")):
            now = part if line.startswith(words) else now
        if now and line.startswith("    "):
            parts[now].append(line.strip())
    return parts


def typed_all(machine, lines, names):
    for line in lines:
        typed(machine, line, names)


def all_at_once(works):
    """What several machines do, which is slow one after the other."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


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


def reboot(c, machines=None):
    """All of them, or these, at once, as a power cycle that is announced."""
    machines = list(machines or c)
    for machine in machines:
        machine.run("systemctl reboot --no-block", check=False)
    for machine in machines:
        wait_until(lambda one=machine: not one.running, 90, f"{machine.name} goes down")
        machine.kill()
    c.boot()


def debs_into(machine, build):
    """What `make deb` made, where the machine can read it."""
    place = os.path.join(machine.folder, "debs")
    shutil.rmtree(place, ignore_errors=True)
    os.mkdir(place)
    for path in glob.glob(os.path.join(glob.escape(build), "*.deb")):
        shutil.copy(path, place)


def files_of(machine):
    """Everything in the machine's tree, but for what any installation leaves: the logs and caches of dpkg, apt and systemd."""
    found = machine.run(
        "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /persistent"
        " -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache -o -path /var/log/apt -o -path /var/log/journal"
        " -o -path /var/lib/systemd -o -path /root -o -name 'passwd*' -o -name 'group*' -o -name '*shadow*' \\) -prune -o -print",
        timeout=120).out
    return set(found.splitlines())


def repacked(machine):
    """The packages in that machine's share once more, as the next version."""
    place = os.path.join(machine.folder, "debs")
    for path in glob.glob(os.path.join(glob.escape(place), "*_amd64.deb")):
        tree = path + ".tree"
        subprocess.run(["dpkg-deb", "--raw-extract", path, tree], check=True)
        control = os.path.join(tree, "DEBIAN", "control")
        with open(control, encoding="utf-8") as file:
            text = re.sub(r"^(Version: .*)$", r"\1+next", file.read(), flags=re.M)
        with open(control, "w", encoding="utf-8") as file:
            file.write(text)
        # Not compressed: an emulated processor unpacks slowly.
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, path.replace(".deb", "+next.deb")],
                       check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)


def fio_into(machine):
    """This machine's fio with its libraries, where the other one can run it; the words that do."""
    place = os.path.join(machine.folder, "fio")
    os.mkdir(place)
    fio = shutil.which("fio")
    needs = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", fio], check=True, capture_output=True, text=True).stdout)
    for path in [fio, *needs]:
        shutil.copy(path, place)
    loader = next(os.path.basename(path) for path in needs if "/ld-linux" in path)
    return f"/run/chassis/fio/{loader} --library-path /run/chassis/fio /run/chassis/fio/fio"


def main_pid(machine, unit):
    return machine.run(f"systemctl show -p MainPID --value {unit}").out.strip()


def server_pid(machine):
    """Of the mount's keeper."""
    return machine.run(f"cat /proc/{{0}}/task/{{0}}/children".format(main_pid(machine, MOUNT_UNIT))).out.strip()


def prepared(c):
    """Its machines have come up and see the packages; what knows its drives."""
    for machine in c:
        debs_into(machine, os.path.join(c.build, "deb"))
    for machine in c:
        machine.wait_until("systemctl is-system-running | grep -Eq 'running|degraded'", 90)
    return Deployment(c)


def set_up(c, d):
    """All that the README's section says; then both hosts have its drive."""
    mm, lines = c["mm"], readme()
    assert all(lines.values()), "the README has no such section"
    mm.run("mkdir -p /srv/images && head -c 3M /dev/urandom >/srv/images/debian.iso")
    all_at_once([lambda: typed_all(mm, lines["mm"], {"10.0.0.1": mm.address}),
                 *(lambda name=name: typed_all(c[name], lines["blade"], {"10.0.0.1": mm.address, "blade01": name})
                   for name in BLADES)])
    for name in BLADES:
        enroll(c, name, lines["enrolment"])
    reboot(c)
    for line in lines["after"]:
        mm.wait_until("drivebay status", 60, "the arbiter answers")
        wait_until(lambda one=line: mm.run(one, check=False, timeout=90).rc == 0, 60, line)
    see_drive(c, d)


def enroll(c, name, lines):
    """One command on the management module, and the one that it prints, as the README has it, on the blade."""
    made, used = [line.replace("blade01", name).replace("10.0.0.1", c["mm"].address) for line in lines]
    token = re.search(r"--token (\S+)", c["mm"].run(made).out)[1]
    c[name].run(used.replace("TOKEN", token), timeout=60)


def see_drive(c, d):
    wanted = sha256(c["mm"], "/srv/images/debian.iso")
    for name in BLADES:
        device = d.host_device("install", name, 90)
        assert sha256(c[name], device["path"], 3 << 20) == wanted, name
