"""A machine of the chassis as a test sees it: run, start, wait, put, get, kill, boot."""
import inspect
import marshal
import os
import shlex
import signal
import textwrap
import time

from channel import Channel, MachineLost
from processes import Failed, Process, Result, Timeout, wait_until
from qemu import Qemu

__all__ = ["Failed", "Machine", "MachineLost", "Timeout", "wait_until"]


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
        wire = None
        if self.spec.wired:
            wire = self._chassis.wires[self.name].blade_end()
        elif self.spec.host_of:
            wire = self._chassis.wires[self.spec.host_of].host_end()
        self.booted_in, self._started = None, time.monotonic()
        self.processes = []
        self.qemu = Qemu(self.spec, self.index, self.folder, self._chassis.kernel, ports, wire)
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
