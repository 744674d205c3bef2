#!/usr/bin/python3 -B
"""Enter a machine of a chassis that was kept (make demo KEEP=1), or end the chassis.

    enter.py [--run FOLDER] MACHINE               a shell; exit or ^D leaves it
    enter.py [--run FOLDER] MACHINE COMMAND ...   one command; its exit status
    enter.py [--run FOLDER] --list                the machines
    enter.py [--run FOLDER] --end                 ends the chassis

Without --run it is the newest chassis that is kept.
"""
import argparse
import glob
import os
import shutil
import sys
import termios
import threading
import tty

import frames
import keep

HERE = os.path.dirname(os.path.abspath(__file__))
# Not the outer machine's start-up files: they cost emulated time and may expect its state.
SHELL = ["bash", "--noprofile", "--norc"]


def open_door(run):
    if run:
        folders = [run]
    else:
        runs = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build/chassis/run")
        folders = [os.path.dirname(door) for door in
                   sorted(glob.glob(os.path.join(glob.escape(runs), "*/door")), reverse=True)]
    for folder in folders:
        try:
            return keep.connect(folder)
        except OSError:
            continue    # the rest of a chassis that has ended
    sys.exit("enter.py: no chassis is kept" + (f" in {run}" if run else
             "; 'make demo KEEP=1' keeps one"))


def converse(door, raw):
    """Shows what comes, sends what is typed; returns the exit status."""
    def send_typed():
        while data := os.read(0, 65536):
            frames.write(door, data=data)

    before = termios.tcgetattr(0) if raw else None
    try:
        if raw:
            tty.setraw(0)
            threading.Thread(target=send_typed, daemon=True).start()
        with door.makefile("rb") as stream:
            while message := frames.read(stream):
                sys.stdout.buffer.write(message.get("out", b""))
                sys.stdout.buffer.flush()
                sys.stderr.buffer.write(message.get("err", b""))
                sys.stderr.buffer.flush()
                if "rc" in message:
                    return message["rc"]
    finally:
        if raw:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
    return None


def main():
    parser = argparse.ArgumentParser(
        description="Enter a machine of a kept chassis, or end the chassis.")
    parser.add_argument("--run", metavar="FOLDER", help="the chassis' folder (default: the newest)")
    parser.add_argument("--list", action="store_true", help="name the machines")
    parser.add_argument("--end", action="store_true", help="end the chassis")
    parser.add_argument("machine", nargs="?")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if sum([given.list, given.end, bool(given.machine)]) != 1:
        parser.error("name a machine, or say --list or --end")

    door = open_door(given.run)
    raw = False
    if given.end:
        frames.write(door, end=True)
    elif given.list:
        frames.write(door, list=True)
    else:
        raw = sys.stdin.isatty() and sys.stdout.isatty()
        request = {"machine": given.machine, "argv": given.command or SHELL,
                   "cwd": os.path.dirname(os.path.dirname(HERE))}
        if raw:
            size = shutil.get_terminal_size()
            request["tty"] = [size.lines, size.columns]
            request["env"] = {"TERM": os.environ.get("TERM", "dumb"), "PS1": r"\u@\h:\w\$ "}
        frames.write(door, **request)
    status = converse(door, raw)
    if status is None:
        sys.exit("enter.py: the machine, or the whole chassis, has ended")
    sys.exit(status if status >= 0 else 128 - status)


main()
