"""Sends one line to a control socket (blade_double.py, nbd_stranger.py) and prints the answer.

Exit status 1 where the answer begins with "error".
"""
import socket
import sys

with socket.socket(socket.AF_UNIX) as control:
    control.settimeout(60)
    control.connect(sys.argv[1])
    control.sendall("\t".join(sys.argv[2:]).encode() + b"\n")
    control.shutdown(socket.SHUT_WR)
    answer = b""
    while part := control.recv(65536):
        answer += part
print(answer.decode(errors="replace"))
sys.exit(1 if answer.startswith(b"error") else 0)
