"""A blade whose gadget is always quick: it has what the arbiter wants in its slot as soon as it is told.

As a program (ADDRESS NAME) it says so on stdout, one line each time, and holds what it has until it is killed.
"""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../mount"))
from websocket_client import Closed, WebSocket  # noqa: E402


class Blade:
    def __init__(self, address, name, on_load=lambda: None):
        self.name, self.on_load = name, on_load
        self.version, self.ttl = 0, 0.0
        self.medium, self.last = None, None        # (drive, epoch)
        self.changed = threading.Condition()
        self.loaded_at = {}                         # (drive, epoch) → time.monotonic()
        self.link = WebSocket(address, "/v1/link/blade")
        self.link.send({"type": "hello", "protocol": 1, "blade": name, "session": None, "boot_id": f"bench {os.getpid()}",
                        "term": 0, "observed": self._observed()})
        threading.Thread(target=self._listen, name="listen", daemon=True).start()

    def _observed(self):
        drive, epoch = self.medium or (None, 0)
        return {"version": self.version, "udc": "configured", "speed": "super-speed", "slots": [
            {"slot": 0, "kind": "disk", "state": "loaded" if drive else "empty", "drive": drive, "epoch": epoch,
             "host_locked": False, "error": "", "last": self.last}]}

    def _report(self):
        self.link.send({"type": "observed", **self._observed()})

    def _put_out(self, by_host):
        drive, epoch = self.medium
        self.last = {"drive": drive, "epoch": epoch, "outcome": "drained", "by_host": by_host}
        self.medium = None

    def _listen(self):
        try:
            while True:
                message = self.link.receive()
                now = time.monotonic()
                if message["type"] == "welcome":
                    self.ttl = message["ttl_ms"] / 1000
                    threading.Thread(target=self._renew, name="renew", daemon=True).start()
                if message["type"] == "renewed":
                    self.link.send({"type": "heard", "seq": message["seq"]})
                if message["type"] == "desired":
                    with self.changed:
                        self._take(message, now)
        except (OSError, Closed):
            pass                                    # the bench has ended the arbiter

    def _take(self, message, now):
        self.version = message["version"]
        wanted = [(slot["drive"], slot["epoch"]) for slot in message["slots"] if not slot["eject"]]
        if self.medium and self.medium not in wanted:
            self._put_out(by_host=False)
        over = (self.last["drive"], self.last["epoch"]) if self.last else None
        if wanted and not self.medium and wanted[0] != over:
            self.medium = wanted[0]
            self.loaded_at[self.medium] = now
            self.on_load()
        self._report()
        self.changed.notify_all()

    def _renew(self):
        try:
            while True:
                time.sleep(self.ttl / 3)
                self.link.send({"type": "renew", "seq": 1})
        except OSError:
            pass

    def eject(self):
        """The host's eject, drained. Returns when its report was sent."""
        with self.changed:
            self._put_out(by_host=True)
            now = time.monotonic()
            self._report()
        return now

    def wait_for(self, drive, limit=20.0):
        """(when, epoch) of the medium, once it has it."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.medium and self.medium[0] == drive, limit):
                raise TimeoutError(f"{self.name} did not get {drive} within {limit} s")
            return self.loaded_at[self.medium], self.medium[1]

    def end(self):
        self.link.close()


if __name__ == "__main__":
    Blade(sys.argv[1], sys.argv[2], lambda: print("loaded", flush=True))
    threading.Event().wait()
