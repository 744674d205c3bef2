"""A machine of the chassis as a test sees it: run, start, wait, put, get, kill, boot."""
import inspect
import marshal
import os
import shlex
import signal
import textwrap
import time

from channel import Channel, MachineLost
from qemu import Qemu


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


class Machine:
    """Made by Chassis. `folder` on the outer machine is /run/chassis in this one."""

    def __init__(self, chassis, spec, index, folder):
        self._chassis, self.spec, self.index, self.folder = chassis, spec, index, folder
        self.name = spec.name
        self.qemu = self.channel = None
        self.processes = []         # what `start` started since the last boot
        self.booted_in = None       # seconds from start to the agent's first word

    @property
    def address(self):
        """Its address on the management network, or on the only one it has."""
        return next(iter(self.spec.addresses.values()))

    # --- power

    def power_on(self):
        """Starts booting; `wait_ready` waits for it."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        ports = {segment: self._chassis.network.cable(segment, self.name)
                 for segment in self.spec.addresses}
        self.booted_in, self._started = None, time.monotonic()
        self.processes = []
        self.qemu = Qemu(self.spec, self.index, self.folder, self._chassis.kernel, ports)
        self.channel = Channel(self.name, self.qemu.agent)

    @property
    def running(self):
        return bool(self.qemu and self.qemu.running())

    def wait_ready(self, timeout=60):
        if not self.channel.wait(lambda: self.channel.ready, timeout):
            raise Timeout(f"{self.name} has not booted in {timeout} s; see {self.console}")
        self.booted_in = self.booted_in or time.monotonic() - self._started

    def boot(self, timeout=60):
        self.power_on()
        self.wait_ready(timeout)

    def kill(self):
        """Pulls the plug. What reached a disk stays; memory, and with it the root, is lost."""
        if self.qemu:
            self.qemu.kill()

    def reset(self, timeout=60):
        self.kill()
        self.boot(timeout)

    def pause(self):
        """Stops its processor; its clock stops too."""
        self.qemu.qmp("stop")

    def resume(self):
        self.qemu.qmp("cont")

    @property
    def console(self):
        return os.path.join(self.folder, "console.log")

    # --- commands

    def popen(self, command, cwd="", env=None, input=b"", on_output=None, tty=None, log=""):
        """Begins a command and returns its channel.Job. A string is for the shell."""
        argv = ["sh", "-c", command] if isinstance(command, str) else [str(a) for a in command]
        if isinstance(input, str):
            input = input.encode()
        return self.channel.start("run", on_output, argv=argv, cwd=cwd, input=input, log=log,
                                  env={**self._chassis.env, **(env or {})}, tty=tty)

    def run(self, command, timeout=20, check=True, **how):
        """Runs a command to its end. With `check` an exit status other than 0 raises Failed."""
        return self._finish(self.popen(command, **how), command, timeout, check)

    def _finish(self, job, command, timeout, check):
        if not isinstance(command, str):
            command = shlex.join(str(word) for word in command)
        if not self.channel.wait(lambda: job.done, timeout):
            self.signal(job.pid, signal.SIGKILL)
            partly = Result(command, None, job.out, job.err)
            raise Timeout(f"{self.name}: still running after {timeout} s\n{partly}")
        if job.rc is None:
            raise MachineLost(f"{self.name} ended during: {command}")
        result = Result(command, job.rc, job.out, job.err)
        if check and result.rc != 0:
            raise Failed(f"{self.name}: {result}")
        return result

    def python(self, function, *args, timeout=20):
        """Calls a Python function there, in a warm interpreter; arguments and value are plain
        data (numbers, text, bytes, lists, dicts). It must import what it needs itself."""
        source = textwrap.dedent(inspect.getsource(function))
        job = self.channel.start("call", source=source, name=function.__name__, args=list(args))
        result = self._finish(job, f"python {function.__name__}{args}", timeout, True)
        return marshal.loads(result.raw_out)

    def start(self, name, command, **how):
        """Starts a process in the background; its output goes to NAME.log in the shared folder."""
        job = self.popen(command, log=f"/run/chassis/{name}.log", **how)
        if not self.channel.wait(lambda: job.pid or job.done, 20):
            raise Timeout(f"{self.name}: {name} was not started in 20 s")
        process = Process(self, name, job, os.path.join(self.folder, f"{name}.log"))
        self.processes.append(process)
        return process

    def signal(self, pid, signum=signal.SIGTERM):
        """To the process group of something that run or start started."""
        self.channel.send(op="kill", pid=pid, signal=int(signum))

    # --- conditions and files

    def wait_until(self, condition, limit=10, what=""):
        """Waits until a command exits 0, or a Python function of no arguments is true.

        Returns the value (the Result of the command). Failed after `limit` seconds."""
        return wait_until(self._command_holds(condition) if isinstance(condition, (str, list))
                          else condition, limit, what or f"{self.name}: {condition}")

    def _command_holds(self, command):
        def holds():
            result = self.run(command, check=False)
            return result if result.rc == 0 else None
        return holds

    def put(self, path, data, mode=0o644):
        """Writes a small file."""
        self.python(_put, path, data.encode() if isinstance(data, str) else data, mode)

    def get(self, path):
        """Reads a small file; bytes."""
        return self.python(_get, path)


def _put(path, data, mode):
    import os
    with open(path, "wb") as target:
        target.write(data)
    os.chmod(path, mode)


def _get(path):
    with open(path, "rb") as source:
        return source.read()


def wait_until(condition, limit=10, what="", pause=0.05):
    """The first true value of condition(); Failed, with `what`, when there is none in time."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not so within {limit} s: {what or getattr(condition, '__name__', '')}")
        time.sleep(pause)
