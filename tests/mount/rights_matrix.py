"""Everybody against everything, over the real daemons: rights_matrix.py FOLDER_OF_IDENTITIES. Each identity is a folder there, as
`drivebay-gadgetd enroll` makes it. Prints the table; fails where somebody may what is not his, or may not what is."""
import http.client
import json
import ssl
import subprocess
import sys
import time

from websocket_client import Closed, WebSocket, tls_context

API, NBD = ("127.0.0.1", 4740), "127.0.0.1:10809"
HELLO = {"type": "hello", "protocol": 1, "session": None, "boot_id": "matrix", "term": 0,
         "observed": {"type": "observed", "version": 0, "udc": "configured", "speed": "", "slots": []}}

# Who may; everybody else may not. What a certificate's blade may is its own only.
MAY = {
    "session of blade01": {"right"},
    "own leases": {"right", "other", "view", "operate", "admin"},
    "another's lease": {"view", "operate", "admin"},
    "status": {"view", "operate", "admin"},
    "present": {"operate", "admin"},
    "present by force": {"admin"},
    "add a drive": {"admin"},
    "backup": {"admin"},
    "NBD list": {"right"},
    "NBD export": {"right"},
    "enrolment": {"admin"},
}


def ask(folder, method, path, body=None):
    """The answer, or None where it was refused for who asks."""
    connection = http.client.HTTPSConnection(*API, context=tls_context(folder), timeout=10)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        response = connection.getresponse()
        text = response.read()
    except (OSError, ssl.SSLError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return None if response.status in (401, 403) else json.loads(text)


def has_session(folder):
    try:
        link = WebSocket("%s:%d" % API, "/v1/link/blade", folder)
        link.send({**HELLO, "blade": "blade01"})
        return link.receive()["type"] == "welcome"
    except (OSError, Closed):
        return False


def nbd(folder, *arguments):
    done = subprocess.run(["nbdinfo", *arguments[:-1], f"nbds://{NBD}/{arguments[-1]}?tls-certificates={folder}"],
                          capture_output=True, text=True, check=False, timeout=30)
    return done.stdout if done.returncode == 0 else ""


def may(folder, what):
    if what == "session of blade01":
        return has_session(folder)
    if what == "own leases":
        return ask(folder, "GET", "/v1/leases") is not None
    if what == "another's lease":
        leases = ask(folder, "GET", "/v1/leases")
        return leases is not None and {"blade01", "blade02"} <= {lease["blade"] for lease in leases["leases"]}
    if what == "status":
        return ask(folder, "GET", "/v1/status") is not None
    if what.startswith("present"):
        policy = "force" if what.endswith("force") else "queue"
        return ask(folder, "POST", "/v1/presentations", {"drive": "no-such", "blades": ["blade01"], "policy": policy}) is not None
    if what == "add a drive":
        return ask(folder, "POST", "/v1/drives", {"name": "shadow", "source": "/nowhere"}) is not None
    if what == "backup":
        return ask(folder, "POST", "/v1/backup", {}) is not None
    if what == "NBD list":
        return "blade01/disk" in nbd(folder, "--list", "")
    if what == "NBD export":
        return nbd(folder, "--size", "blade01/disk") != ""
    return ask(folder, "POST", "/v1/enrolments", {"blade": "blade09"}) is not None


def main():
    folders = sys.argv[1]
    wrong = []
    for name in ("none", "foreign", "expired", "revoked", "other", "view", "operate", "admin", "right"):
        row = []
        for what, who in MAY.items():
            allowed = may(f"{folders}/{name}", what)
            # The session that was just begun here took the place of the blade's own: its drive changes its epoch, and is away meanwhile.
            deadline = time.monotonic() + 10
            while not allowed and name in who and time.monotonic() < deadline:
                time.sleep(0.05)
                allowed = may(f"{folders}/{name}", what)
            row.append("yes" if allowed else "-")
            if allowed != (name in who):
                wrong.append(f"{name}: {what}: {'allowed' if allowed else 'refused'}")
        print(f"{name:12}" + " ".join(f"{cell:>4}" for cell in row), flush=True)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
