"""Who used a machine's processors: seconds by name since it was booted, and what they came to between two moments."""

# Of a process' name, what its work is called. What is not here, or ended meanwhile, is 'other'.
CALLED = {
    "usb-storage": "the host's usb-storage",
    "file-storage": "the LUN",
    "drivebayfs": "drivebayfs",
    "drivebay-gadget": "gadgetd",
    "drivebay-arbite": "arbiterd",
}


def processor_seconds(machine):
    return machine.python(_processor_seconds, CALLED)


def _processor_seconds(called):
    import os

    tick = os.sysconf("SC_CLK_TCK")
    with open("/proc/stat") as stat:
        # user nice system idle iowait irq softirq (proc(5))
        fields = [int(field) / tick for field in stat.readline().split()[1:8]]
    found = {"idle": fields[3] + fields[4], "interrupts": fields[5] + fields[6]}
    named = 0
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                name, _, rest = stat.read().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        own = sum(int(field) for field in rest.split()[11:13]) / tick
        if name in called:
            found[called[name]] = found.get(called[name], 0) + own
            named += own
    found["other"] = sum(fields) - found["idle"] - found["interrupts"] - named
    return found


def shares(before, after):
    """Of all processor time in between, largest first: [(name, share)]."""
    spent = {name: after[name] - before.get(name, 0) for name in after}
    whole = sum(spent.values())
    return sorted(((name, seconds / whole) for name, seconds in spent.items()), key=lambda pair: -pair[1]) if whole else []
