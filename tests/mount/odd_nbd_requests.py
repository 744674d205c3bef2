"""Sends an export odd requests by libnbd (the library under nbdsh, with its Python module) and knows each answer.

odd_nbd_requests.py SOCKET WRITABLE-EXPORT READ-ONLY-EXPORT FUSE-FILE DRIVE-FILE, both exports of at least 40 MiB; the last two are other ways to
what the writable one writes. Every function below is run, with structured replies and without; a sentence and exit status 1
when something is otherwise than the protocol or this server promises (NBD project's doc/proto.md, doc/PROTOCOL.md)."""
import errno
import mmap
import os
import random
import sys

import nbd

MIB = 1 << 20
LARGEST = 32 * MIB
lots = random.Random(int(os.environ.get("SEED", "4")))


class Bench:
    """The connections' addresses, and what the drive must hold."""

    def __init__(self, socket, writable, read_only, fuse_file, drive_file):
        self.socket, self.writable, self.read_only = socket, writable, read_only
        self.fuse_file, self.drive_file = fuse_file, drive_file
        self.structured = True
        with open(drive_file, "rb") as drive:
            self.copy = bytearray(drive.read())
        self.size = len(self.copy)

    def connect(self, export=None):
        handle = nbd.NBD()
        handle.set_request_structured_replies(self.structured)
        handle.set_export_name(export or self.writable)
        handle.set_strict_mode(0)   # what is wrong goes to the server
        handle.connect_unix(self.socket)
        assert handle.get_structured_replies_negotiated() == self.structured
        return handle

    def write(self, handle, offset, data, flags=0):
        handle.pwrite(data, offset, flags)
        self.copy[offset:offset + len(data)] = data

    def check(self, handle, offset, length, flags=0):
        data = handle.pread(length, offset, flags)
        assert data == self.copy[offset:offset + length], f"{length} bytes at {offset} read wrongly"


def refused(code, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except nbd.Error as error:
        assert error.errnum == code, f"{error} instead of {errno.errorcode[code]}"
        return
    raise AssertionError(f"{function.__name__}{arguments} was not refused with {errno.errorcode[code]}")


def finish(handle, cookies):
    """Waits for all of them, in whatever order they come; the errors by cookie."""
    errors = {}
    while cookies:
        assert handle.poll(10000), "nothing came for 10 s"
        while cookies and (cookie := handle.aio_peek_command_completed()) > 0:
            try:
                handle.aio_command_completed(cookie)
            except nbd.Error as error:
                errors[cookie] = error.errnum
            cookies.discard(cookie)
    return errors


def single_bytes_and_odd_edges(bench):
    handle = bench.connect()
    for offset in (0, 1, 511, 512, 4095, 4096, MIB - 1, bench.size - 1):
        bench.write(handle, offset, lots.randbytes(1), lots.choice((0, nbd.CMD_FLAG_FUA)))
        bench.check(handle, offset, 1)
        bench.check(handle, max(0, offset - 600), min(1200, bench.size - max(0, offset - 600)))
    for _ in range(60):
        length = lots.choice((1, 2, 511, 513, 4097, 65535, 65537, 300001))
        offset = lots.randrange(0, bench.size - length + 1)
        bench.write(handle, offset, lots.randbytes(length))
        if lots.random() < 0.3:
            hole = lots.choice((0, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA))
            handle.zero(length // 2 + 1, offset, hole)
            bench.copy[offset:offset + length // 2 + 1] = bytes(length // 2 + 1)
        begin = max(0, offset - 700)
        bench.check(handle, begin, min(length + 1400, bench.size - begin))
    handle.trim(64 * 1024, MIB)
    assert handle.pread(64 * 1024, MIB) == bytes(64 * 1024), "whole pages that were trimmed are not zero"
    bench.copy[MIB:MIB + 64 * 1024] = bytes(64 * 1024)
    handle.shutdown()


def the_largest_request(bench):
    handle = bench.connect()
    for offset in (0, 3 * MIB + 1, bench.size - LARGEST):
        bench.write(handle, offset, lots.randbytes(LARGEST))
        bench.check(handle, offset, LARGEST)
    refused(errno.EINVAL, handle.pread, LARGEST + 1, 0)
    bench.check(handle, 5, 4096)
    # A longer payload would have to be read to its end: the server hangs up instead, and on this client alone.
    other = bench.connect()
    try:
        handle.pwrite(bytes(LARGEST + 1), 0)
        raise AssertionError("a write of more than 32 MiB was answered")
    except nbd.Error:
        assert handle.aio_is_dead() or handle.aio_is_closed(), "a write of more than 32 MiB was refused in another way"
    bench.check(other, 0, MIB)
    other.shutdown()


def many_in_flight(bench):
    """1,000 requests of unlike sizes, each in a place of its own, sent without waiting; a small one may overtake a large one."""
    handle = bench.connect()
    piece = bench.size // 1000
    reads, cookies = {}, set()
    for i in lots.sample(range(1000), 1000):
        offset, length = i * piece + lots.randrange(64), lots.choice((1, 512, 4096, 9999, piece - 64))
        if i % 2:
            buffer = nbd.Buffer(length)
            cookie = handle.aio_pread(buffer, offset)
            reads[cookie] = (buffer, offset, length)
        else:
            data = lots.randbytes(length)
            cookie = handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), offset,
                                       flags=nbd.CMD_FLAG_FUA if i % 100 == 0 else 0)
            bench.copy[offset:offset + length] = data
        cookies.add(cookie)
    assert not finish(handle, cookies)
    for buffer, offset, length in reads.values():
        assert buffer.to_bytearray() == bench.copy[offset:offset + length], f"{length} bytes at {offset} read wrongly"
    bench.check(handle, 0, LARGEST)
    handle.shutdown()


def disconnected_with_requests_on_their_way(bench):
    """[NBD_CMD_DISC]: the server answers what was asked before it, and then hangs up."""
    handle = bench.connect()
    cookies = set()
    for i in range(40):
        data = lots.randbytes(9001)
        cookies.add(handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), i * 20000 + 1))
        bench.copy[i * 20000 + 1:i * 20000 + 9002] = data
    handle.aio_disconnect()
    assert not finish(handle, cookies)


def flush_of_another_connection(bench):
    """[Multiple connections]: what one connection was told is written, another one's FLUSH covers and every way reads."""
    one, two, three = bench.connect(), bench.connect(), bench.connect()
    assert one.can_multi_conn()
    offset, data = 7 * MIB + 11, lots.randbytes(100003)
    bench.write(one, offset, data)
    two.flush()
    bench.check(three, offset, len(data))
    for path, flags in ((bench.fuse_file, 0), (bench.fuse_file, os.O_DIRECT), (bench.drive_file, os.O_DIRECT)):
        descriptor = os.open(path, os.O_RDONLY | flags)
        page = offset // 4096 * 4096
        buffer = mmap.mmap(-1, 128 * 1024)
        assert os.preadv(descriptor, [buffer], page) == len(buffer)
        assert buffer[offset - page:offset - page + len(data)] == data, f"{path} does not hold what was flushed"
        os.close(descriptor)
    for handle in (one, two, three):
        handle.shutdown()


def what_is_refused(bench):
    handle = bench.connect()
    size = bench.size
    for function, before in ((handle.pread, ()), (handle.trim, ()), (handle.zero, ())):
        refused(errno.EINVAL, function, 0, *before, 0)
    refused(errno.EINVAL, handle.pwrite, b"", 0)
    # [Error values]: ENOSPC for what would have to be stored behind the end, EINVAL for the rest.
    for offset, length in ((size, 1), (size - 1, 2), (size - 511, 512), (1 << 62, 512), ((1 << 63) - 1, 1), ((1 << 63) - 512, 512)):
        refused(errno.EINVAL, handle.pread, length, offset)
        refused(errno.EINVAL, handle.trim, length, offset)
        refused(errno.ENOSPC, handle.zero, length, offset)
        refused(errno.ENOSPC, handle.pwrite, bytes(length), offset)
    refused(errno.ENOSPC, handle.zero, 0xfffffe00, 0)
    refused(errno.EINVAL, handle.trim, 0xfffffe00, 0)
    for flags in (1 << 4, 1 << 5, 1 << 9, 1 << 15, nbd.CMD_FLAG_NO_HOLE):
        refused(errno.EINVAL, handle.pread, 512, 0, flags)
        refused(errno.EINVAL, handle.pwrite, bytes(512), 0, flags)
        refused(errno.EINVAL, handle.trim, 512, 0, flags)
        refused(errno.EINVAL, handle.flush, flags)
        if flags != nbd.CMD_FLAG_NO_HOLE and not (flags == nbd.CMD_FLAG_FAST_ZERO and handle.can_fast_zero()):
            refused(errno.EINVAL, handle.zero, 512, 0, flags)
    # FUA is no mistake where nothing is written: [Command flags].
    bench.check(handle, 0, 512, nbd.CMD_FLAG_FUA)
    if bench.structured:
        bench.check(handle, 1, 70001, nbd.CMD_FLAG_DF)
    if not handle.can_cache():
        refused(errno.EINVAL, handle.cache, 512, 0)
    # No context was negotiated on this connection.
    refused(errno.EINVAL, handle.block_status, 512, 0, lambda *_: 0)
    refused(errno.ENOSPC, handle.pwrite, bytes(LARGEST), size - LARGEST + 1)
    bench.check(handle, size - 8192, 8192)
    handle.shutdown()


def a_read_only_export(bench):
    handle = bench.connect(bench.read_only)
    assert handle.is_read_only() and not handle.can_trim() and not handle.can_zero()
    before = handle.pread(MIB, 0)
    for flags in (0, nbd.CMD_FLAG_FUA):
        refused(errno.EPERM, handle.pwrite, bytes(512), 0, flags)
        refused(errno.EPERM, handle.trim, 4096, 0, flags)
        refused(errno.EPERM, handle.zero, 4096, 0, flags)
    # The whole payload is taken before the answer: this client knows none to a request that it is still sending.
    refused(errno.EPERM, handle.pwrite, bytes(LARGEST), 0)
    handle.flush()
    assert handle.pread(MIB, 0) == before, "a read-only export has changed"
    handle.shutdown()


TRIALS = (single_bytes_and_odd_edges, the_largest_request, many_in_flight, disconnected_with_requests_on_their_way,
          flush_of_another_connection, what_is_refused, a_read_only_export)


def main():
    bench = Bench(*sys.argv[1:])
    for bench.structured in (True, False):
        for trial in TRIALS:
            try:
                trial(bench)
            except (AssertionError, nbd.Error) as error:
                replies = "structured" if bench.structured else "simple"
                print(f"{trial.__name__}, {replies} replies, line {error.__traceback__.tb_next.tb_lineno}: {error}")
                return 1
    for path in (bench.fuse_file, bench.drive_file):
        with open(path, "rb") as there:
            if there.read() != bench.copy:
                print(f"{path} does not hold what was written")
                return 1
    return 0


sys.exit(main())
