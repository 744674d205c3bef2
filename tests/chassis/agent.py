#!/usr/bin/python3
"""First process of a chassis machine: does what the driver asks by a virtio-serial port.

A message is four bytes of length (big endian) and a marshalled dict, both ways.

  run    id, argv; may have env, cwd, input (bytes), log (path), tty ([rows, columns])
         answers {id, pid}, then {id, out} and {id, err} as they come, then {id, rc}.
         With log, output is appended to that file instead. rc is negative when a signal
         ended it, 127 when argv[0] cannot be run. What a process left in the background
         writes after its parent's end is lost: give such a process a log.
  call   id, source, name, args: runs a Python function in a copy of this process (which
         spares the interpreter's start); its marshalled value is the answer's `out`.
  input  id, data: is typed at the terminal of a run that has a tty.
  kill   pid, signal: to the process group of a run.

Any number run at once. Imports are few on purpose: each costs emulated time at boot.
"""
import marshal
import os
import select
import signal

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb",
}

PIPE_READS = 16     # times 64 KiB: more than a pipe holds


def find_port():
    ports = "/sys/class/virtio-ports"
    for name in os.listdir(ports):
        with open(f"{ports}/{name}/name", encoding="ascii") as entry:
            if entry.read().strip() == "chassis.agent":
                return os.open(f"/dev/{name}", os.O_RDWR | os.O_CLOEXEC)
    raise OSError("no virtio-serial port named chassis.agent")


def standard_input(message):
    if not message.get("input"):
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    end = os.memfd_create("input")
    with open(os.dup(end), "wb") as target:
        target.write(message["input"])
    os.lseek(end, 0, os.SEEK_SET)
    return end


def execute(message):
    if message.get("tty"):
        import fcntl
        import struct
        import termios
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *message["tty"], 0, 0))
    os.chdir(message.get("cwd") or "/")
    argv = message["argv"]
    os.execvpe(argv[0], argv, {**ENVIRONMENT, **message.get("env", {})})


def call(message):
    answer = os.dup(1)
    os.dup2(2, 1)   # what the function prints is no part of its value
    os.environ.update(ENVIRONMENT)
    scope = {}
    exec(compile(message["source"], message["name"], "exec"), scope)
    data = marshal.dumps(scope[message["name"]](*message["args"]), 2)
    while data:
        data = data[os.write(answer, data):]
    os._exit(0)


class Job:
    """A process, and the descriptors its output arrives on: {descriptor: key of the answer}."""

    def __init__(self, job_id, pid, outputs, terminal):
        self.id, self.pid, self.outputs, self.terminal = job_id, pid, outputs, terminal


class Agent:
    def __init__(self, port):
        self.port = port
        self.poll = select.poll()
        self.poll.register(port, select.POLLIN)
        self.received = b""
        self.jobs = {}       # pid: Job
        self.outputs = {}    # descriptor: Job
        # A child's end wakes the poll by this pipe; orphans come to us as well.
        self.wake, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.poll.register(self.wake, select.POLLIN)

    def send(self, **message):
        data = marshal.dumps(message, 2)
        data = len(data).to_bytes(4, "big") + data
        while data:
            data = data[os.write(self.port, data):]

    def start(self, message, body):
        """Runs `body` in a new process and session; it must not return."""
        outputs, terminal = {}, None
        if message.get("tty"):
            terminal, end = os.openpty()
            outputs[terminal] = "out"
            ends = [end, end, end]
        elif message.get("log"):
            log = os.open(message["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            ends = [standard_input(message), log, log]
        else:
            ends = [standard_input(message)]
            for key in ("out", "err"):
                reader, writer = os.pipe()
                outputs[reader] = key
                ends.append(writer)
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                os.setsid()
                for number, end in enumerate(ends):
                    os.dup2(end, number)
                body(message)
            except Exception as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(127)
        for end in set(ends):
            os.close(end)
        job = self.jobs[pid] = Job(message["id"], pid, outputs, terminal)
        for reader in outputs:
            os.set_blocking(reader, False)
            self.outputs[reader] = job
            self.poll.register(reader, select.POLLIN)
        self.send(id=job.id, pid=pid)

    def forward(self, reader):
        """Passes on one piece of output; False when there is none now."""
        job = self.outputs[reader]
        try:
            data = os.read(reader, 65536)
        except BlockingIOError:
            return False
        except OSError:     # a terminal whose last user is gone
            data = b""
        if data:
            self.send(**{"id": job.id, job.outputs[reader]: data})
            return True
        self.forget(reader)
        return False

    def forget(self, reader):
        self.poll.unregister(reader)
        os.close(reader)
        del self.outputs[reader].outputs[reader], self.outputs[reader]

    def reap(self):
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            job = self.jobs.pop(pid, None)
            if job:
                for reader in list(job.outputs):
                    # What is in the pipe now; a child left behind might write for ever.
                    for _ in range(PIPE_READS):
                        if not self.forward(reader):
                            break
                for reader in list(job.outputs):
                    self.forget(reader)
                self.send(id=job.id, rc=os.waitstatus_to_exitcode(status))

    def obey(self, message):
        try:
            if message["op"] == "run":
                self.start(message, execute)
            elif message["op"] == "call":
                self.start(message, call)
            elif message["op"] == "kill":
                os.killpg(message["pid"], message["signal"])
            elif message["op"] == "input":
                for job in self.jobs.values():
                    if job.id == message["id"] and job.terminal in job.outputs:
                        os.write(job.terminal, message["data"])
        except ProcessLookupError:
            pass
        except OSError as error:
            if "id" in message:
                self.send(id=message["id"], err=f"agent: {error}\n".encode())
                self.send(id=message["id"], rc=127)

    def receive(self):
        data = os.read(self.port, 65536)
        self.received += data
        while len(self.received) >= 4:
            end = 4 + int.from_bytes(self.received[:4], "big")
            if len(self.received) < end:
                return
            message, self.received = self.received[4:end], self.received[end:]
            self.obey(marshal.loads(message))

    def serve(self):
        self.send(ready=True)
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == self.port:
                    self.receive()
                elif descriptor == self.wake:
                    self.reap()
                elif descriptor in self.outputs:
                    self.forward(descriptor)


Agent(find_port()).serve()
