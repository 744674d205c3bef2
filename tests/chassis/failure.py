"""What is printed of a failing test: where it failed, and the ends of what the machines logged."""
import glob
import os

CONSOLE_LINES = 8
LOG_LINES = 15


def tail(path, lines):
    with open(path, "rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - 16384))
        text = log.read().decode(errors="replace").replace("\r", "")
    return text.strip("\n").split("\n")[-lines:]


def report(chassis, trace):
    """Text of many lines, indented; names the folder where all of it is."""
    parts = [trace.rstrip()]
    for path in sorted(glob.glob(os.path.join(glob.escape(chassis.folder), "*/*.log"))):
        lines = CONSOLE_LINES if path.endswith("/console.log") else LOG_LINES
        end = tail(path, lines)
        if end != [""]:
            parts.append(f"--- {os.path.relpath(path, chassis.folder)}\n" + "\n".join(end))
    parts.append(f"--- all logs: {chassis.folder}")
    return "\n".join("     " + line for line in "\n".join(parts).split("\n"))
