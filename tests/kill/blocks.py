"""Blocks that say what they are: drive, epoch, number of the write, place; and whether they are whole.

One record of 32 bytes with its own checksum, repeated: a block of two writes, of another place or of noise is seen.
"""
import struct
import zlib

SIZE = 4096
_HEAD = struct.Struct("<4sHHIII")
_CHECKSUM = struct.Struct("<I8x")
_RECORD_SIZE = _HEAD.size + _CHECKSUM.size
_COPIES = SIZE // _RECORD_SIZE
_ZERO = bytes(SIZE)


class Damaged(Exception):
    """The block is no whole write of this drive to this place."""


def make(drive, block, epoch, seq):
    head = _HEAD.pack(b"dbk1", drive, 0, block, epoch, seq)
    return (head + _CHECKSUM.pack(zlib.crc32(head))) * _COPIES


def parse(drive, block, data):
    """(epoch, seq) of the write that is there; (0, 0) if nothing was ever written."""
    if data == _ZERO:
        return 0, 0
    record = bytes(data[:_RECORD_SIZE])
    magic, its_drive, _, its_block, epoch, seq = _HEAD.unpack_from(record)
    if magic != b"dbk1" or (zlib.crc32(record[:_HEAD.size]),) != _CHECKSUM.unpack_from(record, _HEAD.size):
        raise Damaged(f"block {block} of drive {drive} begins with {record[:8].hex()}")
    if (its_drive, its_block) != (drive, block):
        raise Damaged(f"block {block} of drive {drive} holds block {its_block} of drive {its_drive}")
    if record * _COPIES != bytes(data):
        raise Damaged(f"block {block} of drive {drive} is torn: its begin is write {epoch}.{seq}")
    return epoch, seq


def parse_all(drive, first, data):
    for index in range(len(data) // SIZE):
        yield first + index, parse(drive, first + index, data[index * SIZE:(index + 1) * SIZE])
