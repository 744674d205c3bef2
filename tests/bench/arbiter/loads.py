"""The two load programs, driven: requests over HTTP, and blades' sessions."""
import json
import os
import subprocess

from programs import Unwell


def requests(build, address, connections, lines, pause_ms=0):
    """Replays (method, target, body) over so many connections; microseconds of each, and the seconds of the whole."""
    text = "".join(f"{method}\t{target}\t{json.dumps(body)}\n" for method, target, body in lines)
    run = subprocess.run([f"{build}/bench/http-load", address, str(connections), str(pause_ms)], input=text, text=True,
                         capture_output=True, check=False)
    if run.returncode != 0:
        raise Unwell(run.stderr.strip())
    result = json.loads(run.stdout)
    if result["refused"]:
        raise Unwell(f"{result['refused']} requests were refused, the first: {result['first_refusal']}")
    return result


class Sessions:
    """Blades that are connected and have empty slots."""

    def __init__(self, build, arbiter, count, prefix, slots):
        self.count = count
        self.process = subprocess.Popen([f"{build}/bench/session-load", arbiter.address, str(count), prefix, str(slots)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise Unwell("session-load ended; what it said stands above")
        return json.loads(line)

    def _do(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        return self._read()

    def hold(self, seconds):
        return self._do("hold", seconds)

    def blast(self, seconds, sessions):
        return self._do("blast", seconds, sessions)

    def pin(self, core):
        os.sched_setaffinity(self.process.pid, {core})

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)


def add_blades(build, arbiter, prefix, count):
    return requests(build, arbiter.socket, 16, [("POST", "/v1/blades", {"name": f"{prefix}{i}"}) for i in range(count)])
