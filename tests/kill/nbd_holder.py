"""A holder that is an NBD client of the management module (libnbd): several requests in flight, instances that rise.

It reconnects and repeats what was not answered, as doc/PROTOCOL.md wants it. At random it also leaves a connection with
requests in it, open or closed, and comes back as the next instance: that is what the reconnect barrier is for.
"""
import errno
import select
import time

import nbd

import blocks
from holder import Holder

MOST_IN_FLIGHT = 16
LONGEST_RUN = 4
HAUNTING = 1.0
CHUNK = 64  # blocks that one read of a reading back takes


class EpochOver(Exception):
    """The export is gone for ever."""


class NotNow(Exception):
    """The server is away, or does not take us yet."""


class Connection:
    """One libnbd handle, driven by select() because libnbd's own poll keeps all other threads of Python waiting."""

    def __init__(self, address, export, limit=5.0):
        self.handle = nbd.NBD()
        self.handle.set_export_name(export)
        self.handle.set_strict_mode(0)
        self.requests = {}  # cookie: request
        try:
            if address.startswith("/"):
                self.handle.aio_connect_unix(address)
            else:
                self.handle.aio_connect_tcp(*address.rsplit(":", 1))
            until = time.monotonic() + limit
            while not self.handle.aio_is_ready():
                if self.is_dead() or time.monotonic() > until:
                    raise NotNow("no connection")
                self.step(0.5)
        except nbd.Error as error:
            # Not the ENOENT of a socket that is not there yet
            if error.errnum == errno.ENOENT and "no export" in error.string:
                raise EpochOver(error.string) from error
            raise NotNow(error.string) from error

    def is_dead(self):
        return self.handle.aio_is_dead() or self.handle.aio_is_closed()

    def step(self, timeout):
        direction = self.handle.aio_get_direction()
        reads = [self.handle] if direction & nbd.AIO_DIRECTION_READ else []
        writes = [self.handle] if direction & nbd.AIO_DIRECTION_WRITE else []
        descriptor = self.handle.aio_get_fd()
        readable, writable, _ = select.select([descriptor] if reads else [], [descriptor] if writes else [], [], timeout)
        if readable:
            self.handle.aio_notify_read()
        elif writable:
            self.handle.aio_notify_write()

    def send(self, request):
        if request.verb == "write":
            cookie = self.handle.aio_pwrite(request.data, request.block * blocks.SIZE)
        elif request.verb == "read":
            request.buffer = nbd.Buffer(request.count * blocks.SIZE)
            cookie = self.handle.aio_pread(request.buffer, request.block * blocks.SIZE)
        else:
            cookie = self.handle.aio_flush()
        self.requests[cookie] = request

    def answers(self, timeout):
        """[(request, errno or 0)], after waiting at most `timeout` for something to happen."""
        try:
            self.step(timeout)
        except nbd.Error:
            pass  # it is dead now; what was answered before is told all the same
        done = []
        for cookie, request in list(self.requests.items()):
            try:
                if not self.handle.aio_command_completed(cookie):
                    continue
                done.append((request, 0))
            except nbd.Error as error:
                if self.is_dead() and error.errnum in (errno.ENOTCONN, 0):
                    continue  # of the connection's end, not an answer
                done.append((request, error.errnum))
            del self.requests[cookie]
        return done


class Request:
    def __init__(self, verb, block=0, count=0, seqs=(), data=None):
        self.verb = verb
        self.block = block
        self.count = count
        self.seqs = seqs
        self.data = data
        self.buffer = None
        self.copies = 0


class NbdHolder(Holder):
    def hold(self):
        self.connection = None
        self.abandoned = []
        self.instance = 0
        self.unanswered = {}  # id: Request, in the order of their submission
        self.busy = set()     # blocks with a request under way
        self.had_any = False
        self.read_back()
        self.use()
        self.end()

    # ---- requests ----

    def export(self):
        self.instance += 1
        return f"{self.blade.name}/{self.drive}@{self.epoch}#{self.instance}"

    def add(self, verb, block=0, count=0):
        if verb == "write":
            seqs = [self.next_seq() for _ in range(count)]
            data = b"".join(blocks.make(self.number, block + i, self.epoch, seq) for i, seq in enumerate(seqs))
            for i, seq in enumerate(seqs):
                self.submitted(block + i, seq)
            request = Request(verb, block, count, seqs, bytearray(data))
        else:
            request = Request(verb, block, count)
        self.busy.update(range(block, block + count))
        self.unanswered[id(request)] = request

    def forget(self, request):
        self.busy.difference_update(range(request.block, request.block + request.count))
        del self.unanswered[id(request)]

    def take(self, request, error):
        if request.verb == "read" and error == 0:
            self.found(request.block, request.buffer.to_bytearray())
        elif request.verb == "write":
            for i, seq in enumerate(request.seqs):
                if error == 0:
                    self.answered(request.block + i, seq)
                else:
                    self.refused(request.block + i, seq, error == errno.ESHUTDOWN and request.copies == 1)
        if error == errno.ESHUTDOWN:
            self.over = True
        elif error != 0:
            print(f"{self.name}: {request.verb} of block {request.block} failed: errno {error}", flush=True)
            self.blade.counters.add("io_errors")
        self.forget(request)

    def pump(self, timeout=0.02):
        if self.connection is None and not self.over:
            try:
                self.connection = Connection(self.blade.options.nbd, self.export())
                self.blade.counters.add("reconnects")
            except EpochOver:
                self.over = True
            except NotNow:
                self.blade.ending.wait(0.01)
                return
        if self.connection is not None:
            known = self.connection.requests.values()
            unsent = [r for r in self.unanswered.values() if r not in known] if len(known) < len(self.unanswered) else []
            try:
                for request in unsent:
                    request.copies += 1
                    self.connection.send(request)
            except nbd.Error:
                pass  # it is dead: below
            for request, error in self.connection.answers(timeout):
                self.take(request, error)
            if self.connection.is_dead():
                self.connection = None
        if self.over:
            # Copies that the gate did not answer may have landed before it closed.
            for request in list(self.unanswered.values()):
                if request.verb == "write":
                    for i, seq in enumerate(request.seqs):
                        self.refused(request.block + i, seq)
                self.forget(request)

    # ---- the epoch's life ----

    def read_back(self):
        for first in range(0, self.blade.options.blocks, CHUNK):
            self.add("read", first, min(CHUNK, self.blade.options.blocks - first))
        while self.unanswered and not (self.over or self.thrown_out):
            self.pump()
        if not self.unanswered and not self.over:
            self.blade.counters.add("holds")

    def leave_connection(self, stays_open):
        self.blade.counters.add("abandoned")
        if stays_open:
            self.abandoned.append(self.connection)
            del self.abandoned[:-3]
        self.connection = None

    def use(self):
        leave_at = time.monotonic() + self.random.expovariate(2)
        while not self.leaving():
            while len(self.unanswered) < MOST_IN_FLIGHT and "rest" not in self.told:
                verb = self.random.choices(("write", "read", "flush"), (90, 8, 2))[0] if self.mode == "write" else "read"
                count = 0 if verb == "flush" else self.random.randint(1, LONGEST_RUN)
                block = self.random.randrange(self.blade.options.blocks - LONGEST_RUN) if count else 0
                if not self.busy.intersection(range(block, block + count)):
                    self.add(verb, block, count)
            self.pump()
            if self.connection is not None and ("leave" in self.told or time.monotonic() >= leave_at):
                self.leave_connection("leave" in self.told or self.random.random() < 0.5)
                self.told.discard("leave")
                leave_at = time.monotonic() + self.random.expovariate(2)

    def end(self):
        while self.unanswered and not (self.over or self.thrown_out):
            self.pump()
        if self.mode == "write" and not (self.over or self.thrown_out):
            self.add("flush")
            while self.unanswered and not (self.over or self.thrown_out):
                self.pump()
        self.judge_the_end()
        self.is_out("lost" if self.unanswered or self.over else "drained")
        if self.mode == "write" and self.wait_for_fence():
            self.write_late()

    def write_late(self):
        """Through every connection that is left, then for a while by new ones: also past a restart of the server."""
        for connection in [self.connection, *self.abandoned]:
            if connection is not None:
                self.late_through(connection)
        until = time.monotonic() + HAUNTING
        while time.monotonic() < until and not self.blade.ending.is_set():
            try:
                self.late_through(Connection(self.blade.options.nbd, self.export(), limit=1.0))
            except EpochOver:
                self.blade.counters.add("late_refused")
            except NotNow:
                pass  # nobody refused it
            self.blade.ending.wait(self.random.uniform(0.02, 0.1))

    def late_through(self, connection):
        block, seq = self.random.randrange(self.blade.options.blocks), self.next_seq()
        data = bytearray(blocks.make(self.number, block, self.epoch, seq))
        request = Request("write", block, 1, [seq], data)
        self.submitted(block, seq, late=True)
        error = None
        try:
            connection.send(request)
            until = time.monotonic() + 2
            while error is None and not connection.is_dead() and time.monotonic() < until:
                error = next((e for r, e in connection.answers(0.05) if r is request), None)
        except nbd.Error:
            pass  # the connection has ended
        if error == 0:
            self.answered(block, seq, late=True)
        elif error is not None or connection.is_dead():
            self.blade.counters.add("late_refused")
