"""gadgetd's double: keeps a blade's slots as the arbiter wants them, with open files where a gadget has LUNs.

It says hello, renews, and reports what it did, as doc/PROTOCOL.md has it. A file held open stands for a loaded LUN. Its
control socket plays the host: eject N, lock N, unlock N; read N OFFSET LENGTH and write N OFFSET TEXT go through the
held file. `silent` falls silent with the link open, `cut` drops the link for good, `speak` ends both; `state` tells the slots.
"""
import argparse
import http.client
import json
import os
import socket
import threading
import time

import control_socket
from websocket_client import Closed, WebSocket


class DrainConnection(http.client.HTTPConnection):
    """HTTP over drivebayfs' Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


class Slot:
    def __init__(self, number, kind):
        self.number = number
        self.kind = kind
        self.state = "empty"
        self.drive = ""
        self.epoch = 0
        self.fd = -1
        self.locked = False
        self.refused_eject = False
        self.error = ""
        self.last = None

    def observed(self):
        return {"slot": self.number, "kind": self.kind, "state": self.state, "drive": self.drive or None,
                "epoch": self.epoch, "host_locked": self.refused_eject, "error": self.error, "last": self.last}


class Blade:
    def __init__(self, options):
        self.options = options
        self.slots = [Slot(i, kind) for i, kind in enumerate(options.slots.split(","))]
        self.desired = {}
        self.version = 0
        self.term = 0
        self.link = None
        self.may_speak = threading.Event()
        self.may_speak.set()
        self.is_cut = False
        self.lock = threading.RLock()       # slots and desired
        self.changed = threading.Event()
        with open("/proc/sys/kernel/random/boot_id") as boot:
            self.boot_id = boot.read().strip() + options.boot_suffix

    # ---- the slots ----

    def drain(self, drive, epoch):
        body = json.dumps({"drive": drive, "blade": self.options.blade, "epoch": epoch})
        try:
            connection = DrainConnection(self.options.drain)
            connection.request("POST", "/v1/drain", body, {"Content-Type": "application/json"})
            return json.load(connection.getresponse())["outcome"]
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            print(f"drain of {drive}@{epoch}: {error!r}", flush=True)
            return "unknown"

    def put_out(self, slot, by_host):
        drive, epoch = slot.drive, slot.epoch
        os.close(slot.fd)
        slot.fd = -1
        outcome = self.drain(drive, epoch)
        slot.last = {"drive": drive, "epoch": epoch, "outcome": outcome, "by_host": by_host}
        slot.state = "ejected-by-host" if by_host else "empty"
        slot.drive, slot.epoch, slot.refused_eject = "", 0, False
        print(f"slot {slot.number}: {drive}@{epoch} is out, {outcome}", flush=True)

    def load(self, slot, want):
        path = f"{self.options.mount}/{want['drive']}@{want['epoch']}"
        slot.drive, slot.epoch = want["drive"], want["epoch"]
        try:
            # A host that asks for its writes to be on the drive when they are answered.
            slot.fd = os.open(path, os.O_RDWR | os.O_SYNC if want["access"] == "write" else os.O_RDONLY)
            slot.state, slot.error = "loaded", ""
            print(f"slot {slot.number}: {path} is loaded", flush=True)
        except OSError as error:
            slot.state, slot.error = "error", f"cannot open {path}: {error.strerror}"
            print(f"slot {slot.number}: {slot.error}", flush=True)

    def converge(self, slot, want):
        """One slot; returns whether to come again soon."""
        medium = (slot.drive, slot.epoch)
        if slot.fd >= 0:
            if want and medium == (want["drive"], want["epoch"]):
                slot.refused_eject = want["eject"] and slot.locked
                if want["eject"] and not slot.locked:
                    self.put_out(slot, by_host=False)
                return slot.refused_eject
            self.put_out(slot, by_host=False)
        if not want or want["eject"]:
            if slot.state == "error":
                slot.state, slot.error, slot.drive, slot.epoch = "empty", "", "", 0
            return False
        if slot.last and (slot.last["drive"], slot.last["epoch"]) == (want["drive"], want["epoch"]):
            return False
        self.load(slot, want)
        return slot.state == "error"

    def keep_converging(self):
        while True:
            with self.lock:
                again = False
                for slot in self.slots:
                    before = slot.observed()
                    again = self.converge(slot, self.desired.get(slot.number)) or again
                    if slot.observed() != before:
                        self.report()
                self.report()
            self.changed.wait(timeout=0.1 if again else None)
            self.changed.clear()

    # ---- the link ----

    def observed(self):
        return {"version": self.version, "udc": "configured", "speed": "super-speed",
                "slots": [slot.observed() for slot in self.slots]}

    def send(self, message):
        link = self.link
        if link and self.may_speak.is_set() and not self.is_cut:
            try:
                link.send(message)
            except OSError:
                pass  # the reader notices and connects anew

    def report(self):
        self.send({"type": "observed", **self.observed()})

    def session(self):
        try:
            with open(self.options.session) as kept:
                return kept.read() or None
        except FileNotFoundError:
            return None

    def keep_renewing(self, ttl):
        seq = 0
        while True:
            time.sleep(ttl[0] / 3)
            seq += 1
            self.send({"type": "renew", "seq": seq})

    def take(self, message, ttl):
        if message["type"] == "refused":
            raise Closed(message["reason"])
        if message["type"] == "welcome":
            self.term, ttl[0] = message["term"], message["ttl_ms"] / 1000
            with open(self.options.session, "w") as kept:
                kept.write(message["session"])
        if message["type"] == "renewed":
            self.send({"type": "heard", "seq": message["seq"]})
        if message["type"] == "desired":
            with self.lock:
                self.version = message["version"]
                self.desired = {slot["slot"]: slot for slot in message["slots"]}
            self.changed.set()

    def run(self):
        ttl = [1.0]  # until the arbiter has said which
        threading.Thread(target=self.keep_converging, name="converge", daemon=True).start()
        threading.Thread(target=self.keep_renewing, args=(ttl,), name="renew", daemon=True).start()
        while True:
            while self.is_cut:
                time.sleep(0.05)
            try:
                link = WebSocket(self.options.arbiter, "/v1/link/blade", self.options.identity)
                with self.lock:
                    observed = self.observed()
                link.send({"type": "hello", "protocol": 1, "blade": self.options.blade, "session": self.session(),
                           "boot_id": self.boot_id, "term": self.term, "observed": observed})
                self.link = link
                while True:
                    message = link.receive()
                    self.may_speak.wait()
                    self.take(message, ttl)
            except (OSError, Closed) as error:
                print(f"the link is down: {error!r}", flush=True)
                self.link = None
                time.sleep(0.1)

    # ---- the host, and the test ----

    def command(self, words):
        if words[0] in ("silent", "speak", "cut"):
            self.is_cut = words[0] == "cut"
            (self.may_speak.clear if words[0] == "silent" else self.may_speak.set)()
            if self.is_cut and self.link:
                self.link.close()
            return "ok"
        if words[0] == "state":
            return json.dumps([slot.observed() for slot in self.slots])
        slot = self.slots[int(words[1])]
        if words[0] == "read":
            return os.pread(slot.fd, int(words[3]), int(words[2])).rstrip(b"\0").decode(errors="replace")
        if words[0] == "write":
            data = words[3].encode()
            return os.pwrite(slot.fd, data, int(words[2]))
        with self.lock:
            if words[0] in ("lock", "unlock"):
                slot.locked = words[0] == "lock"
            elif words[0] == "eject":
                if slot.fd < 0 or slot.locked:
                    return "error: no medium, or the door is locked"
                self.put_out(slot, by_host=True)
                self.report()
            else:
                raise ValueError(words[0])
        self.changed.set()
        return "ok"


def main():
    parser = argparse.ArgumentParser()
    for name in ("blade", "slots", "mount", "drain", "control", "arbiter", "session"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--identity", help="folder of the blade's certificate: the arbiter is then spoken to in TLS")
    parser.add_argument("--boot-suffix", default="", help="makes it another boot's id")
    blade = Blade(parser.parse_args())
    control_socket.serve(blade.options.control, blade.command)
    blade.run()


main()
