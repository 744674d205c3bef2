"""A blade's USB wire to another machine: usbredirect hands the gadget's device over, and its connection runs through a
virtio-serial port to the emulated USB controller of that machine (QEMU's usb-redir).

Hosts come and go, one at a time, while the blade runs on. The blade's QEMU listens under a name that the kernel chose and that
no file system shows.
"""
import shutil
import socket

from testing import Skip

PORT = "chassis.usb"

# In the blade, for one host: waits until it is plugged in, carries bytes between usbredirect's TCP port and the virtio port, and
# ends when it is unplugged. A port without a host is POLLHUP (drivers/char/virtio_console.c, port_fops_poll), and nothing
# wakes a poll when that ends.
CARRIER = """
import os, select, socket, subprocess, sys, time
for name in os.listdir("/sys/class/virtio-ports"):
    with open(f"/sys/class/virtio-ports/{name}/name") as entry:
        if entry.read().strip() == sys.argv[1]:
            port = os.open(f"/dev/{name}", os.O_RDWR | os.O_NONBLOCK)
here = ("127.0.0.1", 4950)

def plugged():
    poll = select.poll()
    poll.register(port, select.POLLIN)
    return not any(event & select.POLLHUP for _, event in poll.poll(0))

def connected(process):
    while process.poll() is None:
        try:
            return socket.create_connection(here)
        except OSError:
            time.sleep(0.02)
    sys.exit(f"usbredirect has ended with {process.returncode}")

while not plugged():
    time.sleep(0.02)
redirect = subprocess.Popen(["usbredirect", "--device", sys.argv[2], "--as", "%s:%d" % here])
peer = connected(redirect)
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print("plugged in", flush=True)
while plugged():
    ready, _, _ = select.select([port, peer], [], [], 0.2)
    if peer in ready:
        data = peer.recv(1 << 16)
        if not data:
            sys.exit("usbredirect has closed its connection")
        while data and plugged():
            try:
                data = data[os.write(port, data):]
            except BlockingIOError:
                select.select([], [port], [], 0.1)
    if port in ready:
        try:
            peer.sendall(os.read(port, 1 << 16))
        except BlockingIOError:
            pass
redirect.kill()
print("unplugged", flush=True)
"""


class Wire:
    """Of one blade, as long as the chassis stands."""

    def __init__(self):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind("")     # unix(7), autobind
        self._listener.listen(1)

    def blade_end(self):
        """For the blade's QEMU, at each boot."""
        return self._listener.dup()

    def host_end(self):
        """For the host's QEMU; whoever was plugged in before must have ended."""
        end = socket.socket(socket.AF_UNIX)
        end.connect(self._listener.getsockname())
        return end

    def close(self):
        self._listener.close()


def blade_options(end):
    """Of the blade's QEMU, which has a virtio-serial bus."""
    return ["-chardev", f"socket,id=usb,fd={end.fileno()},server=on,wait=off",
            "-device", f"virtserialport,chardev=usb,name={PORT}"]


def host_options(end, controller, boot=False):
    """Of the host's QEMU; `controller` is 'qemu-xhci' or 'usb-ehci', `boot` names the drive to the firmware."""
    return ["-chardev", f"socket,id=usb,fd={end.fileno()}", "-device", f"{controller},id=controller",
            "-device", "usb-redir,id=wire,chardev=usb,bus=controller.0" + (",bootindex=1" if boot else "")]


def plugged_in(monitor):
    """Whether the host's controller has the blade's device on its port."""
    return monitor.execute("qom-get", path="/machine/peripheral/wire", property="attached")


def hand_over(blade, device="1d6b:0104"):
    """Starts in the blade what hands its gadget to the next host that is plugged in."""
    if not shutil.which("usbredirect"):
        raise Skip("usbredirect is not installed")
    return blade.start("usb-wire", ["python3", "-c", CARRIER, PORT, device])
