#!/usr/bin/python3
"""Tell drivebay's story on a virtual chassis, as it happens.

    demo.py [--build FOLDER] [--keep]

A management module (mm), two blades whose hosts get the drives, a storage server (store) that only
the management module can reach, and an operator's desk. Every step is a real command on a real
kernel; a step that fails ends the story with exit status 1. --keep leaves the chassis running.
"""
import argparse
import os
import subprocess
import sys
import time

import ending
import keep
from channel import MachineLost
from chassis import Chassis
from deployment import Deployment, sha256
from machine import wait_until
from usb_gadget import host_devices

MACHINES = ["mm", "blade01", "blade02", "store", "desk"]


class Story:
    """Prints what is done and what is seen, and remembers how long each step took."""

    def __init__(self):
        self.started = time.monotonic()
        self.steps = []
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.bold, self.dim, self.plain = ("\033[1m", "\033[2m", "\033[0m") if colour else ("",) * 3

    def step(self, title):
        self.steps.append([title, time.monotonic(), None])
        print(f"\n{self.bold}{len(self.steps)}. {title}{self.plain}", flush=True)

    def done(self):
        self.steps[-1][2] = time.monotonic() - self.steps[-1][1]

    def line(self, who, text):
        print(f"{self.dim}{time.monotonic() - self.started:7.1f} s{self.plain}  {who:8} {text}",
              flush=True)

    def table(self):
        print(f"\n{self.bold}How long each step took{self.plain}")
        for number, (title, _, seconds) in enumerate(self.steps, 1):
            print(f"  {number}. {title:70} {seconds:6.1f} s")


class Demo:
    def __init__(self, chassis, story):
        self.chassis, self.story = chassis, story
        self.deployment = Deployment(chassis, enrolled=True)
        self.mm, self.one, self.two = chassis["mm"], chassis["blade01"], chassis["blade02"]
        self.store, self.desk = chassis["store"], chassis["desk"]

    def tell(self):
        for chapter in (self.start_programs, self.read_together, self.write_and_wait,
                        self.hand_over, self.remote_drive, self.four_at_once):
            chapter()
            self.story.done()
        self.show_the_end()

    # --- chapters

    def start_programs(self):
        self.story.step("drivebay starts on the management module and on the blades")
        self.deployment.start()
        self.story.line("mm", "drivebay pki init; a token for each blade (drivebay enroll), used there by drivebay-gadgetd enroll")
        self.deployment.make_operator(self.desk)
        self.story.line("mm", "drivebay-arbiterd runs; drivebayfs is mounted at /srv/drivebay by fstab")
        for blade in self.deployment.blades:
            self.story.line(blade.name, "drivebayfs is mounted over the network; drivebay-gadgetd runs")

    def read_together(self):
        self.story.step("One ISO image, read by both hosts at once")
        make_iso(os.path.join(self.mm.folder, "install.iso"))
        self.mm.run("mv /run/chassis/install.iso '/data/install (disc 1).iso'", timeout=60)
        self.operator("drive", "add", "install", "--source", "/data/install (disc 1).iso")
        self.operator("present", "install", "--to", "blade01,blade02")
        wanted = sha256(self.mm, "'/data/install (disc 1).iso'")
        self.story.line("mm", f"the image's SHA-256: {wanted}")
        devices = {blade: self.deployment.host_device("install", blade.name)["path"]
                   for blade in (self.one, self.two)}
        jobs = {blade: blade.popen(f"sha256sum {path}") for blade, path in devices.items()}
        for blade, job in jobs.items():
            blade.channel.wait(lambda done=job: done.done, 120)
            seen = bytes(job.out).decode().split()[0]
            self.story.line(blade.name, f"host: sha256sum {devices[blade]}: {seen}")
            assert seen == wanted, "the host read other bytes than the image has"

    def write_and_wait(self):
        self.story.step("A writable drive: host 1 writes, host 2 asks for it and waits")
        self.mm.run("truncate -s 64M /data/scratch.img")
        self.operator("drive", "add", "scratch", "--source", "/data/scratch.img")
        self.operator("present", "scratch", "--to", "blade01", "--access", "write")
        device = self.deployment.host_device("scratch", "blade01")["path"]
        self.host(self.one, f"mkfs.ext4 -q -F {device}")
        self.host(self.one, f"mkdir -p /mnt/scratch && mount {device} /mnt/scratch")
        self.host(self.one, "cp /usr/share/common-licenses/GPL-2 /mnt/scratch/letter && sync")
        self.operator("present", "scratch", "--to", "blade02", "--access", "write")
        assert self.deployment.lease("scratch", "blade02")["state"] == "waiting"

    def hand_over(self):
        self.story.step("Host 1 ejects; host 2 gets the drive by itself and reads the file")
        device = self.deployment.host_device("scratch", "blade01")["path"]
        before = self.deployment.lease("scratch", "blade01")["epoch"]
        self.host(self.one, "umount /mnt/scratch")
        begin = time.monotonic()
        self.host(self.one, f"eject {device}")
        wait_until(lambda: self.deployment.slot("scratch", "blade02"), 20, "scratch on blade02")
        self.story.line("mm", f"blade02's LUN is loaded {time.monotonic() - begin:.1f} s after the eject")
        device = self.deployment.host_device("scratch", "blade02")["path"]
        after = self.deployment.lease("scratch", "blade02")["epoch"]
        self.story.line("mm", f"the lease's epoch went from {before} to {after}")
        self.host(self.two, f"fsck.ext4 -f -n {device} 2>&1 | tail -n 1")
        self.host(self.two, f"mkdir -p /mnt/scratch && mount {device} /mnt/scratch")
        self.host(self.two, "cmp /usr/share/common-licenses/GPL-2 /mnt/scratch/letter && echo the letter is intact")
        self.host(self.two, "umount /mnt/scratch")
        assert after == before + 1

    def remote_drive(self):
        self.story.step("A remote drive that only the management module can reach")
        self.store.run("head -c 8M /dev/urandom >/data/remote.img; truncate -s 32M /data/work.img", timeout=60)
        self.store.start("nbdkit", "nbdkit -f -i 10.78.0.2 -p 10810 file /data/remote.img")
        self.store.start("nbdkit-work", "nbdkit -f -i 10.78.0.2 -p 10811 file /data/work.img")
        for port in (10810, 10811):
            self.mm.wait_until(f"nbdinfo --size nbd://store.san:{port}")
        for blade in (self.one, self.two):
            refused = blade.run("busybox nc -w 1 10.78.0.2 10810 </dev/null", check=False)
            assert refused.rc != 0, f"{blade.name} reaches the store"
            self.story.line(blade.name, "cannot reach the store: " + (refused.err.strip() or "no answer"))
        self.operator("drive", "add", "remote", "--source", "nbd://store.san:10810", "--read-only", on=self.desk)
        self.operator("present", "remote", "--to", "all", on=self.desk)
        wanted = sha256(self.store, "/data/remote.img")
        for blade in (self.one, self.two):
            device = self.deployment.host_device("remote", blade.name)
            seen = sha256(blade, device["path"])
            self.story.line(blade.name, f"host: sha256sum {device['path']}: {seen}")
            assert seen == wanted, "the host read other bytes than the store has"

    def four_at_once(self):
        self.story.step("One host with four drives at once, two local and two remote")
        self.operator("drive", "add", "work", "--source", "nbd://store.san:10811")
        self.operator("present", "work", "--to", "blade02", "--access", "write")
        remote = self.deployment.host_device("remote", "blade02")["path"]
        work = self.deployment.host_device("work", "blade02")["path"]
        self.host(self.two, f"dd if={remote} of={work} bs=1M count=4 oflag=direct conv=fsync status=none")
        self.host(self.two, f"cmp -n $((4 << 20)) {remote} {work} && echo copied from remote to work: the same bytes")
        devices = host_devices(self.two)
        self.story.line("blade02", f"host: one USB device with {devices[0]['interfaces']} interfaces")
        assert devices[0]["interfaces"] == 4 and all(one["size"] for one in devices)

    # --- the end, and how a command is told

    def show_the_end(self):
        print(f"\n{self.story.bold}What each host has{self.story.plain}")
        for blade in (self.one, self.two):
            for one in host_devices(blade):
                medium = f"{one['size'] / 1e6:8.1f} MB" if one["size"] else "   no medium"
                print(f"  {blade.name}  {one['path']:9} {one['model']:17} {medium}"
                      f"{'  read-only' if one['ro'] and one['size'] else ''}")
        print(f"\n{self.story.bold}What the management module says{self.story.plain}")
        print(self.deployment.drivebay("status").out)
        self.story.table()

    def operator(self, *words, on=None):
        who = on or self.mm
        typed = " ".join(f"'{word}'" if " " in word else word for word in words)
        self.story.line(who.name, f"$ drivebay {typed}")
        result = self.deployment.drivebay(*words, on=on)
        for line in (result.out + result.err).splitlines():
            self.story.line("", line)

    def host(self, blade, command):
        self.story.line(blade.name, f"host: {command}")
        for line in blade.run(command, timeout=90).out.splitlines():
            self.story.line("", line)


def make_iso(path):
    """From real files, which every machine that can run this has."""
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", path, "-V", "INSTALL", "-r", "-J", "-graft-points",
                    "/licences=/usr/share/common-licenses", "/firmware=/usr/share/qemu"],
                   check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", help="folder with the programs (default build/release)")
    parser.add_argument("--keep", action="store_true", help="leave the chassis running")
    given = parser.parse_args()
    story = Story()

    def work(release):
        story.line("", f"booting {', '.join(MACHINES)} without hardware virtualisation …")
        with Chassis(MACHINES, build=given.build) as chassis:
            story.line("", f"all up; their logs are in {os.path.relpath(chassis.folder)}")
            Demo(chassis, story).tell()
            if given.keep:
                enter = os.path.relpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "enter.py"))
                print(f"\nThe chassis is left running. To enter a machine: {enter} blade01\nTo end it: {enter} --end")
                release(chassis, 0)
        return 0

    def told(release):
        """Ends in a sentence, whatever went wrong; the machines have ended by then."""
        try:
            return work(release)
        except KeyboardInterrupt:
            print("\ndemo: interrupted; every machine has been ended", file=sys.stderr)
            return 130
        except (AssertionError, MachineLost, OSError, subprocess.SubprocessError) as error:
            print(f"\ndemo: the story stops here: {error}\nThe machines' logs are in the folder named above.",
                  file=sys.stderr)
            return 1

    if given.keep:
        return keep.in_keeper(told)
    ending.on_signals()
    return told(None)


if __name__ == "__main__":
    sys.exit(main())
