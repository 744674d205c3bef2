"""debian/tests, as autopkgtest runs it: the installed packages on one machine that is everything at once."""
import os
import shutil

from chassis import Spec
from installed import TOP, debs_into
from testing import limit

MACHINES = [Spec("blade01", systemd=True, memory=512, udcs=1)]


@limit(480)
def test_e4_the_installed_packages_on_one_machine_do_not_work(c):
    machine = c["blade01"]
    debs_into(machine, os.path.join(c.build, "deb"))
    for name in os.listdir(os.path.join(TOP, "debian", "tests")):
        shutil.copy(os.path.join(TOP, "debian", "tests", name), machine.folder)
    machine.wait_until("systemctl is-system-running | grep -Eq 'running|degraded'", 90)
    machine.run("apt-get -qy install ./*.deb", cwd="/run/chassis/debs", timeout=300)
    said = machine.run("mkdir -p /tmp/work && AUTOPKGTEST_TMP=/tmp/work /run/chassis/one-machine", timeout=240)
    assert "the whole chain on one machine: good" in said.out
