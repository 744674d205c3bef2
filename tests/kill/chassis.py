"""Real daemons, started uninstalled: an arbiter, the management module's drivebayfs, blades' drivebayfs; and blades.

Each has its log in WORK/logs, which goes on over restarts. Everything is ended by the number it was started with.
"""
import ctypes
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import arbiter_client
import blocks
from counters import Counters

ARBITER = "/run/drivebay/arbiter.sock"
NBD = "/run/drivebay/nbd.sock"
MOUNT = "/srv/drivebay"
MNT_DETACH = 2
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None, use_errno=True)
HERE = os.path.dirname(os.path.abspath(__file__))


class Failed(Exception):
    """A sentence for the test's last line."""


def wait_until(what, condition, limit=15.0, every=0.005):
    """Returns what `condition` returned, once it is true."""
    until = time.monotonic() + limit
    while not (outcome := condition()):
        if time.monotonic() > until:
            raise Failed(f"not within {limit:.0f} s: {what}")
        time.sleep(every)
    return outcome


def listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def children(process):
    try:
        with open(f"/proc/{process}/task/{process}/children") as listed:
            return [int(child) for child in listed.read().split()]
    except FileNotFoundError:
        return []


def is_stopped(process):
    """Every thread: only one that takes SIGSTOP stops the others, and before it comes to run they go on."""
    def state(task):
        try:
            with open(f"{task}/stat") as facts:
                return facts.read().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return "Z"
    return all(state(task) in ("T", "Z") for task in glob.glob(f"/proc/{process}/task/*"))


class Chassis:
    def __init__(self, build, work, ttl_ms=10000, listen=("127.0.0.1:4740", "127.0.0.1:10809"), namespaces=False,
                 blade_settings=""):
        self.build, self.work, self.namespaces, self.blade_settings = build, work, namespaces, blade_settings
        self.control, self.data = listen
        self.running = {}
        self.drives = []
        self.counters = {}
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        shutil.rmtree(work, ignore_errors=True)
        for folder in ("logs", "etc", "images", "journals", "arbiter", "fusefs"):
            os.makedirs(f"{work}/{folder}")
        self._write("arbiter.cfg", f"""
            socket = "{ARBITER}"; listen = [ "{self.control}" ];
            security = "none"; state_dir = "{work}/arbiter"; audit_log = "{work}/arbiter/audit.log";
            lease: {{ ttl_ms = {ttl_ms}; }};""")
        self._write("fusefs.cfg", f"""
            role = "management"; security = "none"; state_dir = "{work}/fusefs"; socket = "/run/drivebay/fusefs.sock";
            arbiter = "{ARBITER}"; nbd: {{ listen = [ "{self.data}" ]; unix = "{NBD}"; }};""")

    def _write(self, name, text):
        with open(f"{self.work}/etc/{name}", "w") as config:
            config.write(text)

    # ---- processes ----

    def start(self, name, command, namespace=None):
        if self.namespaces and namespace:
            # It becomes the program itself: the number stays.
            command = ["nsenter", f"--net=/run/netns/{namespace}", *command]
        with open(f"{self.work}/logs/{name}", "ab") as log:
            self.running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, name):
        process = self.running.pop(name)
        # A stopped one starts no server that would not be in the list.
        process.send_signal(signal.SIGSTOP)
        wait_until(f"{name} stops", lambda: is_stopped(process.pid))
        servers = children(process.pid)
        process.kill()
        process.wait()
        # The server of a drivebayfs ends with its keeper, a moment later; and its last thread some time after its first,
        # so that only who waits for it as a parent knows when its sockets are free.
        for server in servers:
            wait_until(f"the server of {name} is gone", lambda server=server: os.waitpid(server, os.WNOHANG)[0])

    def signal(self, name, number):
        processes = [*children(self.running[name].pid), self.running[name].pid]
        for process in processes:
            os.kill(process, number)
        if number == signal.SIGSTOP:
            wait_until(f"{name} stops", lambda: all(is_stopped(process) for process in processes))

    def end(self, name, limit=40):
        process = self.running.pop(name)
        process.terminate()
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f"{name} did not end within {limit} s") from None

    def end_all(self):
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait()

    def check_alive(self):
        for name, process in self.running.items():
            if process.poll() is not None:
                raise Failed(f"{name} ended by itself with status {process.returncode}")

    # ---- the management module ----

    def start_arbiter(self, wait=True):
        self.start("arbiter", [f"{self.build}/drivebay-arbiterd", "--foreground", "--log-level", "notice", "--config",
                               f"{self.work}/etc/arbiter.cfg"], "mm")
        if wait:
            wait_until("the arbiter listens", lambda: self.alive("arbiter") and listens(ARBITER))

    def start_management(self, wait=True):
        # What a killed one left behind answers nobody; nothing to unmount is no mistake.
        libc.umount2(MOUNT.encode(), MNT_DETACH)
        os.makedirs(MOUNT, exist_ok=True)
        self.start("management", [f"{self.build}/drivebayfs", "drivebay", MOUNT, "--foreground", "--log-level", "notice",
                                  "-o", f"config={self.work}/etc/fusefs.cfg"], "mm")
        if wait:
            wait_until("the management module's drivebayfs is mounted",
                       lambda: self.alive("management") and listens(NBD) and os.path.ismount(MOUNT))

    def alive(self, name):
        if self.running[name].poll() is not None:
            with open(f"{self.work}/logs/{name}", errors="replace") as log:
                last_words = "".join(log.readlines()[-1:]).strip()
            raise Failed(f"{name} ended as it started, with status {self.running[name].returncode}: {last_words}")
        return True

    def ask(self, method, path, body=None, timeout=10):
        return arbiter_client.ask(ARBITER, method, path, body, timeout)

    def must(self, method, path, body=None):
        try:
            status, answer = self.ask(method, path, body)
        except arbiter_client.Unreachable as error:
            raise Failed(str(error)) from error
        if status != 200:
            raise Failed(f"{method} {path} was answered with {status}: {answer}")
        return answer

    def status(self):
        return self.must("GET", "/v1/status")

    def image(self, name):
        return f"{self.work}/images/{name}"

    def make_image(self, name, count):
        with open(self.image(name), "wb") as image:
            image.truncate(count * blocks.SIZE)

    def add_drive(self, name, count, source=None):
        """A file of so many blocks; or `source`, with an image of that name behind it."""
        if source is None:
            self.make_image(name, count)
        wait_until("the arbiter knows the data path", lambda: self.status()["data_path"]["online"])
        self.must("POST", "/v1/drives", {"name": name, "source": source or self.image(name), "kind": "disk",
                                         "read_only": False})
        self.drives.append(name)

    def images(self):
        return [self.image(name) for name in self.drives]

    # ---- blades ----

    def start_blade_mount(self, name):
        self._write(f"fusefs-{name}.cfg", f"""
            role = "blade"; blade = "{name}"; security = "none"; state_dir = "{self.work}/{name}";
            socket = "/run/drivebay/{name}.sock"; management = "{self.data}";
            {self.blade_settings}""")
        os.makedirs(f"/srv/{name}", exist_ok=True)
        self.start(f"{name}-drivebayfs", [f"{self.build}/drivebayfs", self.data, f"/srv/{name}", "--foreground",
                                          "--log-level", "notice", "-o", f"config={self.work}/etc/fusefs-{name}.cfg"], name)
        wait_until(f"{name}'s drivebayfs is mounted",
                   lambda: self.alive(f"{name}-drivebayfs") and os.path.ismount(f"/srv/{name}"))

    def start_blade(self, name, *options):
        self.must("POST", "/v1/blades", {"name": name})
        path = f"{self.work}/{name}.counters"
        self.counters[name] = Counters(path, create=True)
        self.start(name, [sys.executable, f"{HERE}/blade.py", "--blade", name, "--journals", f"{self.work}/journals",
                          "--counters", path, "--control", f"/run/drivebay/{name}.ctl", *options], name)
        wait_until(f"{name} is online", lambda: self.alive(name) and any(
            blade["name"] == name and blade["online"] for blade in self.status()["blades"]))

    def count(self, name):
        return sum(counters.get(name) for counters in self.counters.values())
