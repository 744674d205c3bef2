"""The driver's side of an agent's port: jobs running in a machine and their answers."""
import threading
import time

import frames


class MachineLost(Exception):
    """The machine ended (or was never there) while something was asked of it."""


class Job:
    """A process in the machine. Fields are complete once `done`."""

    def __init__(self, job_id):
        self.id = job_id
        self.pid = self.rc = None
        self.out, self.err = bytearray(), bytearray()
        self.lost = False
        self.on_output = None    # called with each piece of out, in the reader's thread

    @property
    def done(self):
        return self.rc is not None or self.lost


class Channel:
    """One thread reads; any number may ask. `socket` is the driver's end of the port."""

    def __init__(self, name, socket):
        self.name, self._socket = name, socket
        self._socket.settimeout(None)
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._jobs, self._last_id = {}, 0
        self.ready = self.lost = False
        threading.Thread(target=self._read, name=f"agent of {name}", daemon=True).start()

    def _read(self):
        stream = self._socket.makefile("rb")
        try:
            while True:
                message = frames.read(stream)
                if message is None:
                    break
                self._take(message)
        except (OSError, ValueError, EOFError):
            pass
        with self._changed:
            self.lost = True
            for job in self._jobs.values():
                job.lost = True
            self._changed.notify_all()

    def _take(self, message):
        with self._changed:
            if message.get("ready"):
                self.ready = True
            job = self._jobs.get(message.get("id"))
            if job:
                if "out" in message and job.on_output:
                    job.on_output(message["out"])
                else:
                    job.out += message.get("out", b"")
                job.err += message.get("err", b"")
                job.pid = message.get("pid", job.pid)
                job.rc = message.get("rc", job.rc)
                if job.done:
                    del self._jobs[job.id]
            self._changed.notify_all()

    def send(self, **message):
        try:
            with self._sending:
                frames.write(self._socket, **message)
        except OSError as error:
            raise MachineLost(f"{self.name} is not running") from error

    def start(self, op, on_output=None, **message):
        """Begins a run or a call (see agent.py) and returns its Job."""
        with self._changed:
            if self.lost:
                raise MachineLost(f"{self.name} is not running")
            self._last_id += 1
            job = self._jobs[self._last_id] = Job(self._last_id)
            job.on_output = on_output
        self.send(op=op, id=job.id, **message)
        return job

    def wait(self, condition, timeout):
        """True when `condition()` holds within the limit; MachineLost when it cannot any more."""
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                if self.lost:
                    raise MachineLost(f"{self.name} has ended; see its console.log")
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True
