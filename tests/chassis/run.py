#!/usr/bin/python3 -B
"""Run the tests that need whole machines.

    run.py [--build FOLDER] [--tests FOLDER] [--keep] [--list] [NAME ...]

NAME is a test, its file, or a part of either's name; all without one. One line a test, and
at the end: chassis: N passed, N failed, N skipped. Exit status 1 when one failed, 2 for a
wrong use. --keep: a failing test leaves its machines running, for enter.py.
"""
import argparse
import glob
import importlib
import os
import shutil
import signal
import sys
import time
import traceback
import types

import keep
from chassis import Chassis
from failure import report
from testing import Skip

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT_LIMIT = 60
SETUP_LIMIT = 120


class Test:
    def __init__(self, module, name, function):
        self.module, self.name, self.function = module, name, function
        self.machines = getattr(function, "machines", getattr(module, "MACHINES", ["mm"]))
        self.limit = getattr(function, "limit", DEFAULT_LIMIT)

    def matches(self, names):
        full = f"{self.module.__name__}.{self.name}"
        return not names or any(name in full for name in names)


def discover(names, folder=HERE):
    """Tests by file and place in the file. A file that cannot be read is one failing test."""
    tests = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "test_*.py"))):
        name = os.path.basename(path)[:-3]
        try:
            module = importlib.import_module(name)
        except Exception as error:
            tests.append(unreadable(name, error))
            continue
        tests += [Test(module, name, function) for name, function in vars(module).items()
                  if name.startswith("test_") and callable(function)]
    return [test for test in tests if test.matches(names)]


def unreadable(name, error):
    def fail(_):
        raise ImportError(f"the file cannot be read: {error}") from error
    module = types.ModuleType(name)
    module.MACHINES = []
    return Test(module, "import", fail)


def grouped(tests):
    """Lists of tests that share one boot, in the order of their first: those of a module, which leaves its daemons running."""
    groups = {}
    for test in tests:
        groups.setdefault((test.module.__name__, repr(test.machines)), []).append(test)
    return list(groups.values())


class TimeLimit:
    """Raises in the block when it takes too long."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        signal.signal(signal.SIGALRM, self._expired)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def _expired(self, *_):
        raise TimeoutError(f"the test's limit of {self.seconds} s has passed")

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)


class Runner:
    def __init__(self, given):
        self.given = given
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}

    def line(self, outcome, test, started, reason=""):
        self.counts[outcome] += 1
        seconds = time.monotonic() - started
        print(f"{outcome:4} {test.module.__name__}.{test.name} {seconds:.1f} s"
              + (f" - {reason}" if reason else ""), flush=True)

    def run_group(self, tests):
        """Boots, runs, and boots again after each failure until all have been run."""
        while tests:
            started = time.monotonic()
            try:
                with Chassis(tests[0].machines, build=self.given.build) as c:
                    print(f"     booted {' '.join(m.name for m in c)} "
                          f"{time.monotonic() - started:.1f} s", flush=True)
                    tests = self.run_on(c, tests)
            except Skip as reason:
                for test in tests:
                    self.line("skip", test, started, str(reason))
                return
            except Exception as error:
                for test in tests:
                    self.line("FAIL", test, started, f"the machines did not boot: {error}")
                return

    def run_on(self, c, tests):
        """Runs tests until one fails; returns those that are left."""
        prepared = None
        for index, test in enumerate(tests):
            started = time.monotonic()
            before = {process for machine in c for process in machine.processes}
            try:
                if prepared is not test.module:
                    with TimeLimit(SETUP_LIMIT):
                        self.finish(prepared, c)
                        prepared = test.module
                        getattr(test.module, "setup", lambda c: None)(c)
                    before = {process for machine in c for process in machine.processes}
                with TimeLimit(test.limit):
                    note = test.function(c)
                self.clean(c, before)
                self.line("ok", test, started, note if isinstance(note, str) else "")
            except Skip as reason:
                self.line("skip", test, started, str(reason))
            except Exception as error:
                self.line("FAIL", test, started, str(error).splitlines()[0] if str(error)
                          else type(error).__name__)
                print(report(c, "".join(traceback.format_exception(error))), flush=True)
                if self.given.keep:
                    self.keep(c)
                return tests[index + 1:]
        self.finish(prepared, c)
        return []

    @staticmethod
    def finish(module, c):
        getattr(module, "teardown", lambda c: None)(c)

    @staticmethod
    def clean(c, before):
        for machine in c:
            if not machine.running:
                continue
            for segment in machine.spec.addresses:
                c.restore(machine.name, segment)
            for process in machine.processes:
                if process not in before and process.running:
                    process.kill()
                    process.wait()

    @staticmethod
    def keep(c):
        print(f"kept. Enter a machine:  {HERE}/enter.py MACHINE\n"
              f"      End it:           {HERE}/enter.py --end", flush=True)
        keep.Door(c).serve()


def main():
    parser = argparse.ArgumentParser(description="Run the tests that need whole machines.")
    parser.add_argument("--build", metavar="FOLDER", help="the programs under test")
    parser.add_argument("--tests", metavar="FOLDER", default=HERE, help="where the tests are, if not here")
    parser.add_argument("--keep", action="store_true", help="keep the machines of a failing test")
    parser.add_argument("--list", action="store_true", help="name the tests and stop")
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    folder = os.path.abspath(given.tests)
    sys.path.append(folder)
    tests = discover(given.names, folder)
    if not tests:
        parser.error("no test has such a name")
    if given.list:
        print("\n".join(f"{test.module.__name__}.{test.name}" for test in tests))
        return 0
    runner = Runner(given)
    if not shutil.which("qemu-system-x86_64"):
        for test in tests:
            runner.line("skip", test, time.monotonic(), "qemu-system-x86_64 is not installed")
    else:
        for group in grouped(tests):
            runner.run_group(group)
    print(os.path.basename(folder) + ": {ok} passed, {FAIL} failed, {skip} skipped".format(**runner.counts))
    return 1 if runner.counts["FAIL"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("run.py: interrupted")
