"""A chassis that outlives the command that booted it, and the door to enter it by.

The driver itself stays, because the machines end with it: `in_keeper` runs the work in a
process of its own, which hands its exit status to the command and then serves the door, a
Unix socket named `door` in the run's folder (see enter.py for the other side).
"""
import ctypes
import os
import signal
import socket
import sys
import threading

import ending
import frames

PR_SET_PDEATHSIG = 1


def in_keeper(work):
    """Runs work(release) in a process of its own and returns the exit status to end with.

    work calls release(chassis, status) when the chassis is to be kept; that does not return
    before someone ends the chassis. Work that returns a status without it keeps nothing."""
    ending.on_signals()
    reader, writer = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        status = 1
        try:
            status = work(lambda chassis, status: _release(chassis, status, writer)) or 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except KeyboardInterrupt:
            status = 130
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        os._exit(status)
    os.close(writer)
    # ^C reaches this process alone; the keeper cleans up and its status comes back.
    for signum in ending.SIGNALS:
        signal.signal(signum, lambda number, _: os.kill(child, number))
    with os.fdopen(reader, "rb") as pipe:
        released = pipe.read(1)
    if released:
        return released[0]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _release(chassis, status, writer):
    door = Door(chassis)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)
    sys.stdout.flush()
    log = os.open(os.path.join(chassis.folder, "keeper.log"),
                  os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, end in ((0, null), (1, log), (2, log)):
        os.dup2(end, number)
    os.write(writer, bytes([status]))
    os.close(writer)
    door.serve()


class Door:
    """One request a connection. {machine, argv, tty}: output and exit status come back, what
    is typed goes there. {end}: the chassis ends. {list}: what runs."""

    def __init__(self, chassis):
        self.chassis = chassis
        self.listener = listen(chassis.folder)
        self.ended = threading.Event()

    def serve(self):
        """Returns when someone has asked for the end."""
        threading.Thread(target=self._accept, daemon=True, name="door").start()
        try:
            while not self.ended.wait(3600):
                pass
        finally:
            os.unlink(os.path.join(self.chassis.folder, "door"))

    def _accept(self):
        while True:
            guest, _ = self.listener.accept()
            threading.Thread(target=self._answer, args=[guest], daemon=True).start()

    def _answer(self, guest):
        with guest, guest.makefile("rb") as stream:
            try:
                self._obey(guest, stream, frames.read(stream) or {})
            except Exception as error:
                try:
                    frames.write(guest, err=f"{error}\n".encode(), rc=1)
                except OSError:
                    pass

    def _obey(self, guest, stream, request):
        if request.get("end"):
            self.chassis.close()
            frames.write(guest, rc=0)
            self.ended.set()
            return
        if request.get("list"):
            names = [f"{machine.name:10} {machine.address}" for machine in self.chassis]
            frames.write(guest, out=("\n".join(names) + "\n").encode(), rc=0)
            return
        if request["machine"] not in self.chassis.machines:
            raise ValueError(f"no machine '{request['machine']}'; there are: "
                             + " ".join(self.chassis.machines))
        machine = self.chassis[request["machine"]]
        job = machine.popen(request["argv"], tty=request.get("tty"), cwd=request.get("cwd", ""),
                            env=request.get("env"),
                            on_output=lambda data: frames.write(guest, out=data))
        threading.Thread(target=self._type, args=[stream, machine, job], daemon=True).start()
        while not machine.channel.wait(lambda: job.done, 3600):
            pass
        frames.write(guest, err=bytes(job.err), rc=job.rc)

    @staticmethod
    def _type(stream, machine, job):
        try:
            while message := frames.read(stream):
                machine.channel.send(op="input", id=job.id, data=message["data"])
        except (OSError, ValueError):
            pass
        if not job.done:        # whoever entered has left
            machine.signal(job.pid, signal.SIGHUP)


def listen(folder):
    """By a short path: a socket's address holds 107 bytes, a folder's path may be longer."""
    with ShortPath(folder) as short:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"{short}/door")
        listener.listen()
        return listener


def connect(folder):
    with ShortPath(folder) as short:
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.connect(f"{short}/door")
        return door


class ShortPath:
    """A folder's name through this process' descriptors."""

    def __init__(self, folder):
        self._descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)

    def __enter__(self):
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_):
        os.close(self._descriptor)
