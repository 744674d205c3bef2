"""What runs, or ran, in a machine; and waiting for something to become true."""
import signal
import time


class Failed(AssertionError):
    """A command's wrong exit status, or a condition that did not come true in time."""


class Timeout(Failed):
    """A command was still running at its limit; it was killed."""


class Result:
    """What a command left: rc, out and err as text (raw_out and raw_err as bytes)."""

    def __init__(self, command, rc, out, err):
        self.command, self.rc, self.raw_out, self.raw_err = command, rc, bytes(out), bytes(err)
        self.out = self.raw_out.decode(errors="replace")
        self.err = self.raw_err.decode(errors="replace")

    def __str__(self):
        return f"$ {self.command}\nrc={self.rc}\n{self.out}{self.err}".rstrip()


class Process:
    """A process started in the background by Machine.start."""

    def __init__(self, machine, name, job, log):
        self.machine, self.name, self.log = machine, name, log
        self._job = job

    @property
    def pid(self):
        return self._job.pid

    @property
    def rc(self):
        """None while it runs; negative when a signal ended it."""
        return self._job.rc

    @property
    def running(self):
        return not self._job.done

    def kill(self, signum=signal.SIGKILL):
        """To its process group. Does not wait."""
        if self.running:
            self.machine.signal(self.pid, signum)

    def wait(self, timeout=10):
        """Its exit status."""
        if not self.machine.channel.wait(lambda: self._job.done, timeout):
            raise Timeout(f"{self.machine.name}: {self.name} still runs after {timeout} s")
        return self.rc

    def stop(self, timeout=10):
        """SIGTERM, and its exit status."""
        self.kill(signal.SIGTERM)
        return self.wait(timeout)

    def text(self):
        """Its output so far."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()


def wait_until(condition, limit=10, what="", pause=0.05):
    """The first true value of condition(); Failed, with `what`, when there is none in time.

    It looks for half of the time at most: an emulated processor that answers has nothing left for what is waited for."""
    end = time.monotonic() + limit
    while True:
        begin = time.monotonic()
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not so within {limit} s: {what or getattr(condition, '__name__', '')}")
        time.sleep(max(pause, time.monotonic() - begin))
