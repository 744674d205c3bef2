"""The programs that are measured, each in a folder of its own, and what the kernel says they cost."""
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time


class Unwell(Exception):
    """Something that has to be there is not; the text is for people."""


def wait_until(is_so, what, limit=20.0):
    deadline = time.monotonic() + limit
    while not is_so():
        if time.monotonic() > deadline:
            raise Unwell(f"not within {limit:.0f} s: {what}")
        time.sleep(0.01)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


class Program:
    """A process that ends with this object's end()."""

    def __init__(self, name, command, folder):
        os.makedirs(folder, exist_ok=True)
        self.name, self.folder = name, folder
        self.log = os.path.join(folder, f"{name}.log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pids(self):
        """Its own, and its children's: drivebayfs is a keeper and its server."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
            return [self.pid, *map(int, children.read().split())]

    def cpu_seconds(self):
        ticks = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        """(RSS, PSS)"""
        sizes = {"Rss": 0.0, "Pss": 0.0}
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                for line in rollup:
                    key, _, rest = line.partition(":")
                    if key in sizes:
                        sizes[key] += int(rest.split()[0]) / 1024
        return sizes["Rss"], sizes["Pss"]

    def pin(self, core):
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), {core})


class Arbiter(Program):
    """drivebay-arbiterd on a Unix socket and a TCP port of loopback."""

    def __init__(self, build, folder, port, ttl_ms):
        os.makedirs(folder, exist_ok=True)
        self.socket = os.path.join(folder, "arbiter.sock")
        self.address = f"127.0.0.1:{port}"
        config = os.path.join(folder, "arbiter.cfg")
        with open(config, "w") as file:
            file.write(f'socket = "{self.socket}";\nsecurity = "none";\nlisten = [ "{self.address}" ];\nstate_dir = "{folder}/state";\n'
                       f'audit_log = "{folder}/audit.log";\nlease = {{ ttl_ms = {ttl_ms}; }};\n')
        super().__init__("arbiter", [f"{build}/drivebay-arbiterd", "--foreground", "--log-level", "warning",
                                     "--config", config], folder)
        wait_until(self._answers, f"the arbiter answers (its log: {self.log})")

    def _answers(self):
        try:
            return self.ask("GET", "/v1/status")["term"] > 0
        except OSError:
            return False

    def ask(self, method, target, body=None):
        connection = UnixConnection(self.socket)
        connection.request(method, target, json.dumps(body) if body is not None else "")
        response = connection.getresponse()
        answer = json.load(response)
        if response.status != 200:
            raise Unwell(f"{method} {target}: {answer.get('error')}")
        return answer

    def leases(self):
        return self.ask("GET", "/v1/leases")["leases"]

    def present(self, drive, blade, access):
        return self.ask("POST", "/v1/presentations", {"drive": drive, "blades": [blade], "access": access})

    def withdraw_all(self):
        for drive in {lease["drive"] for lease in self.leases()}:
            self.ask("POST", "/v1/withdrawals", {"drive": drive, "blades": "all"})
        wait_until(lambda: not self.leases(), "all that was withdrawn is gone")


class DataPath(Program):
    """The management module's drivebayfs, mounted, connected to an arbiter."""

    def __init__(self, build, folder, arbiter, nbd_port, settings="", nbd_settings=""):
        self.mount = os.path.join(folder, "mount")
        os.makedirs(self.mount, exist_ok=True)
        self.arbiter = arbiter
        config = os.path.join(folder, "fusefs.cfg")
        with open(config, "w") as file:
            file.write(f'role = "management";\nsecurity = "none";\nstate_dir = "{folder}/state";\nsocket = "{folder}/fusefs.sock";\n'
                       f'arbiter = "{arbiter.socket}";\n'
                       f'nbd: {{ listen = [ "127.0.0.1:{nbd_port}" ]; unix = "{folder}/nbd.sock"; {nbd_settings} }};\n{settings}')
        super().__init__("drivebayfs", [f"{build}/drivebayfs", "drivebay", self.mount, "--foreground", "-o",
                                        f"config={config}"], folder)
        wait_until(lambda: arbiter.ask("GET", "/v1/status")["data_path"]["online"],
                   f"drivebayfs is connected (its log: {self.log})")

    def make_drive(self, name, size):
        image = os.path.join(self.folder, f"{name}.img")
        with open(image, "wb") as file:
            file.write(random.Random(size).randbytes(size))
        self.add_drive(name, image)

    def add_drive(self, name, image, read_only=False):
        self.arbiter.ask("POST", "/v1/drives", {"name": name, "source": image, "read_only": read_only})
        wait_until(lambda: self.arbiter.ask("GET", f"/v1/drives/{name}")["state"] == "ready", f"{name} is ready")
