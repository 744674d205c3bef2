"""A WebSocket client for JSON messages (RFC 6455), as small as the tests need it: over TCP or a Unix socket."""
import base64
import json
import os
import socket
import ssl
import struct
import threading


class Closed(Exception):
    """The peer ended the link; the text is its reason."""


def tls_context(identity):
    """What a client shows: with only ca-cert.pem in the folder, nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(f"{identity}/ca-cert.pem")
    if os.path.exists(f"{identity}/client-cert.pem"):
        context.load_cert_chain(f"{identity}/client-cert.pem", f"{identity}/client-key.pem")
    return context


class WebSocket:
    def __init__(self, address, path, identity=None):
        """`address` is HOST:PORT or the path of a Unix socket; `identity` is a folder as `drivebay-gadgetd enroll` makes it."""
        if address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        else:
            host, _, port = address.rpartition(":")
            self.socket = socket.create_connection((host, int(port)))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if identity:
                self.socket = tls_context(identity).wrap_socket(self.socket)
        self.sending = threading.Lock()
        self.stream = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        status = self.stream.readline()
        if b" 101 " not in status:
            raise Closed(f"no WebSocket: {status!r}")
        while self.stream.readline() not in (b"\r\n", b""):
            pass

    def send(self, message):
        self._send_frame(1, json.dumps(message).encode())

    def receive(self):
        """The next message; answers pings on the way."""
        text = b""
        while True:
            head = self._read(2)
            opcode, length = head[0] & 15, head[1] & 127
            if length == 126:
                length = struct.unpack(">H", self._read(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self._read(8))[0]
            payload = self._read(length)
            if opcode == 8:
                raise Closed(payload[2:].decode(errors="replace"))
            if opcode == 9:
                self._send_frame(10, payload)
            elif opcode in (0, 1, 2):
                text += payload
                if head[0] & 128:
                    return json.loads(text)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)

    def _read(self, length):
        data = self.stream.read(length)
        if len(data) < length:
            raise Closed("the connection ended")
        return data

    def _send_frame(self, opcode, payload):
        mask = os.urandom(4)
        length = len(payload)
        if length < 126:
            head = struct.pack(">BB", 128 | opcode, 128 | length)
        elif length < 65536:
            head = struct.pack(">BBH", 128 | opcode, 128 | 126, length)
        else:
            head = struct.pack(">BBQ", 128 | opcode, 128 | 127, length)
        masked = bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))
        with self.sending:
            self.socket.sendall(head + mask + masked)
