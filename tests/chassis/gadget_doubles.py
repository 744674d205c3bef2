#!/usr/bin/python3
"""What gadgetd talks to, played by a program of the test: the arbiter and the blade's drivebayfs.

    gadget_doubles.py FOLDER

In FOLDER: arbiter.sock and drivebayfs.sock are served; `desired` (a JSON list of slots) is sent
whenever it changes, and at each hello; `outcome` is drivebayfs' answer to a drain (drained
without one); with `dead` it knows no medium; `observed` is what gadgetd said last, `hellos` and `drains` hold one JSON a line.
A SIGHUP has it forget the past; `forgotten` is there afterwards.
"""
import asyncio
import base64
import hashlib
import json
import os
import signal
import struct
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"   # RFC 6455, 1.3


def read(path, default):
    try:
        with open(path, encoding="utf-8") as source:
            return source.read()
    except FileNotFoundError:
        return default


def replace(path, text):
    with open(path + ".new", "w", encoding="utf-8") as target:
        target.write(text)
    os.rename(path + ".new", path)


def append(path, value):
    with open(path, "a", encoding="utf-8") as target:
        target.write(json.dumps(value) + "\n")


async def head(reader):
    """Request line and headers of one HTTP request."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    return lines[0].split(" "), {name.lower(): value for name, value in fields.items()}


async def frame(reader):
    """(opcode, payload) of one frame from a client; those are always masked (RFC 6455, 5.1)."""
    first, second = await reader.readexactly(2)
    size = second & 127
    if size == 126:
        size = struct.unpack(">H", await reader.readexactly(2))[0]
    elif size == 127:
        size = struct.unpack(">Q", await reader.readexactly(8))[0]
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    return first & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def framed(opcode, data):
    size = len(data)
    length = bytes([size]) if size < 126 else struct.pack(">BH", 126, size)
    return bytes([128 | opcode]) + length + data


class Doubles:
    def __init__(self, folder):
        self.folder, self.writer, self.sent, self.version = folder, None, None, 0
        self.asked_for = set()

    def forget(self):
        self.__init__(self.folder)
        replace(self.path("forgotten"), "")

    def path(self, name):
        return os.path.join(self.folder, name)

    def send(self, **message):
        self.writer.write(framed(1, json.dumps(message).encode()))

    def send_desired(self):
        self.sent = read(self.path("desired"), "[]")
        self.version += 1
        slots = json.loads(self.sent)
        self.asked_for.update((slot["drive"], slot["epoch"]) for slot in slots)
        self.send(type="desired", term=1, version=self.version, slots=slots)

    async def arbiter(self, reader, writer):
        _, fields = await head(reader)
        accept = base64.b64encode(hashlib.sha1(fields["sec-websocket-key"].encode() + GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.writer = None
        try:
            while True:
                opcode, data = await frame(reader)
                if opcode == 9:
                    writer.write(framed(10, data))
                elif opcode == 1:
                    self.take(writer, json.loads(data))
                elif opcode == 8:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        if self.writer is writer:
            self.writer = None
        writer.close()

    def take(self, writer, message):
        if message["type"] == "hello":
            append(self.path("hellos"), message)
            replace(self.path("observed"), json.dumps(message["observed"]))
            self.writer = writer
            self.send(type="welcome", session="s1", term=1, ttl_ms=10000)
            self.send_desired()
        elif message["type"] == "observed":
            replace(self.path("observed"), json.dumps(message))
        elif message["type"] == "renew":
            self.send(type="renewed", seq=message["seq"], ttl_ms=10000)

    async def drivebayfs(self, reader, writer):
        request, fields = await head(reader)
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        known = [] if os.path.exists(self.path("dead")) else self.asked_for
        answer = {"views": [{"drive": drive, "epoch": epoch, "state": "online"} for drive, epoch in known]}
        if request[1] == "/v1/drain":
            append(self.path("drains"), json.loads(body))
            answer = {"outcome": read(self.path("outcome"), "drained").strip(), "error": ""}
        text = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(text) + text)
        await writer.drain()
        writer.close()

    async def run(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.forget)
        await asyncio.start_unix_server(self.arbiter, self.path("arbiter.sock"))
        await asyncio.start_unix_server(self.drivebayfs, self.path("drivebayfs.sock"))
        while True:
            if self.writer and read(self.path("desired"), "[]") != self.sent:
                self.send_desired()
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(Doubles(sys.argv[1]).run())
