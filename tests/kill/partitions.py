#!/usr/bin/python3 -B
"""Cut links and stopped processes, with the real daemons in network namespaces: the management module in one, each blade
with its own drivebayfs in another. blade01 writes all the time; blade02 waits for the drive. In every case nothing of
blade01's may land once blade02 has the drive, and where blade01 cannot be heard blade02 has it within TTL + 1 s.

partitions.py [--build FOLDER] [CASE…]; without a case, all of them.
"""
import argparse
import os
import random
import shutil
import signal
import socket
import sys
import time

import inside
from chassis import HERE, Chassis, Failed, listens, wait_until
from checker import check
from network import Network

TTL = 2.0
SLACK = 1.0
DRIVE, SLOW = "scratch", "slow"
SLOWEST = 1.0  # of slow_drive.sh
BLOCKS = 96
HOLDER, WAITER, CLIENT, MM = "blade01", "blade02", "blade03", "mm"


class Partitions:
    def __init__(self, options):
        self.network = Network((MM, HOLDER, WAITER, CLIENT))
        listen = (f"{self.network.address(MM, 'control')}:4740", f"{self.network.address(MM, 'data')}:10809")
        self.chassis = Chassis(options.build, options.work, int(TTL * 1000), listen, namespaces=True,
                               blade_settings="pause_limit_ms = 4000;")
        self.random = random.Random(options.seed)
        self.said = []
        self.late_before = 0
        self.chassis.start_arbiter()
        self.chassis.start_management()
        self.chassis.add_drive(DRIVE, BLOCKS)
        self.slow_is_there = self.add_slow_drive()
        common = ("--arbiter", self.chassis.control, "--drives", f"{DRIVE},{SLOW}", "--seed", str(options.seed), "--blocks",
                  str(BLOCKS))
        for blade in (HOLDER, WAITER):
            self.chassis.start_blade_mount(blade)
            self.chassis.start_blade(blade, *common, "--mount", f"/srv/{blade}", "--drain", f"/run/drivebay/{blade}.sock")
        self.chassis.start_blade(CLIENT, *common, "--nbd", self.chassis.data)

    def add_slow_drive(self):
        """A remote drive whose writes are long in flight; what is read of it comes at once."""
        if not shutil.which("nbdkit"):
            return False
        self.chassis.make_image(SLOW, BLOCKS)
        self.chassis.start("nbdkit", [f"{HERE}/slow_drive.sh", self.chassis.image(SLOW), "/run/drivebay/slow.sock"])
        wait_until("nbdkit listens", lambda: listens("/run/drivebay/slow.sock"))
        self.chassis.add_drive(SLOW, BLOCKS, "nbd+unix:///?socket=/run/drivebay/slow.sock")
        return True

    def needs_slow_drive(self):
        if not self.slow_is_there:
            raise Skipped("there is no nbdkit for a slow drive")

    def say(self, text):
        self.said.append(text)

    # ---- what is asked and seen ----

    def present(self, blade, policy="queue", drive=DRIVE):
        self.chassis.must("POST", "/v1/presentations", {"drive": drive, "blades": [blade], "access": "write",
                                                        "policy": policy, "deadline_ms": 5000})

    def holds(self, blade):
        return any(lease["blade"] == blade and lease["state"] == "held"
                   for lease in self.chassis.must("GET", "/v1/leases")["leases"])

    def writes_of(self, blade):
        return self.chassis.counters[blade].get("acknowledged")

    def works(self, blade, limit=10.0, more=50):
        before = self.writes_of(blade)
        wait_until(f"{blade} writes", lambda: self.writes_of(blade) >= before + more, limit)

    def tell(self, blade, *words):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(f"/run/drivebay/{blade}.ctl")
            control.sendall(("\t".join(words) + "\n").encode())
            return control.recv(4096).decode()

    def granted_within(self, limit, since, what="the fault"):
        wait_until(f"{WAITER} is granted", lambda: self.holds(WAITER), limit + 20)
        took = time.monotonic() - since
        self.say(f"granted {took:.2f} s after {what}, limit {limit:.1f} s")
        if took > limit:
            raise Failed(f"{WAITER} waited {took:.2f} s after {what}, not {limit:.1f} s")
        self.works(WAITER, more=1)

    def refuses_the_late(self, limit=15.0):
        """The former holder tried to write after its fence; it was refused."""
        count = self.chassis.counters[HOLDER].get
        wait_until(f"{HOLDER}'s late write is refused", lambda: count("late_refused") > self.late_before, limit)

    # ---- a case ----

    def live(self, blade):
        return any(known["name"] == blade and known["online"] and known["session"] == "live"
                   for known in self.chassis.status()["blades"])

    def prepare(self):
        for blade in (HOLDER, WAITER):
            wait_until(f"{blade} is heard", lambda: self.live(blade))
        self.late_before = self.chassis.counters[HOLDER].get("late_refused")

    def hold_and_wait(self):
        self.present(HOLDER)
        self.works(HOLDER)
        self.present(WAITER)
        if not self.holds(HOLDER) or self.holds(WAITER):
            raise Failed(f"{WAITER} does not wait for {HOLDER} before the fault")

    def settle(self):
        """Nobody holds, nobody waits, every journal is written; then everything is judged."""
        for drive in {lease["drive"] for lease in self.chassis.must("GET", "/v1/leases")["leases"]}:
            self.chassis.must("POST", "/v1/withdrawals", {"drive": drive, "blades": "all", "force": False})
        wait_until("all leases end", lambda: not self.chassis.must("GET", "/v1/leases")["leases"])
        for blade in (HOLDER, WAITER, CLIENT):
            wait_until(f"{blade} is idle", lambda: self.tell(blade, "idle") == "yes", 25)
        verdict = check(f"{self.chassis.work}/journals", self.chassis.images())
        self.chassis.check_alive()
        self.say(f"{verdict.acknowledged} blocks so far, {verdict.lost} lost, {verdict.stale} stale")
        if not verdict.is_clean():
            raise Failed("; ".join(verdict.sentences[:3]))

    def cut_off(self, cut, heal, limit=TTL + SLACK):
        """The fault that keeps blade01 from being heard; then it comes back."""
        self.hold_and_wait()
        cut()
        fault = time.monotonic()
        try:
            self.granted_within(limit, fault)
        finally:
            heal()
        self.refuses_the_late()

    def a_blade_whose_cable_is_out_keeps_others_waiting(self):
        self.cut_off(lambda: self.network.plug(HOLDER, False), lambda: self.network.plug(HOLDER, True))

    def a_blade_that_lost_only_the_arbiter_writes_on(self):
        def both(change):
            change(HOLDER, MM, ("control",))
            change(MM, HOLDER, ("control",))
        self.cut_off(lambda: both(self.network.cut), lambda: both(self.network.heal))

    def a_blade_that_is_not_heard_keeps_others_waiting(self):
        self.cut_off(lambda: self.network.cut(HOLDER, MM), lambda: self.network.heal(HOLDER, MM))

    def a_blade_that_hears_nothing_keeps_the_drive(self):
        # Its renewals arrive, and nothing tells that it hears the answers.
        self.cut_off(lambda: self.network.cut(MM, HOLDER), lambda: self.network.heal(MM, HOLDER))

    def a_write_held_up_on_the_data_path_lands_after_a_forced_handover(self):
        self.hold_and_wait()
        self.network.cut(HOLDER, MM, ("data",))
        self.network.cut(MM, HOLDER, ("data",))
        try:
            self.present(WAITER, "force")
            self.granted_within(SLACK, time.monotonic(), "--force")
            # Until its own copies were repeated into the cut
            self.works(WAITER)
        finally:
            self.network.heal(HOLDER, MM)
            self.network.heal(MM, HOLDER)
        self.refuses_the_late()

    def a_flapping_link_lets_a_stale_write_through(self):
        self.hold_and_wait()
        until = time.monotonic() + 6
        plugged, changes = True, 0
        while time.monotonic() < until or not plugged:
            plugged = not plugged
            self.network.plug(HOLDER, plugged)
            changes += 1
            # How long the link stays so: the fault itself
            time.sleep(self.random.uniform(0.2, 0.7))
        ended = "taken over in between" if self.holds(WAITER) else "still held"
        self.say(f"{changes} changes; {ended}")
        if self.holds(HOLDER):
            self.works(HOLDER)
        self.hand_over()

    def hand_over(self):
        """Everything works: the host ejects if it still has the drive, and the waiter gets it."""
        since = time.monotonic()
        wait_until(f"{WAITER} gets the drive",
                   lambda: self.holds(WAITER) or (self.tell(HOLDER, "eject", DRIVE) and False), 10, every=0.05)
        self.works(WAITER)
        self.say(f"handed over {time.monotonic() - since:.2f} s later")

    def a_stopped_blade_writes_when_it_goes_on(self):
        both = (HOLDER, f"{HOLDER}-drivebayfs")

        def signal_both(number):
            for name in both:
                self.chassis.signal(name, number)
        self.cut_off(lambda: signal_both(signal.SIGSTOP), lambda: signal_both(signal.SIGCONT))

    def a_stopped_arbiter_stops_the_blades(self):
        self.hold_and_wait()
        self.chassis.signal("arbiter", signal.SIGSTOP)
        try:
            # Longer than a session lives
            until = time.monotonic() + TTL + SLACK
            while time.monotonic() < until:
                self.works(HOLDER, limit=2.0, more=1)
        finally:
            self.chassis.signal("arbiter", signal.SIGCONT)
        went_on = time.monotonic()
        self.say(f"it wrote for {TTL + SLACK:.0f} s without the arbiter")
        wait_until("the arbiter answers again", lambda: self.chassis.status()["data_path"]["online"])
        self.hand_over()
        self.say(f"{time.monotonic() - went_on:.2f} s after it went on all works")

    def a_stopped_data_path_is_granted_past(self):
        self.hold_and_wait()
        self.chassis.signal("management", signal.SIGSTOP)
        try:
            self.present(WAITER, "force")
            until = time.monotonic() + TTL + SLACK
            while time.monotonic() < until:
                if self.holds(WAITER):
                    raise Failed(f"{WAITER} was granted although the data path had not answered the fence")
                time.sleep(0.05)
        finally:
            self.chassis.signal("management", signal.SIGCONT)
        self.granted_within(SLACK, time.monotonic(), "the data path went on")
        self.refuses_the_late()

    def a_write_of_an_abandoned_connection_lands_on_a_newer_one(self):
        # TCP repeats what the cut swallowed some time after it: here when the next instance has repeated it, too, and has
        # written newer blocks to the same places.
        self.present(CLIENT)
        self.works(CLIENT)
        self.network.cut(CLIENT, MM, ("data",))
        began = time.monotonic()
        # The cut itself: long enough for pauses of a second and more between TCP's repetitions
        time.sleep(1.6)
        self.network.heal(CLIENT, MM)
        cut_for = time.monotonic() - began
        self.tell(CLIENT, "leave", DRIVE)
        # Every block again, and then nothing more that could hide what comes late
        self.works(CLIENT, more=20 * BLOCKS)
        self.tell(CLIENT, "rest", DRIVE)
        self.say(f"cut for {cut_for:.1f} s, {time.monotonic() - began - cut_for:.1f} s of writing by the next instance")
        # Each pause of TCP is twice the one before
        time.sleep(max(0.0, began + 2 * cut_for + 0.7 - time.monotonic()))

    def a_fence_leaves_writes_in_flight_behind(self):
        self.needs_slow_drive()
        self.present(HOLDER, drive=SLOW)
        self.works(HOLDER, more=6)
        self.present(WAITER, "force", drive=SLOW)
        self.granted_within(SLOWEST + SLACK, time.monotonic(), "--force on a drive with writes in flight")


    def a_killed_data_paths_write_in_flight_lands_on_its_successors(self):
        # What the server still works on cannot be called back: nobody gets the drive until the operator says so.
        self.needs_slow_drive()
        self.present(HOLDER, drive=SLOW)
        self.works(HOLDER, more=6)
        self.chassis.kill("management")
        killed = time.monotonic()
        self.chassis.start_management()
        self.present(WAITER, "force", drive=SLOW)
        wait_until("the drive is in doubt", lambda: "on their way" in self.trouble_of(SLOW))
        # Until the server has done the last
        while time.monotonic() < killed + SLOWEST + SLACK:
            if self.holds(WAITER):
                raise Failed(f"{WAITER} was granted a drive on which old writes may land")
            time.sleep(0.05)
        self.chassis.must("POST", f"/v1/drives/{SLOW}/refresh")
        self.granted_within(SLACK, time.monotonic(), "drive refresh")
        self.works(WAITER, more=3)

    def trouble_of(self, drive):
        return next(known["error"] for known in self.chassis.status()["drives"] if known["name"] == drive)


class Skipped(Exception):
    """A reason."""


CASES = [name for name in vars(Partitions) if name.startswith(("a_", "an_"))]


def run(partitions, name):
    partitions.said = []
    began = time.monotonic()
    outcome = "ok  "
    try:
        partitions.prepare()
        getattr(partitions, name)()
        partitions.settle()
    except Skipped as reason:
        outcome = "skip"
        partitions.say(str(reason))
    except Failed as failure:
        outcome = "FAIL"
        partitions.say(str(failure))
    print(f"{outcome}  {name} ({time.monotonic() - began:.1f} s): {'; '.join(partitions.said)}", flush=True)
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--keep", action="store_true", help="keep the work folder, also when all is well")
    parser.add_argument("--work", help="folder for the image, journals and logs; it is emptied first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE", help=", ".join(CASES))
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.work = os.path.abspath(options.work or f"{options.build}/kill/partitions")
    inside.enter("partitions")

    outcomes = []
    partitions = None
    try:
        partitions = Partitions(options)
        for name in options.cases or CASES:
            outcomes.append(run(partitions, name))
            if outcomes[-1] == "FAIL":
                break  # what the next ones would begin with is not known
    except Failed as failure:
        print(f"FAIL  the chassis does not start: {failure}")
    finally:
        if partitions:
            partitions.chassis.end_all()
    passed, skipped = outcomes.count("ok  "), outcomes.count("skip")
    failed = len(options.cases or CASES) - passed - skipped
    if failed:
        print(f"      kept: {options.work}")
    elif not options.keep:
        shutil.rmtree(options.work)
    print(f"partitions: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed else 0)


try:
    main()
except KeyboardInterrupt:
    print("interrupted; all that was started has ended")
    sys.exit(130)
