"""What one holder of one epoch did and saw, block by block, in the order in which it did and saw it.

A file an epoch, DRIVE.EPOCH.BLADE, written when the holder is done with the epoch. No clock is in it: the checker puts
epochs in their order, which is the order that the leases promise.
"""
import os
import struct
import threading

SUBMITTED, ANSWERED, REFUSED, FOUND, DAMAGED = range(1, 6)
# Of SUBMITTED and ANSWERED: the holder knew that its epoch was fenced. Of REFUSED: its only copy was refused by the gate.
LATE = NEVER_LANDED = 1
_ENTRY = struct.Struct("<BBHIII")


class Journal:
    def __init__(self, folder, drive, epoch, blade):
        self._path = os.path.join(folder, f"{drive}.{epoch:09d}.{blade}")
        self._entries = bytearray()
        self._lock = threading.Lock()

    def add(self, kind, block, seq=0, flags=0, found=(0, 0)):
        entry = _ENTRY.pack(kind, flags, block, seq, *found)
        with self._lock:
            self._entries += entry

    def close(self):
        with open(self._path + ".part", "wb") as out:
            out.write(self._entries)
        os.rename(self._path + ".part", self._path)


def read(path):
    """(kind, flags, block, seq, (found epoch, found seq)) in their order."""
    with open(path, "rb") as entries:
        for kind, flags, block, seq, found_epoch, found_seq in _ENTRY.iter_unpack(entries.read()):
            yield kind, flags, block, seq, (found_epoch, found_seq)


def list_in_order(folder, drive):
    """[(epoch, blade, path)], ascending."""
    journals = []
    for name in os.listdir(folder):
        parts = name.split(".", 2)
        if len(parts) == 3 and parts[0] == str(drive) and not name.endswith(".part"):
            journals.append((int(parts[1]), parts[2], os.path.join(folder, name)))
    return sorted(journals)
