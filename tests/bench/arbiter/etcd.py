"""etcd, the peer that the arbiter is measured beside."""
import http.client
import json
import os
import shutil
import subprocess

from programs import Program, wait_until


class Etcd(Program):
    """etcd from Debian's package, with its defaults: every put is in its log, synced, before it is answered."""

    def __init__(self, program, folder):
        self.address = "127.0.0.1:23790"
        super().__init__("etcd", [program, "--data-dir", f"{folder}/data", "--log-level", "error",
                                  "--listen-client-urls", f"http://{self.address}",
                                  "--advertise-client-urls", f"http://{self.address}",
                                  "--listen-peer-urls", "http://127.0.0.1:23800",
                                  "--initial-advertise-peer-urls", "http://127.0.0.1:23800",
                                  "--initial-cluster", "default=http://127.0.0.1:23800"], folder)
        wait_until(self._answers, f"etcd answers (its log: {self.log})")

    def _answers(self):
        try:
            return "ID" in self.ask("/v3/lease/grant", {"TTL": 60})
        except (OSError, ValueError):
            return False

    def ask(self, target, body):
        host, port = self.address.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request("POST", target, json.dumps(body))
        return json.load(connection.getresponse())

    @staticmethod
    def find(folder):
        """etcd's program: the installed one, or that of the package unpacked into `folder`; None if it is not to be had.

        The package is not installed: it would start a server of its own.
        """
        if installed := shutil.which("etcd"):
            return installed
        os.makedirs(folder, exist_ok=True)
        unpacked = os.path.join(folder, "usr/bin/etcd")
        if not os.path.exists(unpacked):
            subprocess.run(["apt-get", "-q", "download", "etcd-server"], cwd=folder, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
            for package in [name for name in os.listdir(folder) if name.endswith(".deb")]:
                subprocess.run(["dpkg", "-x", package, "."], cwd=folder, check=True)
        return unpacked if os.path.exists(unpacked) else None
