"""QEMU's monitor: commands to a running QEMU, and their values."""
import json
import socket


def monitor():
    """(the driver's Monitor, QEMU's end of its socket)."""
    ours, theirs = socket.socketpair()
    return Monitor(ours), theirs


def monitor_options(descriptor):
    """Of a QEMU that has that end."""
    return ["-chardev", f"socket,id=qmp,fd={descriptor}", "-mon", "chardev=qmp,mode=control"]


class Monitor:
    def __init__(self, end):
        self._end, self._reply = end, end.makefile("rb")
        self._greeted = False

    def execute(self, command, timeout=10, **arguments):
        """Executes a QMP command and returns its value; RuntimeError with QEMU's sentence."""
        self._end.settimeout(timeout)
        if not self._greeted:
            self._reply.readline()
            self._greeted = True
            self.execute("qmp_capabilities")
        self._end.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            line = self._reply.readline()
            if not line:
                raise RuntimeError("QEMU has ended")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self):
        self._end.close()
