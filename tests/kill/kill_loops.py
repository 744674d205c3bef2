#!/usr/bin/python3 -B
"""kill -9 of the arbiter and of the management module's drivebayfs, again and again, while blades write and the drives
change hands all the time. Then: is every acknowledged write there, and did nothing land that came too late?

Three blades: two are NBD clients of the management module (libnbd), one writes through the FUSE mount of its own
drivebayfs. The moments are random and come from --seed. Exit status 0: all held; 1: not, and the images, journals and
logs stay where it says.
"""
import argparse
import os
import random
import shutil
import sys
import time

import checker_test
import inside
from checker import check
from chassis import NBD, Chassis, Failed, wait_until
from handovers import Handovers

DRIVES = ("scratch", "media")
BLADES = ("blade01", "blade02", "blade03")
BLOCKS = 256
STUCK_AFTER = 20.0


class KillLoop:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(f"{options.seed} killer")
        self.chassis = Chassis(options.build, options.work, ttl_ms=options.ttl_ms)
        self.operator = Handovers(self.chassis, BLADES, options.seed)
        self.killed = {"arbiter": 0, "management": 0}
        self.early = 0  # kills of a daemon that was still starting
        self.longest_wait = 0.0

    def start(self):
        chassis = self.chassis
        chassis.start_arbiter()
        chassis.start_management()
        for drive in DRIVES:
            chassis.add_drive(drive, BLOCKS)
        chassis.start_blade_mount("blade03")
        common = ("--arbiter", chassis.control, "--drives", ",".join(DRIVES), "--seed", str(self.options.seed),
                  "--blocks", str(BLOCKS), "--hold-ms", self.options.hold_ms)
        for blade in BLADES[:2]:
            chassis.start_blade(blade, *common, "--nbd", NBD)
        chassis.start_blade("blade03", *common, "--mount", "/srv/blade03", "--drain", "/run/drivebay/blade03.sock")
        self.operator.start()
        self.wait_for("holds", 4)

    def wait_for(self, counter, more):
        """For more acknowledged writes, or changes of hands: a kill is to hit a chassis at work."""
        began = time.monotonic()
        before = self.chassis.count(counter)
        wait_until(f"{counter} goes on", lambda: self.chassis.count(counter) >= before + more, STUCK_AFTER)
        self.longest_wait = max(self.longest_wait, time.monotonic() - began)

    def kill(self, name):
        self.killed[name] += 1
        self.chassis.kill(name)

    def restart(self, name):
        start = self.chassis.start_arbiter if name == "arbiter" else self.chassis.start_management
        while self.left(name) and self.random.random() < 0.1:
            start(wait=False)
            time.sleep(self.random.uniform(0, 0.03))
            self.early += 1
            self.kill(name)
        start()

    def left(self, name):
        wanted = self.options.arbiter_kills if name == "arbiter" else self.options.datapath_kills
        return max(0, wanted - self.killed[name])

    def run(self):
        until = time.monotonic() + self.options.seconds
        while (left := {name: self.left(name) for name in self.killed}) and any(left.values()):
            if time.monotonic() > until:
                raise Failed(f"the time is over after {self.killed['arbiter']} + {self.killed['management']} kills")
            self.chassis.check_alive()
            # The moment of the kill, not a wait for anything
            time.sleep(self.random.uniform(0, self.options.pause_ms / 1000))
            names = self.random.choices(list(left), list(left.values()))
            if all(left.values()) and self.random.random() < 0.2:
                names = self.random.sample(list(left), 2)
            for name in names:
                self.kill(name)
            for name in names:
                self.restart(name)
                if name != names[-1]:
                    # For so long one is there without the other: what was granted goes on, and nothing else
                    time.sleep(self.random.uniform(0, 0.3))
            self.wait_for("acknowledged", 1)
            if self.random.random() < 0.3:
                self.wait_for("holds", 1)

    def end(self):
        self.operator.ending.set()
        self.operator.join()
        bad = [blade for blade in BLADES if self.chassis.end(blade) != 0]
        if bad:
            raise Failed(f"{', '.join(bad)} did not end well: see its log")
        self.chassis.end("blade03-drivebayfs")
        self.chassis.end("management")
        self.chassis.end("arbiter")


def report(loop, verdict, failure, seconds):
    count = loop.chassis.count
    print(f"  seed {loop.options.seed}; {loop.killed['arbiter']} kills of the arbiter, {loop.killed['management']} of the "
          f"management module's drivebayfs ({loop.early} of them while starting), in {seconds:.0f} s")
    print(f"  {count('acknowledged')} blocks acknowledged, {verdict.found} read back, {count('holds')} handovers, "
          f"{verdict.shut_out} writes refused as their epoch ended")
    print(f"  {count('late_refused')} writes tried after their fence were refused, {count('late_answered')} acknowledged; "
          f"{count('reconnects')} NBD connections, {count('abandoned')} left with requests in them")
    print(f"  asked for: {', '.join(f'{n} {policy}' for policy, n in sorted(loop.operator.asked.items()))}; "
          f"longest wait for work after a kill {loop.longest_wait:.2f} s")
    print(f"  {verdict.lost} lost, {verdict.stale} stale, {verdict.damaged} damaged")
    unnoticed = checker_test.mistakes()
    tests = {
        "a_lost_or_stale_write_is_not_noticed": len(unnoticed),
        "an_acknowledged_write_is_lost_by_a_kill": verdict.lost + verdict.damaged,
        "a_write_of_an_ended_epoch_lands": verdict.stale,
        "a_write_after_the_fence_is_acknowledged": verdict.late_answered + (count("late_refused") == 0),
        "a_kill_ends_a_lease": count("ended_too_soon"),
        "a_kill_is_an_io_error_on_a_blade": count("io_errors") + count("losses"),
        "an_operator_gets_a_strange_answer_after_a_kill": len(loop.operator.strange),
        "a_kill_leaves_the_chassis_stuck": failure or 0,
    }
    for sentence in [*unnoticed, *verdict.sentences, *loop.operator.strange[:5]]:
        print(f"  {sentence}")
    for name, wrong in tests.items():
        print(f"FAIL  {name}: {wrong}" if wrong else f"ok    {name}")
    bad = sum(1 for wrong in tests.values() if wrong)
    if bad:
        print(f"      kept: {loop.options.work}")
    elif not loop.options.keep:
        shutil.rmtree(loop.options.work)
    print(f"kill: {len(tests) - bad} passed, {bad} failed, 0 skipped", flush=True)
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--keep", action="store_true", help="keep the work folder, also when all is well")
    parser.add_argument("--work", help="folder for images, journals and logs; it is emptied first")
    parser.add_argument("--arbiter-kills", type=int, default=50)
    parser.add_argument("--datapath-kills", type=int, default=50)
    parser.add_argument("--seed", type=int, help="default: a new one each time")
    parser.add_argument("--seconds", type=float, default=150, help="give up after that")
    parser.add_argument("--pause-ms", type=float, default=200, help="longest pause between work seen and the next kill")
    parser.add_argument("--hold-ms", default="50-400", help="how long a host keeps a drive before it ejects it")
    parser.add_argument("--ttl-ms", type=int, default=10000)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
        sys.argv += ["--seed", str(options.seed)]
    options.build = os.path.abspath(options.build)
    options.work = os.path.abspath(options.work or f"{options.build}/kill/loops")
    inside.enter("kill")

    began = time.monotonic()
    loop = KillLoop(options)
    failure = None
    try:
        loop.start()
        loop.run()
        loop.end()
    except Failed as failed:
        failure = str(failed)
        try:
            print(f"  at the failure: {loop.chassis.ask('GET', '/v1/leases')[1]}")
        except Exception as error:
            print(f"  at the failure: no arbiter ({error})")
    finally:
        loop.operator.ending.set()
        loop.chassis.end_all()
    # After a failure journals are missing, and the check would see what they would explain.
    verdict = check(f"{options.work}/journals", loop.chassis.images() if failure is None else [])
    sys.exit(report(loop, verdict, failure, time.monotonic() - began))


try:
    main()
except KeyboardInterrupt:
    print("interrupted; all that was started has ended")
    sys.exit(130)
