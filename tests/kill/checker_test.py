"""The checker against journals made by hand: what it must notice, and what it must let pass."""
import os
import tempfile

import blocks
import checker
from journal import ANSWERED, FOUND, LATE, NEVER_LANDED, REFUSED, SUBMITTED, Journal

BLOCK = 0


def verdict(on_drive, *holders):
    """`holders`: for each epoch from 1 a list of (kind, seq, flags, found); `on_drive`: (epoch, seq) or bytes."""
    with tempfile.TemporaryDirectory() as folder:
        for epoch, entries in enumerate(holders, start=1):
            book = Journal(folder, 0, epoch, "blade")
            for kind, seq, flags, found in entries:
                book.add(kind, BLOCK, seq, flags, found)
            book.close()
        image = os.path.join(folder, "image")
        with open(image, "wb") as out:
            out.write(on_drive if isinstance(on_drive, bytes) else blocks.make(0, BLOCK, *on_drive))
        return checker.check(folder, [image])


def submitted(seq, flags=0):
    return SUBMITTED, seq, flags, (0, 0)


def answered(seq, flags=0):
    return ANSWERED, seq, flags, (0, 0)


def refused(seq, flags=0):
    return REFUSED, seq, flags, (0, 0)


def found(epoch, seq):
    return FOUND, 0, 0, (epoch, seq)


NOTHING = bytes(blocks.SIZE)
ONE = [submitted(1), answered(1)]
TORN = blocks.make(0, BLOCK, 1, 1)[:2048] + blocks.make(0, BLOCK, 1, 2)[2048:]
# What is on the drive, what the holders did, and the counts that must not be zero
CASES = [
    ((1, 1), [ONE], ()),
    ((1, 2), [[*ONE, submitted(2)]], ()),                                 # unanswered: it may have landed
    ((1, 1), [[*ONE, submitted(2)]], ()),                                 # or not
    ((1, 2), [[*ONE, submitted(2), refused(2)]], ()),                     # an earlier copy may have landed
    ((1, 2), [[*ONE, submitted(2)], [found(1, 2)]], ()),
    ((2, 1), [[*ONE, submitted(2)], ONE], ()),
    (NOTHING, [ONE], ("lost",)),
    ((1, 1), [[*ONE, submitted(2), answered(2)]], ("lost",)),
    ((1, 1), [[*ONE], [found(0, 0)]], ("lost",)),
    ((1, 1), [ONE, ONE], ("stale",)),                                     # over the successor's
    ((1, 2), [[*ONE, submitted(2)], [found(1, 1)]], ("lost",)),           # after the successor had looked
    ((1, 2), [[*ONE, submitted(2), refused(2, NEVER_LANDED)]], ("stale",)),
    ((1, 2), [[*ONE, submitted(2, LATE)]], ("stale",)),
    ((1, 1), [[*ONE, submitted(2, LATE), answered(2, LATE)]], ("late_answered",)),
    (TORN, [ONE], ("damaged",)),
    (blocks.make(0, 7, 1, 1), [ONE], ("damaged",)),                       # another place's block
]


def mistakes():
    """Sentences; none if the checker judges rightly."""
    wrong = []
    for number, (on_drive, holders, expected) in enumerate(CASES):
        outcome = verdict(on_drive, *holders)
        noticed = tuple(name for name in ("lost", "stale", "damaged", "late_answered") if getattr(outcome, name))
        if noticed != expected:
            wrong.append(f"the checker's case {number}: it noticed {noticed}, not {expected}: {outcome.sentences}")
    return wrong


if __name__ == "__main__":
    print(*mistakes(), sep="\n")
