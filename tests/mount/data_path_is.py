"""Judges a drivebayfs' own status (GET /v1/status on its Unix socket, doc/PROTOCOL.md) by Python expressions: exit status 0
where all are true. data_path_is.py SOCKET EXPRESSION…

In an expression `drives` are by name, `views` by (drive, blade); missing ones raise, which counts as false.
"""
import http.client
import json
import socket
import sys

connection = http.client.HTTPConnection("localhost", timeout=5)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.settimeout(5)
connection.sock.connect(sys.argv[1])
connection.request("GET", "/v1/status")
status = json.load(connection.getresponse())
names = {
    "drives": {drive["name"]: drive for drive in status["drives"]},
    "views": {(view["drive"], view["blade"]): view for view in status["views"]},
}
try:
    holds = all(eval(expression, names) for expression in sys.argv[2:])
except (KeyError, TypeError) as error:
    print("missing:", error)
    holds = False
if not holds:
    print(json.dumps(status))
sys.exit(0 if holds else 1)
