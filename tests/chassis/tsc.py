"""The rate of this machine's time stamp counter, which emulated machines see as their own.

A guest that measures it while five of them boot on two processors gets it wrong, or gives
up and hangs; it is told instead.
"""
import ctypes
import mmap
import platform
import time

# rdtsc; shl $32,%rdx; or %rdx,%rax; ret
CODE = bytes.fromhex("0f31 48c1e220 4809d0 c3")


def khz(seconds=0.1):
    """Measured against the system's clock; None where that is not possible."""
    if platform.machine() != "x86_64":
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE,
                         prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    page.write(CODE)
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))

    def sample():
        """The two clocks at one moment: of several readings the one that took least."""
        readings = []
        for _ in range(20):
            before = time.monotonic_ns()
            count = read()
            after = time.monotonic_ns()
            readings.append((after - before, (before + after) // 2, count))
        return min(readings)[1:]

    start, first = sample()
    time.sleep(seconds)
    end, last = sample()
    return round((last - first) * 1_000_000 / (end - start))
