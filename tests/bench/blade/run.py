#!/usr/bin/python3
"""Measure a blade's host: its device with a drive of the management module in it, beside one with a plain local file in it.

    run.py [--build FOLDER]

Both are LUNs of gadgets of the same blade in the virtual chassis, on the same virtual disk hardware; the network between the
blade and the management module is delayed by 0, 1 and 5 ms a round trip, and the sequential loads with 1 ms once more with
TLS, in a chassis that is enrolled. BENCH_SECONDS (a measurement), BENCH_ROUNDS. Prints a table, who used the blade's processor
in the sequential loads with 1 ms, and what gadgetd and drivebayfs need when idle and at full rate; writes
BUILD/bench/blade.json: MB/s or reads a second of both sides in every round, ratios of medians, shares of the blade's and the
management module's processors.
"""
import argparse
import json
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "..", "chassis")]

from accounts import processor_seconds, shares  # noqa: E402
from chassis import Chassis  # noqa: E402
from deployment import Deployment  # noqa: E402
from machine import wait_until  # noqa: E402
from spec import Disk, Spec  # noqa: E402
from stage import describe_machine  # noqa: E402
from usb_gadget import by_hand, host_devices  # noqa: E402

MEGABYTES = 256
ROUND_TRIPS_MS = (0, 1, 5)
# name, what is counted (fio's HOWTO, "Terse output": fields from 1), options
LOADS = (
    ("sequential read", "MB/s", 7, "--rw=read --bs=1M --iodepth=2"),
    ("sequential write", "MB/s", 48, "--rw=write --bs=1M --iodepth=2"),
    ("random read 4k", "IOPS", 8, "--rw=randread --bs=4k --iodepth=4"),
    ("random write 4k", "IOPS", 49, "--rw=randwrite --bs=4k --iodepth=4"),
)
SEQUENTIAL = LOADS[:2]
GOAL = 0.9  # sequential, with 1 ms


def number(name, default):
    return int(os.environ.get(name, default))


def command(device, load, seconds):
    return (f"cd /run && fio --name=bench --filename={device['path']} --direct=1 --ioengine=libaio --time_based --randrepeat=0 "
            f"--runtime={seconds} --size={MEGABYTES}M --output-format=terse {load[3]}")


def measure(blade, device, load, seconds):
    _, unit, field, _ = load
    figure = float(blade.run(command(device, load, seconds), timeout=seconds + 60).out.split(";")[field - 1])
    return figure / 1000 if unit == "MB/s" else figure


def programs(blade):
    """Of gadgetd, and of drivebayfs' keeper and server: seconds of CPU so far, and resident and own KiB."""
    return blade.python(_programs)


def _programs():
    import os

    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                name, _, rest = stat.read().partition("(")[2].rpartition(")")
            if name not in ("drivebayfs", "drivebay-gadget"):
                continue
            fields = rest.split()
            with open(f"/proc/{entry}/smaps_rollup") as rollup:
                memory = {line.split(":")[0]: int(line.split()[1]) for line in rollup if line.endswith("kB\n")}
            one = found.setdefault(name, {"cpu_seconds": 0, "rss_kib": 0, "pss_kib": 0})
            one["cpu_seconds"] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            one["rss_kib"] += memory["Rss"]
            one["pss_kib"] += memory["Pss"]
        except (FileNotFoundError, ProcessLookupError, ValueError):
            continue
    return found


def need(blade, seconds, busy=None):
    """What each program needed in so many seconds, with the fio command `busy` under way or with nothing to do:
    {name: {cpu, a part of a processor; rss_kib, pss_kib, at the end of them}}."""
    fio = blade.popen(busy) if busy else None
    before = programs(blade)
    blade.channel.wait(lambda: fio is not None and fio.done, seconds)
    after = programs(blade)
    if fio is not None:
        blade.channel.wait(lambda: fio.done, seconds + 60)
    return {name: {"cpu": (one["cpu_seconds"] - before[name]["cpu_seconds"]) / seconds, "rss_kib": one["rss_kib"],
                   "pss_kib": one["pss_kib"]} for name, one in after.items()}


def in_words(parts):
    return ", ".join(f"{name} {share:.0%}" for name, share in parts if share >= 0.005)


def place(chassis, secure):
    """The host's two devices: drivebay's and the plain one."""
    deployment, blade = Deployment(chassis, enrolled=secure), chassis["blade01"]
    deployment.start()
    for machine, name in ((chassis["mm"], "drive"), (blade, "plain")):
        machine.run(f"dd if=/dev/urandom of=/data/{name}.img bs=1M count={MEGABYTES} conv=fsync status=none", timeout=120)
    deployment.drivebay("drive", "add", "drive", "--source", "/data/drive.img")
    deployment.drivebay("present", "drive", "--to", "blade01", "--access", "write", "--wait=20")
    ours = deployment.host_device("drive", "blade01")
    by_hand(blade, [{"file": "/data/plain.img"}], udc=1)
    plain = wait_until(lambda: next((one for one in host_devices(blade) if one["udc"] == 1 and one["size"]), None), 20,
                       "the plain file is on the host")
    return ours, plain


def compare(chassis, devices, load, milliseconds, seconds, rounds):
    """Both sides in turns; what is written of it."""
    figures = {side: [] for side in devices}
    spent = {}
    for _ in range(rounds):
        for side, device in devices.items():
            before = {name: processor_seconds(chassis[name]) for name in ("blade01", "mm")}
            figures[side].append(measure(chassis["blade01"], device, load, seconds))
            spent[side] = {name: shares(then, processor_seconds(chassis[name])) for name, then in before.items()}
    medians = {side: statistics.median(values) for side, values in figures.items()}
    return {"load": load[0], "round_trip_ms": milliseconds, "unit": load[1], "ratio": medians["drivebay"] / medians["plain"],
            "medians": medians, **figures, "processors": spent}


def report(found, tls):
    medians, unit = found["medians"], found["unit"]
    verdict = ""
    if found["load"].startswith("sequential") and found["round_trip_ms"] == 1 and not tls:
        verdict = f"  goal {GOAL}: {'met' if found['ratio'] >= GOAL else 'missed'}"
    print(f"{found['load']:18} {found['round_trip_ms']:>3} ms{' TLS' if tls else '':4} {medians['drivebay']:>9.1f} {unit} "
          f"{medians['plain']:>9.1f} {unit} {found['ratio']:>6.2f}{verdict}", flush=True)


def measure_chassis(build, secure, round_trips, loads, seconds, rounds):
    """(comparisons, what the programs need)"""
    # Host and service processor are one machine here: a second processor lets them work at once, as they do.
    with Chassis(["mm", Spec("blade01", udcs=2, cpus=2, disks=[Disk(mount="/data")])], build=build) as chassis:
        devices = dict(zip(("drivebay", "plain"), place(chassis, secure)))
        blade = chassis["blade01"]
        needs = {"idle": need(blade, 10)}
        compared = []
        for milliseconds in round_trips:
            chassis.delay("blade01", milliseconds / 2)
            for load in loads:
                compared.append(compare(chassis, devices, load, milliseconds, seconds, rounds))
                report(compared[-1], secure)
        for load in SEQUENTIAL:
            needs[load[0]] = need(blade, seconds, command(devices["drivebay"], load, 2 * seconds))
    return compared, needs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    given = parser.parse_args()
    seconds, rounds = number("BENCH_SECONDS", 4), number("BENCH_ROUNDS", 3)
    build = os.path.abspath(given.build)
    print(f"{'':18} {'round trip':>10} {'drivebay':>14} {'plain file':>14} {'ratio':>6}")
    compared, needs = measure_chassis(build, False, ROUND_TRIPS_MS, LOADS, seconds, rounds)
    with_tls, needs_with_tls = measure_chassis(build, True, (1,), SEQUENTIAL, seconds, rounds)
    for found in compared:
        if found["load"].startswith("sequential") and found["round_trip_ms"] == 1:
            for side, of in found["processors"].items():
                print(f"{found['load']}, {side}: the blade's processor was used by {in_words(of['blade01'])}")
    for when, programs_then in needs.items():
        for name, one in sorted(programs_then.items()):
            print(f"{name}, {when}: {one['rss_kib'] / 1024:.1f} MiB resident (PSS {one['pss_kib'] / 1024:.1f}), "
                  f"{one['cpu']:.1%} of a processor")
    os.makedirs(f"{given.build}/bench", exist_ok=True)
    with open(f"{given.build}/bench/blade.json", "w") as out:
        json.dump({"machine": describe_machine("."), "seconds": seconds, "rounds": rounds, "loads": compared, "programs": needs,
                   "with_tls": {"loads": with_tls, "programs": needs_with_tls}}, out, indent=1)


main()
