"""One QEMU process: its command line, its QMP channel, its end with the driver's."""
import ctypes
import functools
import os
import signal
import socket
import subprocess

import guest_setup
import tsc
import usb_wire
from qmp import monitor, monitor_options

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
TSC_KHZ = tsc.khz()

# Quiet until the setup script turns the console up. What hardens a real machine, and what
# looks for faults of a real clock, only costs emulated time here: a tenth of the boot.
# A microvm has no reset register and no keyboard controller: without reboot=t Linux would call
# the firmware (arch/x86/kernel/reboot.c), which QEMU does not take for a reset.
KERNEL_OPTIONS = (
    "console=ttyS0 quiet panic=-1 reboot=t tsc=reliable no_timer_check nowatchdog cryptomgr.notests "
    "audit=0 no5lvl mitigations=off init_on_alloc=0 hardened_usercopy=off "
    "randomize_kstack_offset=off lsm=capability rcupdate.rcu_expedited=1")


def end_with(parent):
    """In a child before exec: the kernel kills it when the driver ends, however that happens.

    "Parent" is the thread that forks, so only the driver's main thread may start one.
    """
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Qemu:
    """A running machine. `agent` is the driver's end of its agent's port.

    `folder` is the machine's shared folder, `kernel` the folder that kernel.sh made,
    `ports` {segment: socket}: the machine's end of each cable; `wire`: of its USB wire, or None.
    """

    def __init__(self, machine, index, folder, kernel, ports, wire=None):
        self.agent, agent_end = socket.socketpair()
        self._monitor, qmp_end = monitor()
        given = [agent_end, qmp_end, *ports.values()] + ([wire] if wire else [])
        command = self._command(machine, index, folder, kernel, ports,
                                agent_end.fileno(), qmp_end.fileno())
        if wire:
            command += (usb_wire.host_options(wire, machine.controller) if machine.host_of else usb_wire.blade_options(wire))
        with open(os.path.join(folder, "qemu.log"), "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[end.fileno() for end in given], preexec_fn=functools.partial(end_with, os.getpid()),
                # Not in the driver's group: ^C is for the driver, which ends the machines.
                process_group=0)
        for end in given:
            end.close()

    @staticmethod
    def _command(machine, index, folder, kernel, ports, agent_fd, qmp_fd):
        def escape(path):     # QEMU's own option syntax
            return path.replace(",", ",,")

        command = [
            "qemu-system-x86_64", "-name", machine.name,
            # Never KVM: on some machines it hangs although /dev/kvm is there.
            # Nor a processor that says its `rep movsb` is fast: emulated, it moves byte by byte, and the kernel copies by it.
            "-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm", "-smp", str(machine.cpus),
            "-machine", "microvm,acpi=on,pcie=on,pit=on,pic=on,rtc=on,isa-serial=on",
            "-m", str(machine.memory), "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none",
            "-serial", f"file:{os.path.join(folder, 'console.log')}",
            "-kernel", f"{kernel}/vmlinux", "-initrd", f"{kernel}/initrd",
            "-append", KERNEL_OPTIONS + (f" tsc_early_khz={TSC_KHZ}" if TSC_KHZ else ""),
            "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
            "-fsdev", f"local,id=share,path={escape(folder)},security_model=none",
            "-device", "virtio-9p-pci,fsdev=share,mount_tag=share",
            "-device", "virtio-rng-pci",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,fd={agent_fd}",
            "-device", "virtserialport,chardev=agent,name=chassis.agent",
            *monitor_options(qmp_fd),
        ]
        for segment, mac in guest_setup.macs(index, machine).items():
            command += [
                "-netdev", f"stream,id={segment},addr.type=fd,addr.str={ports[segment].fileno()}",
                "-device", f"virtio-net-pci,netdev={segment},mac={mac},romfile="]
        for number, disk in enumerate(machine.disks):
            path = disk.path or os.path.join(folder, f"disk{number}.img")
            command += [
                "-drive", f"if=none,id=disk{number},format=raw,discard=unmap,file={escape(path)}",
                "-device", f"virtio-blk-pci,drive=disk{number},"
                           f"logical_block_size={disk.sector},physical_block_size={disk.sector}"
                           + (f",serial={disk.serial}" if disk.serial else "")]
        return command

    def qmp(self, command, timeout=10, **arguments):
        """See Monitor.execute."""
        return self._monitor.execute(command, timeout, **arguments)

    def running(self):
        return self.process.poll() is None

    def kill(self):
        """Ends it at once, as pulling the plug does; safe to call again."""
        if self.running():
            self.process.kill()
        self.process.wait()
        for end in (self.agent, self._monitor):
            end.close()
