"""The driver's side of the switch: a process with one cable for each machine and segment."""
import functools
import json
import os
import socket
import subprocess

from qemu import end_with

HERE = os.path.dirname(os.path.abspath(__file__))


class Network:
    def __init__(self, log):
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(10)
        with open(log, "ab") as target:
            self.process = subprocess.Popen(
                ["/usr/bin/python3", "-I", os.path.join(HERE, "switch.py"), str(other.fileno())],
                stdin=subprocess.DEVNULL, stdout=target, stderr=target,
                pass_fds=[other.fileno()], process_group=0,
                preexec_fn=functools.partial(end_with, os.getpid()))
        other.close()

    def _order(self, descriptors=(), **order):
        socket.send_fds(self._control, [json.dumps(order).encode()], list(descriptors))
        answer = self._control.recv(1 << 20)
        if not answer:
            raise RuntimeError("the switch has ended; its log is switch.log")
        return json.loads(answer)

    def cable(self, segment, port):
        """A new cable between the switch and a machine; returns the machine's end."""
        ours, theirs = socket.socketpair()
        with ours:
            self._order([ours.fileno()], op="attach", segment=segment, port=port)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            theirs.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        return theirs

    def set(self, segment, port, **how):
        """into=, out= (bool), delay= (ms each way), drop= (percent): see switch.py."""
        self._order(op="set", segment=segment, port=port, **how)

    def count(self):
        return self._order(op="count")

    def close(self):
        self._control.close()
        self.process.kill()
        self.process.wait()
