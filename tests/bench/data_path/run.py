#!/usr/bin/env python3
"""Measures the data path beside its peers, in turns: prints a table, writes <build's parent>/bench/results.json and
results.svg. Settings, in the environment: BENCH_SECONDS of each run (2), BENCH_ROUNDS (5), BENCH_FILE, the folder in which
the images are made and so the disk that is measured (default: beside the results), BENCH_SIZE_MIB of an image (1024).
BENCH_ONLY: figures whose names contain it; floods: what one blade's flood leaves to another, which is measured by itself.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import certificates  # noqa: E402
import floods  # noqa: E402
import growth  # noqa: E402
import loads  # noqa: E402
import picture  # noqa: E402
import servers  # noqa: E402
import stage  # noqa: E402
from figures import FIGURES, RATIOS  # noqa: E402
from programs import Unwell  # noqa: E402

CACHED_RANGE = 256 << 20


def number(name, default):
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) == 0:
        sys.exit(f"bench: {name}={text} is no whole number above 0")
    return int(text)


def measure(figure, placed, rounds, seconds, size):
    """{server: [Outcome of each round]}: A B C A B C …, so that what the machine does meanwhile meets all alike."""
    size = min(size, CACHED_RANGE) if figure.load.cached else size
    outcomes = {name: [] for name in figure.servers}
    for _ in range(rounds):
        for name in figure.servers:
            outcomes[name].append(loads.run(figure.load, placed[name], seconds, size))
    return outcomes


def value(figure, outcome):
    return outcome.iops if figure.unit == "IOPS" else outcome.mib


def entry(figure, outcomes):
    values = [round(value(figure, outcome), 1) for outcome in outcomes]
    return {"rounds": values, "median": statistics.median(values), "unit": figure.unit,
            "cpu_seconds_per_gib": round(statistics.median(outcome.cpu_gib for outcome in outcomes), 3),
            "slowest_client": round(statistics.median(outcome.slowest for outcome in outcomes), 2)}


def print_figure(figure, entries):
    ours = entries[figure.ours]["median"]
    for name, told in entries.items():
        spread = f"{min(told['rounds']):,.0f}–{max(told['rounds']):,.0f}"
        ratio = "" if name == figure.ours else f"{ours / told['median']:.2f}"
        print(f"{figure.name if name == figure.ours else '':<24} {name:<20} {told['median']:>10,.0f} {figure.unit:<6}"
              f" {spread:>20} {told['cpu_seconds_per_gib']:>9.2f} {ratio:>7}")
    sys.stdout.flush()


def gate_cost(build, figures):
    """Nanoseconds a check over nanoseconds an I/O, of the fastest figure, whose I/Os are the shortest."""
    told = json.loads(subprocess.run([f"{build}/bench/gate-cost"], capture_output=True, text=True, check=True).stdout)
    fastest = max((entries[figure.ours]["median"] for figure, entries in figures if figure.unit == "IOPS"), default=0)
    told["share"] = round(told["alone_ns"] * fastest / 1e9, 5) if fastest else None
    return told


def print_ratios(results):
    print(f"\n{'ours ÷ theirs':<36} {'ratio':>7}  goal")
    for ratio in RATIOS:
        if results.get(ratio.key) is not None:
            verdict = "" if ratio.goal is None else f"{ratio.goal}: " + (
                "met" if results[ratio.key] >= ratio.goal else "MISSED")
            print(f"{ratio.key:<36} {results[ratio.key]:>7.2f}  {verdict}")
    if results["gate_cost"] is not None:
        print(f"{'gate_cost':<36} {results['gate_cost']:>7.4f}  0.01: {'met' if results['gate_cost'] <= 0.01 else 'MISSED'}")


def place(build, folder, size):
    """Every server, and {name: Server} as the figures name them."""
    images = servers.make_images(folder, ["drivebay", "drivebay-cached", "qemu-storage-daemon", "qemu-nbd", "nbdkit"], size)
    # What is only read is one image for all; so is what is read from the page cache.
    shared = images["nbdkit"]
    pki = certificates.make(f"{folder}/pki")
    drivebay = servers.Drivebay(build, folder, images["drivebay"], images["drivebay-cached"], shared, pki)
    qemu_fuse = servers.QemuFuse(f"{folder}/qsd", images["qemu-storage-daemon"])
    qemu_nbd = servers.qemu_nbd(f"{folder}/nbd", images["qemu-nbd"])
    qemu_nbd_cached = servers.qemu_nbd_cached(f"{folder}/nbd", shared)
    nbdkit = servers.nbdkit(f"{folder}/nbd", images["nbdkit"])
    nbdkit_tls = servers.nbdkit_tls(f"{folder}/nbd", shared, pki)
    # Raw is the very file that drivebay serves: where on the disk a file lies can matter more than who reads it.
    placed = {"raw": servers.Server(images["drivebay"], None), "drivebay file": drivebay.file,
              "drivebay export": drivebay.export,
              "drivebay cached export": drivebay.cached_export, "drivebay read-only export": drivebay.read_only_export,
              "drivebay TLS export": drivebay.tls_export, "nbdkit TLS": nbdkit_tls.export,
              "qemu-storage-daemon": qemu_fuse.file, "qemu-nbd": qemu_nbd.export,
              "qemu-nbd cached": qemu_nbd_cached.export, "nbdkit": nbdkit.export}
    return [drivebay, qemu_fuse, qemu_nbd, qemu_nbd_cached, nbdkit, nbdkit_tls], placed


def measure_memory(build, folder, size):
    """MiB of an idle drivebayfs that has not served anything yet: {views: {"rss", "pss"}}."""
    images = servers.make_images(folder, ["direct", "cached", "shared"], size)
    drivebay = servers.Drivebay(build, folder, *images.values(), certificates.make(f"{folder}/pki"))
    told = {}
    for views in (14, 1000):
        drivebay.grow_to(views)
        told[views] = dict(zip(("rss", "pss"), (round(mib, 1) for mib in drivebay.data_path.memory_mib())))
        print(f"drivebayfs with {views} views, idle: {told[views]['rss']} MiB resident, {told[views]['pss']} MiB its own share",
              flush=True)
    drivebay.end()
    shutil.rmtree(folder)
    return told


def measure_growth(drivebay, folder, shared, nbdkit, rounds, seconds, size):
    os.makedirs(f"{folder}/own")
    images = servers.make_images(f"{folder}/own", [f"{number:02}" for number in range(max(growth.BLADES))], growth.IMAGE)
    own = drivebay.give_each_a_drive(images.values())
    nbdkit_folder = servers.nbdkit_folder(f"{folder}/nbd", f"{folder}/own")
    own_nbdkit = [nbdkit_folder.export_of(os.path.basename(image)) for image in images.values()]
    told = {
        "clients_of_one_image": growth.curve(
            "clients of one image", growth.CLIENTS,
            {"drivebay": lambda count: [shared] * count, "nbdkit": lambda count: [nbdkit] * count}, rounds, seconds, size),
        "blades_with_a_drive_each": growth.curve(
            "blades, a drive each", growth.BLADES,
            {"drivebay": lambda count: own[:count], "nbdkit": lambda count: own_nbdkit[:count]}, rounds, seconds,
            growth.IMAGE)}
    nbdkit_folder.end()
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release")
    build = os.path.abspath(parser.parse_args().build)
    seconds, rounds, size = number("BENCH_SECONDS", 2), number("BENCH_ROUNDS", 5), number("BENCH_SIZE_MIB", 1024) << 20
    bench = os.path.join(os.path.dirname(build), "bench")
    os.makedirs(bench, exist_ok=True)
    stage.enter_namespaces("bench")
    folder = os.path.join(os.path.abspath(os.environ.get("BENCH_FILE", bench)), "data-path")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    results = {"machine": stage.describe_machine(folder),
               "settings": {"seconds": seconds, "rounds": rounds, "image_mib": size >> 20}}
    print(", ".join(f"{key} {told}" for key, told in {**results["machine"], **results["settings"]}.items()))
    began = time.monotonic()
    only = os.environ.get("BENCH_ONLY", "")
    if not only or "memory" in only:
        os.makedirs(f"{folder}/memory")
        results["memory_mib"] = measure_memory(build, f"{folder}/memory", growth.IMAGE)
    print("making the images …", flush=True)
    running, placed = place(build, folder, size)
    print(f"\n{'':<24} {'':<20} {'median':>10} {'':<6} {'least–most':>20} {'CPU s/GiB':>9} {'ours ÷':>7}")
    measured = []
    for figure in (figure for figure in FIGURES if only in figure.name):
        outcomes = measure(figure, placed, rounds, seconds, size)
        entries = {name: entry(figure, each) for name, each in outcomes.items()}
        measured.append((figure, entries))
        print_figure(figure, entries)
    if not only or "growth" in only:
        results["growth"] = measure_growth(running[0], folder, placed["drivebay read-only export"], placed["nbdkit"],
                                           min(rounds, 3), seconds, min(size, CACHED_RANGE))
    if "floods" in only:
        image = servers.make_images(folder, ["past"], size)["past"]
        results["floods"] = floods.measure(running[0].beside_a_neighbour(image), min(rounds, 3), seconds, min(size, CACHED_RANGE))
    for program in running:
        program.end()
    results["figures"] = {figure.name: entries for figure, entries in measured}
    for ratio in RATIOS:
        entries = results["figures"].get(ratio.figure)
        results[ratio.key] = None if entries is None else round(
            entries[next(iter(entries))]["median"] / entries[ratio.theirs]["median"], 3)
    results["gate"] = gate_cost(build, measured)
    results["gate_cost"] = results["gate"]["share"]
    if measured:
        print_ratios(results)
    results["seconds"] = round(time.monotonic() - began)
    shutil.rmtree(folder, ignore_errors=True)
    with open(os.path.join(bench, "results.json"), "w") as file:
        json.dump(results, file, indent=1, ensure_ascii=False)
    drawn = picture.draw(results, RATIOS, os.path.join(bench, "results")) if measured else []
    if "growth" in results:
        drawn += growth.draw(results["growth"], os.path.join(bench, "growth"))
    print(f"\nbench: {results['seconds']} s; " + ", ".join(os.path.relpath(name) for name in
                                                          [os.path.join(bench, "results.json"), *drawn]))


try:
    main()
except Unwell as error:
    sys.exit(f"bench: {error}")
