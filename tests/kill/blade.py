#!/usr/bin/python3 -B
"""A blade of the kill tests: gadgetd's double, whose LUNs are holders that write to their drives without a pause.

It keeps its session, converges to what the arbiter wants and reports it, as doc/PROTOCOL.md has it; a holder stands for
a loaded LUN with a busy host. The host ejects by itself after --hold-ms, or when its control socket (--control) is told
`eject DRIVE`. An NBD client can be told to `leave DRIVE`'s connection, open, for the next instance, and to let it `rest`.
`idle` tells whether all that was done is in the journals. SIGTERM: every holder stops cleanly, the journals are written,
exit status 0.
"""
import argparse
import os
import random
import signal
import socket
import sys
import threading
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))
import control_socket
from websocket_client import Closed, WebSocket

from counters import Counters
from file_holder import FileHolder

SILENCE = 5.0  # as lib/rpc/channel_stream.h has it


class Slot:
    def __init__(self, number):
        self.number = number
        self.holder = None
        self.by_host = False
        self.last = None

    def observed(self):
        holder = self.holder
        state = "loaded" if holder else "ejected-by-host" if self.by_host else "empty"
        return {"slot": self.number, "kind": "disk", "state": state, "drive": holder.drive if holder else None,
                "epoch": holder.epoch if holder else 0, "host_locked": False, "error": "", "last": self.last}


class Blade:
    def __init__(self, options):
        self.options = options
        self.name = options.blade
        self.random = random.Random(f"{options.seed} {options.blade}")
        if options.mount:
            self.kind = FileHolder
        else:
            from nbd_holder import NbdHolder  # the only one that needs libnbd
            self.kind = NbdHolder
        self.counters = Counters(options.counters)
        self.slots = [Slot(i) for i in range(options.slots)]
        self.drives = options.drives.split(",")
        self.holders = []
        self.broken = False
        self.desired = {}
        self.version = self.term = 0
        self.session = None
        self.ttl = 10.0
        self.welcomed = threading.Event()
        self.link = None
        self.lock = threading.Lock()          # slots and desired
        self.changed = threading.Event()
        self.ending = threading.Event()
        with open("/proc/sys/kernel/random/boot_id") as boot:
            self.boot_id = boot.read().strip()

    # ---- the slots ----

    def load(self, slot, want):
        slot.holder = self.kind(self, want["drive"], self.drives.index(want["drive"]), want["epoch"], want["access"])
        slot.by_host = False
        self.holders = [holder for holder in self.holders if holder.is_alive()] + [slot.holder]
        slot.holder.start()
        if self.options.hold_ms:
            shortest, longest = map(int, self.options.hold_ms.split("-"))
            after = self.random.uniform(shortest, longest) / 1000
            timer = threading.Timer(after, slot.holder.stop_cleanly, kwargs={"by_host": True})
            timer.daemon = True
            timer.start()

    def converge(self, slot, want):
        holder = slot.holder
        if holder:
            same = want and (holder.drive, holder.epoch) == (want["drive"], want["epoch"])
            if not same:
                holder.throw_out()
            elif want["eject"]:
                holder.stop_cleanly()
            if holder.outcome is None:
                return
            slot.last = {"drive": holder.drive, "epoch": holder.epoch, "outcome": holder.outcome, "by_host": holder.by_host}
            slot.by_host, slot.holder = holder.by_host, None
        if not want or want["eject"] or self.ending.is_set():
            return
        if slot.last and (slot.last["drive"], slot.last["epoch"]) == (want["drive"], want["epoch"]):
            return
        self.load(slot, want)

    def keep_converging(self):
        while True:
            self.changed.wait()
            self.changed.clear()
            with self.lock:
                for slot in self.slots:
                    self.converge(slot, self.desired.get(slot.number))
                self.send({"type": "observed", **self.observed()})

    # ---- the link ----

    def observed(self):
        return {"version": self.version, "udc": "configured", "speed": "super-speed",
                "slots": [slot.observed() for slot in self.slots]}

    def send(self, message):
        link = self.link
        try:
            if link:
                link.send(message)
        except OSError:
            pass  # the reader notices and connects anew

    def keep_renewing(self):
        seq = 0
        while True:
            if self.welcomed.wait(self.ttl / 3):
                self.welcomed.clear()  # that was a renewal; the next one is due by this session's TTL
                continue
            seq += 1
            self.send({"type": "renew", "seq": seq})

    def take(self, message):
        if message["type"] == "refused":
            raise Closed(message["reason"])
        if message["type"] == "welcome":
            self.term, self.ttl, self.session = message["term"], message["ttl_ms"] / 1000, message["session"]
            self.welcomed.set()
        if message["type"] == "renewed":
            self.send({"type": "heard", "seq": message["seq"]})
        if message["type"] == "desired":
            with self.lock:
                self.version = message["version"]
                self.desired = {slot["slot"]: slot for slot in message["slots"]}
            self.changed.set()

    def keep_linked(self):
        while True:
            try:
                link = WebSocket(self.options.arbiter, "/v1/link/blade")
                link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self.lock:
                    link.send({"type": "hello", "protocol": 1, "blade": self.name, "session": self.session,
                               "boot_id": self.boot_id, "term": self.term, "observed": self.observed()})
                    self.link = link
                while True:
                    self.take(link.receive())
            except (OSError, ValueError, Closed) as error:
                if self.link:
                    print(f"the link is down: {error!r}", flush=True)
                self.link = None
                time.sleep(0.01)

    # ---- the test ----

    def command(self, words):
        if words[0] == "idle":
            return "no" if any(holder.is_alive() for holder in self.holders) else "yes"
        if words[0] not in ("eject", "leave", "rest"):
            raise ValueError(words[0])
        with self.lock:
            for slot in self.slots:
                if slot.holder and slot.holder.drive == words[1]:
                    if words[0] == "eject":
                        slot.holder.stop_cleanly(by_host=True)
                    else:
                        slot.holder.told.add(words[0])
                    return "ok"
        return "error: it is not loaded"

    def end(self):
        """Every holder out, every journal written; True if all went well."""
        self.ending.set()
        limit = time.monotonic() + 30
        for holder in self.holders:
            holder.stop_cleanly()
            holder.join(max(0.0, limit - time.monotonic()))
        return not self.broken and not any(holder.is_alive() for holder in self.holders)


def main():
    parser = argparse.ArgumentParser()
    for name in ("blade", "arbiter", "journals", "counters", "drives", "seed"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--nbd", help="Unix socket or HOST:PORT of the management module's exports")
    parser.add_argument("--mount", help="the blade's own mount, instead of --nbd")
    parser.add_argument("--drain", help="the socket of the drivebayfs behind --mount")
    parser.add_argument("--control")
    parser.add_argument("--blocks", type=int, default=256)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--hold-ms", help="SHORTEST-LONGEST: the host ejects after that")
    blade = Blade(parser.parse_args())
    asked_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())
    if blade.options.control:
        control_socket.serve(blade.options.control, blade.command)
    socket.setdefaulttimeout(SILENCE)
    for work in (blade.keep_converging, blade.keep_renewing, blade.keep_linked):
        threading.Thread(target=work, name=work.__name__, daemon=True).start()
    asked_to_end.wait()
    ended = blade.end()
    sys.stdout.flush()
    os._exit(0 if ended else 1)


main()
