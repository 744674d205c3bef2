"""A blade's use of a drive for one epoch: reads all of it, then writes until it is put out. What is common to both ways.

A holder ends in one of two ways. stop_cleanly(): what is under way is answered, a flush follows, the outcome is
"drained". throw_out(), or the server says that the epoch is over: nothing is repeated any more. After either, a late
write is tried once the arbiter says that the epoch was fenced: it must never be acknowledged.
"""
import random
import threading
import time

import arbiter_client
import blocks
import journal


class Holder(threading.Thread):
    late_patience = 20.0

    def __init__(self, blade, drive, number, epoch, mode):
        super().__init__(name=f"{drive}@{epoch}", daemon=True)
        self.blade = blade          # of blade.py: options, counters, changed
        self.drive = drive
        self.number = number        # of the drive, as its blocks have it
        self.epoch = epoch
        self.mode = mode
        self.by_host = False
        self.outcome = None         # set once the medium is out: drained, lost or unknown
        self.over = False           # the server said so
        self.wants_out = threading.Event()
        self.thrown_out = False
        self.told = set()           # of "leave" and "rest"; see blade.py
        self.random = random.Random(f"{blade.options.seed} {blade.name} {drive} {epoch}")
        self.journal = journal.Journal(blade.options.journals, number, epoch, blade.name)
        self._seq = 0
        self._seq_lock = threading.Lock()

    # ---- the slot's side; any thread ----

    def stop_cleanly(self, by_host=False):
        if not self.wants_out.is_set():
            self.by_host = by_host
            self.wants_out.set()

    def throw_out(self):
        self.thrown_out = True
        self.wants_out.set()

    # ---- the holder's own ----

    def leaving(self):
        return self.over or self.wants_out.is_set()

    def next_seq(self):
        with self._seq_lock:
            self._seq += 1
            return self._seq

    def run(self):
        try:
            self.hold()
        except Exception as error:  # a holder that broke must not look like one that holds
            print(f"{self.name}: broken: {error!r}", flush=True)
            self.blade.broken = True
            raise
        finally:
            self.journal.close()
            self.blade.changed.set()

    def is_out(self, outcome):
        if outcome != "drained" and not self.thrown_out and not self.over:
            print(f"{self.name}: put out, {outcome}", flush=True)
            self.blade.counters.add("losses")
        self.outcome = outcome
        self.blade.changed.set()

    def found(self, first_block, data):
        for index in range(len(data) // blocks.SIZE):
            block = first_block + index
            try:
                found = blocks.parse(self.number, block, data[index * blocks.SIZE:(index + 1) * blocks.SIZE])
                self.journal.add(journal.FOUND, block, found=found)
            except blocks.Damaged as damage:
                print(f"{self.name}: {damage}", flush=True)
                self.journal.add(journal.DAMAGED, block)

    def submitted(self, block, seq, late=False):
        self.journal.add(journal.SUBMITTED, block, seq, journal.LATE if late else 0)

    def answered(self, block, seq, late=False):
        self.journal.add(journal.ANSWERED, block, seq, journal.LATE if late else 0)
        self.blade.counters.add("late_answered" if late else "acknowledged")

    def refused(self, block, seq, never_landed=False):
        self.journal.add(journal.REFUSED, block, seq, journal.NEVER_LANDED if never_landed else 0)

    def judge_the_end(self):
        """The server said that the epoch is over: the arbiter must have decided that before."""
        while self.over and not self.blade.ending.is_set():
            try:
                mine = (self.drive, self.blade.name, self.epoch)
                for lease in arbiter_client.leases(self.blade.options.arbiter, timeout=2):
                    if (lease["drive"], lease["blade"], lease["epoch"]) == mine and lease["state"] == "held":
                        print(f"{self.name}: refused, but the arbiter says: {lease}", flush=True)
                        self.blade.counters.add("ended_too_soon")
                return
            except (arbiter_client.Unreachable, KeyError):
                self.blade.ending.wait(0.02)

    def wait_for_fence(self):
        """True once the arbiter says that this epoch is over."""
        limit = time.monotonic() + self.late_patience
        while time.monotonic() < limit and not self.blade.ending.is_set():
            try:
                if arbiter_client.is_over(self.blade.options.arbiter, self.drive, self.blade.name, self.epoch):
                    return True
            except (arbiter_client.Unreachable, KeyError):
                pass
            self.blade.ending.wait(0.02)
        return False
