"""Counts that a process makes and others read, in a small mapped file: 64-bit numbers by name."""
import mmap
import os
import struct
import threading

NAMES = ("acknowledged",     # writes
         "holds",            # epochs whose holder has read the whole drive back
         "late_refused",     # writes submitted after the fence of their epoch that were refused, or found no way in
         "late_answered",    # … that were acknowledged
         "io_errors",        # other errors than the end of the epoch
         "reconnects",
         "abandoned",        # connections left with requests in them, on purpose
         "ended_too_soon",   # epochs that the data path refused while the arbiter still had them
         "losses")           # releases by the host whose drain did not end well
_NUMBER = struct.Struct("<Q")


class Counters:
    def __init__(self, path, create=False):
        with open(path, "w+b" if create else "r+b") as file:
            if create:
                os.ftruncate(file.fileno(), mmap.PAGESIZE)
            self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._lock = threading.Lock()

    def add(self, name, count=1):
        place = 8 * NAMES.index(name)
        with self._lock:
            _NUMBER.pack_into(self._map, place, _NUMBER.unpack_from(self._map, place)[0] + count)

    def get(self, name):
        return _NUMBER.unpack_from(self._map, 8 * NAMES.index(name))[0]
