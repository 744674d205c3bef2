"""What is measured, side by side: each serves an image of its own on the same disk, as a file or as an NBD export; raw is
drivebay's image without drivebay.

`where` is what the load program is given: a path or an NBD URI. `program` is the process whose CPU counts; None for the
raw file, which costs nobody but the kernel.
"""
import os
import shutil
import subprocess

from programs import Arbiter, DataPath, Program, Unwell, wait_until

BLADE = "blade01"
NEIGHBOUR = "blade02"  # reads what blade01 reads


def is_mounted(path):
    with open("/proc/self/mounts") as mounts:
        return any(line.split()[1] == path for line in mounts)


class Server:
    def __init__(self, where, program):
        self.where, self.program = where, program

    def cpu_seconds(self):
        return self.program.cpu_seconds() if self.program else 0.0


class Drivebay:
    """The whole management module: arbiter, drivebayfs, and three drives presented to one blade: one past the page cache,
    one through it, and a read-only one, which goes through it by itself."""

    def __init__(self, build, folder, image, cached_image, read_only_image, certificates):
        self.arbiter = Arbiter(build, f"{folder}/arbiter", 14740, 10000)
        self.data_path = DataPath(build, f"{folder}/drivebayfs", self.arbiter, 14809,
                                  'drives: { page_cache = [ "cached" ]; direct = [ "past" ]; };\n',
                                  f'tls: {{ certificate = "{certificates}/server-cert.pem"; '
                                  f'key = "{certificates}/server-key.pem"; }};')
        self.arbiter.ask("POST", "/v1/blades", {"name": BLADE})
        self.present("direct", image, 0, "write")
        self.present("cached", cached_image, 1, "write")
        self.present("shared", read_only_image, 2, "read")
        self.file = Server(self.path("direct"), self.data_path)
        self.export, self.cached_export, self.read_only_export = map(self.export_of, ("direct", "cached", "shared"))
        self.tls_export = self.export_of("shared", scheme="nbds")

    def path(self, drive, blade=BLADE):
        return f"{self.data_path.mount}/blades/{blade}/{drive}"

    def export_of(self, drive, blade=BLADE, scheme="nbd"):
        return Server(f"{scheme}+unix:///{blade}/{drive}?socket={self.data_path.folder}/nbd.sock", self.data_path)

    def present(self, drive, image, slot, access):
        self.data_path.add_drive(drive, image, read_only=access == "read")
        self.present_to([BLADE], drive, slot, access)

    def present_to(self, blades, drive, slot=0, access="read"):
        self.arbiter.ask("POST", "/v1/presentations",
                         {"drive": drive, "blades": blades, "slot": slot, "access": access, "policy": "queue"})
        path = self.path(drive, blades[-1])
        wait_until(lambda: os.path.exists(path), f"{path} is there")

    def beside_a_neighbour(self, image):
        """Two drives that a neighbour reads, too, one of this image: {how: (the neighbour's place, blade01's)}."""
        self.present("past", image, 3, "read")
        self.arbiter.ask("POST", "/v1/blades", {"name": NEIGHBOUR})
        for slot, drive in enumerate(("shared", "past")):
            self.present_to([NEIGHBOUR], drive, slot)
        return {f"{how}, {through}": (own, self.export_of(drive))
                for drive, through in (("past", "past the cache"), ("shared", "page cache"))
                for how, own in (("file", Server(self.path(drive, NEIGHBOUR), self.data_path)), ("NBD", self.export_of(drive, NEIGHBOUR)))}

    def give_each_a_drive(self, images):
        """One more blade for each image, with a drive of its own; their exports."""
        exports = []
        for number, image in enumerate(images):
            blade, drive = f"alone{number:02}", f"own{number:02}"
            self.arbiter.ask("POST", "/v1/blades", {"name": blade})
            self.data_path.add_drive(drive, image, read_only=True)
            self.present_to([blade], drive)
            exports.append(self.export_of(drive, blade))
        return exports

    def grow_to(self, views):
        """Presents the read-only drive to so many blades more that there are as many views."""
        there = len(self.arbiter.ask("GET", "/v1/status")["leases"])
        blades = [f"one-of-many{number:04}" for number in range(there, views)]
        for blade in blades:
            self.arbiter.ask("POST", "/v1/blades", {"name": blade})
        self.present_to(blades, "shared")

    def end(self):
        self.data_path.end()
        self.arbiter.end()


class QemuFuse:
    """qemu-storage-daemon's FUSE export: a regular file becomes the drive."""

    def __init__(self, folder, image):
        os.makedirs(folder, exist_ok=True)
        file = f"{folder}/export"
        open(file, "w").close()
        self.program = Program("qemu-storage-daemon", [
            "qemu-storage-daemon", "--blockdev",
            f"driver=file,node-name=image,filename={image},cache.direct=on,aio=native", "--export",
            f"type=fuse,id=export,node-name=image,mountpoint={file},writable=on"], folder)
        wait_until(lambda: is_mounted(file), "qemu-storage-daemon's export is mounted")
        self.file = Server(file, self.program)

    def end(self):
        self.program.end()


class NbdPeer:
    def __init__(self, name, command, folder, scheme="nbd"):
        os.makedirs(folder, exist_ok=True)
        self.scheme = scheme
        self.socket = f"{folder}/{name}.sock"
        self.program = Program(name, [word.replace("SOCKET", self.socket) for word in command], folder)
        wait_until(lambda: os.path.exists(self.socket), f"{name} listens")
        self.export = self.export_of("")

    def export_of(self, name):
        return Server(f"{self.scheme}+unix:///{name}?socket={self.socket}", self.program)

    def end(self):
        self.program.end()


def qemu_nbd(folder, image):
    return NbdPeer("qemu-nbd", ["qemu-nbd", "--format=raw", "--cache=none", "--aio=native", "--shared=0", "--persistent",
                                "--socket=SOCKET", image], folder)


def qemu_nbd_cached(folder, image):
    # No locking: its own locks and those of the others that read the same image exclude each other.
    options = f"driver=raw,file.driver=file,file.filename={image},file.locking=off,file.aio=threads"
    return NbdPeer("qemu-nbd-cached", ["qemu-nbd", "--image-opts", "--cache=writeback", "--read-only", "--shared=0",
                                       "--persistent", "--socket=SOCKET", options], folder)


def nbdkit_tls(folder, image, certificates):
    return NbdPeer("nbdkit-tls", ["nbdkit", "--foreground", "--unix", "SOCKET", "--tls=require",
                                  f"--tls-certificates={certificates}", "file", image], folder, scheme="nbds")


def nbdkit_folder(folder, images):
    """One nbdkit with an export for each file of a folder."""
    return NbdPeer("nbdkit-folder", ["nbdkit", "--foreground", "--unix", "SOCKET", "file", f"dir={images}"], folder)


def nbdkit(folder, image):
    return NbdPeer("nbdkit", ["nbdkit", "--foreground", "--unix", "SOCKET", "file", image], folder)


def make_images(folder, names, size):
    """Files of `size` bytes with the same random contents, every block written: none is sparse, none compresses."""
    free = shutil.disk_usage(folder).free
    if free < (len(names) + 1) * size:
        raise Unwell(f"{folder} has {free >> 20} MiB free, the images need {len(names) * size >> 20} MiB: "
                     "set BENCH_FILE to a folder on a larger disk, or BENCH_SIZE_MIB")
    images = {name: f"{folder}/{name}.img" for name in names}
    first = images[names[0]]
    subprocess.run(["dd", "if=/dev/urandom", f"of={first}", "bs=1M", f"count={size >> 20}", "conv=fsync", "status=none"],
                   check=True)
    for name in names[1:]:
        subprocess.run(["dd", f"if={first}", f"of={images[name]}", "bs=1M", "conv=fsync", "status=none"], check=True)
    return images
