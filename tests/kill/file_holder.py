"""A holder that writes a file of the blade's own mount, <drive>@<epoch>, from several threads, as a host's requests
reach a LUN. The blade's drivebayfs is the one that reconnects and repeats."""
import errno
import mmap
import os
import threading
import time

import arbiter_client
import blocks
import journal
from holder import Holder

THREADS = 3
LONGEST_RUN = 4
CHUNK = 64
NOT_YET = (errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EIO, errno.ENOTCONN, errno.EAGAIN)


class FileHolder(Holder):
    def hold(self):
        self.file = self.open_file()
        if self.file is None:
            self.judge_the_end()
            return self.is_out("drained")  # nothing was ever written
        if self.read_back():
            self.blade.counters.add("holds")
            writers = [threading.Thread(target=self.use, args=(i,), name=f"{self.name}.{i}") for i in range(THREADS)]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
        self.judge_the_end()
        flushed = self.flush() if self.mode == "write" else True
        # A file still open stands for a host that goes on as if nothing had happened.
        if self.mode == "write" and (self.thrown_out or self.over) and self.wait_for_fence():
            self.write_late()
        os.close(self.file)
        outcome = self.drain()
        if outcome == "lost" and not self.over:
            # Fenced by force while it drained; or a loss that nobody asked for
            self.over = True
            self.judge_the_end()
        self.is_out(outcome if flushed else "lost")

    def open_file(self):
        path = f"{self.blade.options.mount}/{self.drive}@{self.epoch}"
        # O_DSYNC: what is not asked to be on the drive when it is answered may be lost with the epoch.
        flags = (os.O_RDWR | os.O_DSYNC if self.mode == "write" else os.O_RDONLY) | (os.O_DIRECT if self.random.random() < 0.5 else 0)
        while not self.wants_out.is_set():
            try:
                return os.open(path, flags)
            except OSError as error:
                if error.errno not in NOT_YET:
                    self.over = True
                    return None
                self.wants_out.wait(0.02)
        return None

    def failed(self, what, error):
        if error.errno == errno.ESHUTDOWN:
            self.over = True
            return
        print(f"{self.name}: {what} failed: {error}", flush=True)
        self.blade.counters.add("io_errors")
        self.blade.ending.wait(0.05)

    def read_back(self):
        for first in range(0, self.blade.options.blocks, CHUNK):
            while not self.read(first, min(CHUNK, self.blade.options.blocks - first)):
                if self.leaving():
                    return False
        return True

    def read(self, block, count):
        buffer = mmap.mmap(-1, count * blocks.SIZE)  # aligned, for O_DIRECT
        try:
            got = os.preadv(self.file, [buffer], block * blocks.SIZE)
            self.found(block, buffer[:got])
            return got == len(buffer)
        except OSError as error:
            self.failed(f"read of block {block}", error)
            return False

    def use(self, index):
        """Thread `index` has its own part of the blocks: of two writes to one block the order is always known."""
        share = self.blade.options.blocks // THREADS
        while not self.leaving():
            count = self.random.randint(1, LONGEST_RUN)
            block = share * index + self.random.randrange(share - count)
            if self.mode == "read" or self.random.random() < 0.1:
                self.read(block, count)
            else:
                self.write(block, count)

    def write(self, block, count, late=False):
        seqs = [self.next_seq() for _ in range(count)]
        buffer = mmap.mmap(-1, count * blocks.SIZE)
        buffer.write(b"".join(blocks.make(self.number, block + i, self.epoch, seq) for i, seq in enumerate(seqs)))
        for i, seq in enumerate(seqs):
            self.submitted(block + i, seq, late)
        try:
            os.pwrite(self.file, buffer, block * blocks.SIZE)
            for i, seq in enumerate(seqs):
                self.answered(block + i, seq, late)
        except OSError as error:
            if late:
                self.blade.counters.add("late_refused")
                return
            for i, seq in enumerate(seqs):
                self.refused(block + i, seq)
            self.failed(f"write of block {block}", error)

    def write_late(self):
        self.write(self.random.randrange(self.blade.options.blocks), 1, late=True)

    def flush(self):
        """False: the epoch ended with something not flushed."""
        while not (self.over or self.thrown_out):
            try:
                os.fsync(self.file)
                return True
            except OSError as error:
                self.failed("fsync", error)
        return False

    def drain(self):
        body = {"drive": self.drive, "blade": self.blade.name, "epoch": self.epoch}
        limit = time.monotonic() + 20
        while True:
            try:
                outcome = arbiter_client.ask(self.blade.options.drain, "POST", "/v1/drain", body, timeout=30)[1]["outcome"]
            except (arbiter_client.Unreachable, KeyError):
                outcome = "unknown"
            if outcome != "unknown" or time.monotonic() > limit or self.thrown_out or self.over:
                return outcome
            self.blade.ending.wait(0.05)
