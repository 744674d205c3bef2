"""The arbiter's HTTP interface (doc/PROTOCOL.md, "The operator"), over a Unix socket or TCP."""
import http.client
import json
import socket


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Unreachable(Exception):
    """Nobody answered; whether the request was carried out is not known."""


def ask(address, method, path, body=None, timeout=10):
    """(status, answer). `address` is HOST:PORT or a Unix socket's path; drivebayfs' own socket can be asked, too."""
    if address.startswith("/"):
        connection = _UnixConnection(address, timeout)
    else:
        connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreachable(f"{method} {path} at {address}: {error!r}") from error
    finally:
        connection.close()


def leases(address, timeout=10):
    return ask(address, "GET", "/v1/leases", timeout=timeout)[1]["leases"]


def is_over(address, drive, blade, epoch):
    """Whether the arbiter's table says that this epoch was fenced. Raises Unreachable."""
    return not any((lease["drive"], lease["blade"], lease["epoch"]) == (drive, blade, epoch)
                   for lease in leases(address, timeout=2))
