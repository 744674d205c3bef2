"""However a driver ends, nothing of its chassis is left; a kept one is entered and ended."""
import glob
import os
import re
import signal
import subprocess
import sys

import ending
from machine import wait_until

MACHINES = []
HERE = os.path.dirname(os.path.abspath(__file__))

# Names its processes, then does what {} says.
DRIVER = """
import sys, time
sys.path.insert(0, {here!r})
from chassis import Chassis
import keep
class Seen(Chassis):
    def boot(self):
        for machine in self:
            machine.power_on()
        print("folder", self.folder)
        print("pids", self.network.process.pid, *[m.qemu.process.pid for m in self], flush=True)
        {then}
def kept(release):
    with Seen(["desk"]) as c:
        release(c, 7)
{run}
"""


def heed_signals():
    """As on a terminal, although whoever runs the tests may ignore some of them (nohup, a background job)."""
    for signum in ending.SIGNALS:
        signal.signal(signum, signal.SIG_DFL)


def driver(then, run="with Seen(['desk', 'blade01']): pass"):
    code = DRIVER.format(here=HERE, then=then, run=run)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.DEVNULL, preexec_fn=heed_signals)


def announced(process):
    """(folder, pids) of a driver."""
    folder = process.stdout.readline().split(None, 1)[1].strip()
    return folder, [int(word) for word in process.stdout.readline().split()[1:]]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ended_by(how):
    process = driver("time.sleep(60)")
    folder, pids = announced(process)
    assert all(alive(pid) for pid in pids) and len(pids) == 3
    process.send_signal(how)
    status = process.wait(10)
    process.stdout.close()
    wait_until(lambda: not any(alive(pid) for pid in pids), 5, f"processes {pids} have ended")
    return folder, status


def test_interrupted_terminated_or_hung_up_driver_leaves_nothing(c):
    for how in ending.SIGNALS:
        folder, status = ended_by(how)
        assert status != 0 and not glob.glob(f"{glob.escape(folder)}/*/disk*.img")


def test_killed_driver_leaves_no_process(c):
    ended_by(signal.SIGKILL)


def test_driver_whose_test_fails_leaves_nothing(c):
    process = driver("raise ValueError('a test fails')")
    _, pids = announced(process)
    assert process.wait(10) == 1 and not any(alive(pid) for pid in pids)
    process.stdout.close()


def test_no_mount_loop_device_or_namespace_is_made(c):
    process = driver("time.sleep(60)")
    folder, pids = announced(process)
    for path in ["/proc/mounts", *glob.glob("/sys/block/loop*/loop/backing_file")]:
        with open(path, encoding="utf-8", errors="replace") as entry:
            assert folder not in entry.read(), path
    for kind in ("net", "mnt", "pid", "user"):
        assert {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in pids} == {
            os.readlink(f"/proc/self/ns/{kind}")}
    process.terminate()
    process.wait(10)
    process.stdout.close()


def test_kept_chassis_outlives_its_command_is_entered_and_ended(c):
    process = driver("[m.wait_ready() for m in self]", "sys.exit(keep.in_keeper(kept))")
    folder, pids = announced(process)
    assert process.wait(50) == 7, "the status that release was given"
    process.stdout.close()

    def enter(*words):
        return subprocess.run([f"{HERE}/enter.py", "--run", folder, *words], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=20, check=False)
    try:
        assert all(alive(pid) for pid in pids)
        assert re.search(r"^desk +10\.77\.0\.90$", enter("--list").stdout, re.M)
        result = enter("desk", "sh", "-c", "hostname; echo oops >&2; exit 4")
        assert (result.returncode, result.stdout, result.stderr) == (4, "desk\n", "oops\n"), result
        wrong = enter("attic")
        assert wrong.returncode == 1 and "no machine 'attic'; there are: desk" in wrong.stderr
    finally:
        assert enter("--end").returncode == 0
    wait_until(lambda: not any(alive(pid) for pid in pids), 5, "the processes have ended")
    gone = enter("--list")
    assert gone.returncode == 1 and "no chassis is kept" in gone.stderr
