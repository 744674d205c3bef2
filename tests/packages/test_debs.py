"""The packages as files: what run.sh has put into BUILD/deb."""
import glob
import os
import re
import subprocess

from testing import limit

MACHINES = []
PACKAGES = {"drivebay-arbiter", "drivebay-fusefs", "drivebay-gadgetd", "drivebay-tools", "drivebay-management", "drivebay-blade"}


def deb(c, package):
    found = glob.glob(os.path.join(glob.escape(c.build), "deb", f"{package}_*.deb"))
    assert len(found) == 1, f"{package}: {found}"
    return found[0]


def said(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_a_package_is_missing_or_has_files_of_another(c):
    owner = {}
    for package in PACKAGES:
        for line in said("dpkg-deb", "--contents", deb(c, package)).splitlines():
            mode, path = line.split()[0], line.split()[5].removeprefix(".")
            if not mode.startswith("d"):
                assert path not in owner, f"{path} is in {package} and in {owner[path]}"
                owner[path] = package
    for program, package in (("/usr/sbin/drivebay-arbiterd", "drivebay-arbiter"), ("/usr/bin/drivebayfs", "drivebay-fusefs"),
                             ("/usr/sbin/drivebay-gadgetd", "drivebay-gadgetd"), ("/usr/bin/drivebay", "drivebay-tools")):
        assert owner.get(program) == package, (program, owner.get(program))
    return f"{len(owner)} files"


def test_a_configuration_file_of_an_operator_is_lost_in_an_upgrade(c):
    """conffiles: dpkg asks before it replaces one that was edited."""
    for package, file in (("drivebay-arbiter", "arbiter"), ("drivebay-fusefs", "fusefs"), ("drivebay-gadgetd", "gadgetd")):
        assert f"/etc/drivebay/{file}.cfg" in said("dpkg-deb", "--info", deb(c, package), "conffiles"), package


@limit(180)
def test_lintian_has_something_to_say(c):
    changes = glob.glob(os.path.join(glob.escape(c.build), "deb", "*.changes"))
    assert len(changes) == 1, changes
    done = subprocess.run(["lintian", "--pedantic", "--allow-root", "--fail-on", "none", changes[0]],
                          capture_output=True, text=True, check=True)
    found = re.findall(r"^[EWIP]: .*$", done.stdout, re.M)
    assert not found, "\n".join(found)
