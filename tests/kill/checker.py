"""Judges journals and what is on the drives: is every acknowledged write there, and did nothing of an ended epoch land?

For each block it keeps what may be there: the last write known to be there, and those submitted later that were not
answered (they may have landed or not, as long as their epoch lived). Reading a block settles it. What is found must be
one of those. An epoch's entries all come before the next epoch's: that is just what the gate promises, so a write of an
ended epoch that lands after its successor has read or written the block is found to be none of them.

By hand, on a folder that a failed run kept: checker.py JOURNALS IMAGE…
"""
import sys

import blocks
import journal

BEFORE_ALL = (0, 0)
MOST_TOLD = 20


class Verdict:
    def __init__(self):
        self.lost = 0           # an acknowledged write is not there, and no later one of its epoch
        self.stale = 0          # a write of an older epoch lies over a newer one's, or one that was refused is there
        self.damaged = 0
        self.late_answered = 0  # a write submitted after the fence was acknowledged
        self.acknowledged = 0
        self.shut_out = 0       # refused by the gate while their epoch ended
        self.found = 0
        self.epochs = 0
        self.sentences = []

    def tell(self, sentence):
        if len(self.sentences) < MOST_TOLD:
            self.sentences.append(sentence)

    def is_clean(self):
        return not (self.lost or self.stale or self.damaged or self.late_answered)


class DriveCheck:
    def __init__(self, drive, verdict):
        self.drive = drive
        self.verdict = verdict
        self.settled = {}   # block: the last write known to be there
        self.may_be = {}    # block: writes that may be there instead, all later ones
        self.never = set()  # writes that must not land: submitted after the fence, or refused by the gate

    def replay(self, epoch, blade, entries):
        self.verdict.epochs += 1
        for kind, flags, block, seq, found in entries:
            write = (epoch, seq)
            if kind == journal.SUBMITTED:
                if flags & journal.LATE:
                    self.never.add(write)
                else:
                    self.may_be.setdefault(block, set()).add(write)
            elif kind == journal.ANSWERED:
                self.answered(block, write, flags & journal.LATE, blade)
            elif kind == journal.REFUSED:
                self.verdict.shut_out += 1
                if flags & journal.NEVER_LANDED:
                    self.may_be.get(block, set()).discard(write)
                    self.never.add(write)
            elif kind == journal.FOUND:
                self.find(block, found, f"{blade} in epoch {epoch}")
            else:
                self.damage(block, f"{blade} in epoch {epoch} read a damaged block {block} of drive {self.drive}")

    def answered(self, block, write, late, blade):
        if late:
            self.verdict.late_answered += 1
            self.verdict.tell(f"drive {self.drive} block {block}: {blade}'s write {write} was submitted after the fence "
                              "of its epoch and acknowledged")
            return
        self.verdict.acknowledged += 1
        self.settled[block] = write
        self.may_be[block] = {other for other in self.may_be.get(block, ()) if other > write}

    def find(self, block, found, who):
        self.verdict.found += 1
        settled = self.settled.get(block, BEFORE_ALL)
        if found != settled and found not in self.may_be.get(block, ()):
            older = found[0] < settled[0] and found != BEFORE_ALL
            kind = "stale" if older or found in self.never else "lost"
            setattr(self.verdict, kind, getattr(self.verdict, kind) + 1)
            self.verdict.tell(f"drive {self.drive} block {block}: {who} found write {found[0]}.{found[1]} where "
                              f"{settled[0]}.{settled[1]} was known to be ({kind})")
        self.settled[block] = found
        self.may_be[block] = set()

    def damage(self, block, sentence):
        self.verdict.damaged += 1
        self.verdict.tell(sentence)
        self.may_be[block] = set()


def check(folder, images, verdict=None):
    """`images`: paths in the order of the drives' numbers. They are looked at last, as one more reader."""
    verdict = verdict or Verdict()
    for drive, path in enumerate(images):
        state = DriveCheck(drive, verdict)
        for epoch, blade, entries in journal.list_in_order(folder, drive):
            state.replay(epoch, blade, journal.read(entries))
        with open(path, "rb") as image:
            block = 0
            while data := image.read(blocks.SIZE):
                try:
                    state.find(block, blocks.parse(drive, block, data), "the check at the end")
                except blocks.Damaged as damage:
                    state.damage(block, f"the check at the end: {damage}")
                block += 1
    return verdict


if __name__ == "__main__":
    outcome = check(sys.argv[1], sys.argv[2:])
    print(*outcome.sentences, sep="\n")
    print({name: value for name, value in vars(outcome).items() if name != "sentences"})
    sys.exit(0 if outcome.is_clean() else 1)
