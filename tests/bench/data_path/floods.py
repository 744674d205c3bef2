"""What one blade's flood of requests leaves to another blade of the same drive: its reads a second beside the flood, over those alone."""
import contextlib
import statistics
import subprocess
import time

import loads
from programs import Unwell

# Of NBD clients with `depth` requests in flight each, all of whose replies are taken.
FLOODS = {"1 × 32 MiB": (1, "32m", 64), "4 × 32 MiB": (4, "32m", 16), "4 × 64 KiB": (4, "64k", 1024), "4 × 512 bytes": (4, "512", 1024)}
DEPTHS = (32, 1)


@contextlib.contextmanager
def flood(place, clients, block, depth, size):
    """Niced: it is the server that is measured, not who gets the processor to ask it."""
    load = loads.Load("randread", block, depth, clients)
    command = ["nice", "-n", "19", *load.command([place.where], 3600, size)]
    before = place.cpu_seconds()
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 20
        while place.cpu_seconds() < before + 0.2:
            if program.poll() is not None or time.monotonic() > limit:
                raise Unwell(f"no flood comes: {' '.join(command)}")
            time.sleep(0.05)
        yield
    finally:
        program.kill()
        program.wait()


def measure(places, rounds, seconds, size):
    """`places`: {how: (who reads, who floods)}. {how, depth: {flood: {reads a second, part of alone}}}, printed as it comes."""
    print(f"\n{'reads a second beside':<34}{'nobody':>10}" + "".join(f"{name:>20}" for name in FLOODS))
    told = {}
    for how, (reader, greedy) in places.items():
        for depth in DEPTHS:
            load = loads.Load("randread", "4k", depth, cached="page cache" in how)
            found = {name: [] for name in ("nobody", *FLOODS)}
            for _ in range(rounds):
                found["nobody"].append(loads.run(load, reader, seconds, size).iops)
                for name, kind in FLOODS.items():
                    with flood(greedy, *kind, size):
                        found[name].append(loads.run(load, reader, seconds, size).iops)
            medians = {name: statistics.median(values) for name, values in found.items()}
            told[f"{how}, {depth} in flight"] = {
                name: {"reads": round(median), "of_alone": round(median / medians["nobody"], 2)} for name, median in medians.items()}
            print(f"{how + ', ' + str(depth) + ' in flight':<34}{medians['nobody']:>10,.0f}" + "".join(
                f"{medians[name]:>13,.0f} ({medians[name] / medians['nobody']:.2f})" for name in FLOODS), flush=True)
    return told
