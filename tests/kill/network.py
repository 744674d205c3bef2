"""A management network: namespaces on one bridge, each with an address for the control plane and one for the data path.

Cuts are silent, as a broken switch is: packets go to a hardware address that nobody has. So each direction and each plane
can be cut by itself, and a connection is never told. All of it lives in the caller's own namespaces and ends with them.
"""
import subprocess

NOBODY = "02:00:00:00:00:ff"
PLANES = {"control": 1, "data": 2}


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Network:
    def __init__(self, members):
        self.numbers = {name: number for number, name in enumerate(members, start=1)}
        ip("link", "add", "switch", "type", "bridge")
        ip("link", "set", "switch", "up")
        for name, number in self.numbers.items():
            ip("netns", "add", name)
            ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"to-{name}", "master", "switch", "up")
            ip("-n", name, "link", "set", "eth0", "address", self.hardware(name), "up")
            ip("-n", name, "link", "set", "lo", "up")
            for plane in PLANES:
                ip("-n", name, "addr", "add", f"{self.address(name, plane)}/24", "dev", "eth0")
        for one in members:
            for other in members:
                if one != other:
                    self.heal(one, other)

    def address(self, name, plane):
        return f"10.77.{PLANES[plane]}.{self.numbers[name]}"

    def hardware(self, name):
        return f"02:00:00:00:01:{self.numbers[name]:02x}"

    def _send(self, source, target, planes, hardware):
        for plane in planes:
            ip("-n", source, "neigh", "replace", self.address(target, plane), "lladdr", hardware, "dev", "eth0", "nud",
               "permanent")

    def cut(self, source, target, planes=tuple(PLANES)):
        """Nothing that `source` sends to `target` arrives."""
        self._send(source, target, planes, NOBODY)

    def heal(self, source, target, planes=tuple(PLANES)):
        self._send(source, target, planes, self.hardware(target))

    def plug(self, name, into_switch):
        ip("link", "set", f"to-{name}", "up" if into_switch else "down")
