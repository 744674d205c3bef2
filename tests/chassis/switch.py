#!/usr/bin/python3
"""The chassis' Ethernet switch: QEMU `stream` sockets in, learned addresses, cables that break.

    switch.py FD        FD: a SOCK_SEQPACKET Unix socket to the driver (see network.py)

It opens no listener: the driver hands over one end of a socket pair for each cable. A
frame on a cable is four bytes of length (big endian) and the frame, as QEMU writes it.
Commands are JSON datagrams, each answered by one:

  attach  segment, port [+ the descriptor]   replaces the cable that the port had
  set     segment, port, into, out, delay, drop
          into/out: whether frames go to the machine / come from it; delay: milliseconds
          in each direction; drop: percent in each direction
  count   {segment/port: {frames, bytes, dropped}} as they came from the machine

Frames that wait for their delay when a cable is cut are lost, as on a wire.
"""
import collections
import heapq
import json
import random
import select
import socket
import sys
import time

# What may wait for a machine that does not read; more is dropped, as switches do.
QUEUE_LIMIT = 8 << 20
BROADCAST = b"\xff" * 6


class Port:
    def __init__(self, segment, name):
        self.segment, self.name = segment, name
        self.cable = None
        self.into = self.out = True
        self.delay = self.drop = 0
        self.frames = self.bytes = self.dropped = 0
        self.received = bytearray()
        self.queue = collections.deque()
        self.queued = 0
        self.full = False       # the machine takes no more; epoll says when it does


class Switch:
    def __init__(self, control):
        self.control = control
        self.poll = select.epoll()
        self.poll.register(control, select.EPOLLIN)
        self.ports = {}      # (segment, name): Port
        self.cables = {}     # descriptor: Port
        self.learned = {}    # (segment, address): Port
        self.delayed = []    # heap of (due, number, sender, receiver, frames)
        self.number = 0
        self.random = random.Random(1)

    def attach(self, port, cable):
        self.detach(port)
        cable.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            cable.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        port.cable = cable
        self.cables[cable.fileno()] = port
        self.poll.register(cable, select.EPOLLIN)

    def detach(self, port):
        if port.cable:
            self.poll.unregister(port.cable)
            del self.cables[port.cable.fileno()]
            port.cable.close()
            port.cable = None
        port.received.clear()
        port.queue.clear()
        port.queued = 0
        port.full = False

    def receive(self, port):
        try:
            data = port.cable.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.detach(port)
            return
        port.received += data
        self.split(port)

    def split(self, port):
        """Forwards the whole frames received, neighbours for one address in one piece."""
        data = bytes(port.received)
        start = end = 0
        target = None
        while len(data) - end >= 4:
            size = 4 + int.from_bytes(data[end:end + 4], "big")
            if len(data) - end < size:
                break
            address = data[end + 4:end + 10]
            if address != target or port.drop:
                self.forward(port, target, data[start:end])
                start, target = end, address
            self.learned[port.segment, data[end + 10:end + 16]] = port
            port.frames += 1
            port.bytes += size - 4
            end += size
        self.forward(port, target, data[start:end])
        del port.received[:end]

    def forward(self, sender, address, frames):
        if not frames:
            return
        known = None if address[0] & 1 else self.learned.get((sender.segment, address))
        receivers = [known] if known else [
            port for port in self.ports.values() if port.segment == sender.segment]
        for receiver in receivers:
            if receiver is not sender:
                self.carry(sender, receiver, frames)

    def carry(self, sender, receiver, frames):
        lost = max(sender.drop, receiver.drop)
        if not sender.out or (lost and self.random.random() * 100 < lost):
            sender.dropped += 1
            return
        delay = sender.delay + receiver.delay
        if delay:
            self.number += 1
            heapq.heappush(self.delayed, (time.monotonic() + delay / 1000, self.number,
                                          sender, receiver, frames))
        else:
            self.deliver(sender, receiver, frames)

    def deliver(self, sender, receiver, frames):
        if not (receiver.cable and receiver.into and sender.out):
            sender.dropped += 1
        elif receiver.queued + len(frames) > QUEUE_LIMIT:
            receiver.dropped += 1
        else:
            receiver.queue.append(memoryview(frames))
            receiver.queued += len(frames)
            if not receiver.full:
                self.flush(receiver)

    def flush(self, port):
        """Writes what the machine takes. A frame once begun is always finished."""
        while port.queue:
            piece = port.queue[0]
            try:
                sent = port.cable.send(piece)
            except BlockingIOError:
                if not port.full:
                    port.full = True
                    self.poll.modify(port.cable, select.EPOLLIN | select.EPOLLOUT)
                return
            except OSError:
                self.detach(port)
                return
            port.queued -= sent
            if sent < len(piece):
                port.queue[0] = piece[sent:]
            else:
                port.queue.popleft()
        if port.full:
            port.full = False
            self.poll.modify(port.cable, select.EPOLLIN)

    def command(self):
        """Obeys one command; False when the driver is gone."""
        data, descriptors, _, _ = socket.recv_fds(self.control, 65536, 1)
        if not data:
            return False
        order = json.loads(data)
        answer = {}
        if order["op"] == "count":
            answer = {"/".join(key): {"frames": port.frames, "bytes": port.bytes,
                                      "dropped": port.dropped}
                      for key, port in self.ports.items()}
        else:
            key = order["segment"], order["port"]
            port = self.ports.setdefault(key, Port(*key))
            if order["op"] == "attach":
                self.attach(port, socket.socket(fileno=descriptors[0]))
            else:
                for name in ("into", "out", "delay", "drop"):
                    setattr(port, name, order.get(name, getattr(port, name)))
        self.control.send(json.dumps(answer).encode())
        return True

    def serve(self):
        while True:
            wait = -1
            if self.delayed:
                wait = max(0, self.delayed[0][0] - time.monotonic())
            for descriptor, events in self.poll.poll(wait):
                if descriptor == self.control.fileno():
                    if not self.command():
                        return
                    continue
                port = self.cables.get(descriptor)
                if port and events & select.EPOLLOUT:
                    self.flush(port)
                if port and port.cable and events & ~select.EPOLLOUT:
                    self.receive(port)
            now = time.monotonic()
            while self.delayed and self.delayed[0][0] <= now:
                self.deliver(*heapq.heappop(self.delayed)[2:])


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit("usage: switch.py FD (it is started by the driver)")
    Switch(socket.socket(fileno=int(sys.argv[1]))).serve()


main()
