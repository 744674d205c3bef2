#!/usr/bin/python3
"""Take the plain ELF kernel out of a compressed bzImage.

    vmlinux.py VMLINUZ OUTPUT

QEMU starts an ELF kernel by its PVH note. That skips the kernel's own
decompressor, which takes seconds when every instruction is emulated.
"""
import lzma
import struct
import subprocess
import sys


def payload(image):
    """The compressed kernel: Documentation/x86/boot.rst, payload_offset/_length."""
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("not a bzImage")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return image[start:start + length]


def decompress(data):
    """The ELF kernel; what follows it (the size that the kernel's build appends) is dropped."""
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(data)
    for magic, tool in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b", "gzip")):
        if data.startswith(magic):
            done = subprocess.run([tool, "-dc"], input=data, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=False)
            return done.stdout
    raise ValueError("unknown compression of the kernel")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: vmlinux.py VMLINUZ OUTPUT")
    with open(sys.argv[1], "rb") as source:
        image = source.read()
    try:
        kernel = decompress(payload(image))
    except (ValueError, OSError, lzma.LZMAError) as error:
        sys.exit(f"vmlinux.py: {sys.argv[1]}: {error}")
    if kernel[:4] != b"\x7fELF":
        sys.exit(f"vmlinux.py: {sys.argv[1]}: no ELF kernel inside")
    with open(sys.argv[2], "wb") as target:
        target.write(kernel)


main()
