"""A blade's host that is no Linux yet: a PC with its firmware, which boots from the blade's USB wire.

    with FirmwareHost(c, "blade01", "seabios") as host:
        host.wait_for("the loader's words", 60)
"""
import contextlib
import functools
import os
import re
import subprocess
import time

import boot_image
import usb_wire
from processes import Failed, wait_until
from qemu import end_with
from qmp import monitor, monitor_options

# What Debian's packages seabios (which qemu-system-x86 brings) and ovmf have.
FIRMWARE = {
    "seabios": [],
    "ovmf": ["-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
             "-drive", "if=pflash,format=raw,unit=1,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"],
}


class FirmwareHost:
    """Powered on at the beginning of the block, off at its end. `console`: the file of what it says on its serial line."""

    def __init__(self, chassis, blade, firmware, controller="qemu-xhci"):
        self.blade, self.name = chassis[blade], f"{firmware} with {controller}"
        self.console = os.path.join(self.blade.folder, f"{firmware}-{controller}.log")
        self._wire = chassis.wires[blade]
        self._command = [
            "qemu-system-x86_64", "-name", "host", "-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35",
            "-m", "256", "-nodefaults", "-no-user-config", "-display", "none",
            "-serial", f"file:{self.console}", *FIRMWARE[firmware],
            # What the firmware itself says (SeaBIOS; OVMF's debugging builds).
            "-chardev", f"file,id=debug,path={self.console[:-4]}.firmware", "-device", "isa-debugcon,iobase=0x402,chardev=debug"]
        self._controller = controller

    def __enter__(self):
        self._carrier = usb_wire.hand_over(self.blade)
        open(self.console, "wb").close()
        end = self._wire.host_end()
        self._monitor, monitor_end = monitor()
        with open(os.path.join(self.blade.folder, "host-qemu.log"), "ab") as log, end, monitor_end:
            self._process = subprocess.Popen(
                [*self._command, *monitor_options(monitor_end.fileno()), *usb_wire.host_options(end, self._controller, boot=True)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[end.fileno(), monitor_end.fileno()],
                process_group=0, preexec_fn=functools.partial(end_with, os.getpid()))
        try:
            # QEMU's usb-redir says nothing to its peer while the machine stands still, and firmware looks at its ports once.
            wait_until(lambda: usb_wire.plugged_in(self._monitor), 20, f"{self.name} has the wire plugged in")
            self._monitor.execute("system_reset")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._monitor.close()
        self._carrier.kill()
        self._carrier.wait()

    def text(self):
        """What it has said, without the terminal's control sequences."""
        with open(self.console, encoding="utf-8", errors="replace") as log:
            return re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", log.read())

    def press_return(self):
        self._monitor.execute("send-key", keys=[{"type": "qcode", "data": "ret"}])

    @contextlib.contextmanager
    def standing_still(self):
        """What it has asked for stays under way; it sees no time pass."""
        self._monitor.execute("stop")
        yield
        self._monitor.execute("cont")

    def parts(self):
        """How many of the loader's parts it has read."""
        return sum(boot_image.PART.format(part) in self.text() for part in boot_image.PARTS)

    def wait_for(self, words, limit):
        """Until it has said so; failing, with what it said instead."""
        def said():
            assert self._process.poll() is None, f"{self.name}: QEMU has ended; see host-qemu.log"
            assert boot_image.DAMAGED not in self.text(), f"{self.name}: {self.text()[-400:]!r}"
            return words in self.text()
        try:
            wait_until(said, limit)
        except Failed:
            raise Failed(f"{self.name} did not say '{words}' in {limit} s, but: {self.text()[-400:]!r}") from None


def boots(c, d, blade, drive, firmware, controller="qemu-xhci", last=boot_image.WHOLE, limit=100):
    """Boots what is presented in the blade's first slot until its loader (boot_image.py) has read everything, although both
    drivebayfs are killed while it reads, and has said `last`. The seconds until the loader's first words, and until its last."""
    begin = time.monotonic()
    assert d.slot(drive, blade)["slot"] == 0, "SeaBIOS knows of no interface but a device's first"
    killed_at = []
    with FirmwareHost(c, blade, firmware, controller) as host:
        # One by one: SeaBIOS waits 5 s for a transfer (usb.c, usb_xfer_time) and does not recover from one that it gave up.
        for gate, killed in zip(boot_image.GATES, (c["mm"], c[blade], None), strict=True):
            host.wait_for(boot_image.GATE.format(gate), limit)
            if not killed_at:
                loaded = time.monotonic() - begin
            host.press_return()
            if killed:
                host.wait_for(boot_image.PART.format(gate), limit)
                with host.standing_still():
                    d.kill_server(killed)
                    killed_at.append(host.parts())
        host.wait_for(boot_image.WHOLE, limit)
        host.wait_for(last, 20)
    return (f"{host.name}: the loader's words after {loaded:.0f} s, all read after {time.monotonic() - begin:.0f} s; killed after "
            f"{' and '.join(map(str, killed_at))} parts")
