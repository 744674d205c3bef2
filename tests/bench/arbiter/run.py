#!/usr/bin/env python3
"""Measures the arbiter: run.py [--build FOLDER]. Prints a table, writes <build's parent>/bench/arbiter.json.

Everything runs in mount, network and process namespaces of its own, on loopback; needs root and /dev/fuse. etcd, for the
comparison, is the installed one or comes unpacked from Debian's package.
"""
import argparse
import json
import os
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import measures  # noqa: E402
import stage  # noqa: E402
from etcd import Etcd  # noqa: E402
from programs import Unwell  # noqa: E402


def shown(value):
    return ", ".join(f"{key.replace('_', ' ')} {number}" for key, number in value.items())


def print_rows(rows):
    for entry in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[entry["met"]]
        print(f"{entry['figure']:<58} {shown(entry['value'])}")
        if entry["goal"]:
            print(f"{'':<58} goal {entry['goal']}: {verdict}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--only", choices=["acquire", "handover", "sessions"], help="one part alone")
    parser.add_argument("--folder", help="where all data is kept, so on which disk (default: beside the report)")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    bench = os.path.join(os.path.dirname(build), "bench")
    os.makedirs(bench, exist_ok=True)
    # Before the network is gone.
    etcd = None
    if options.only in (None, "acquire"):
        etcd = Etcd.find(os.path.join(bench, "etcd"))
    stage.enter_namespaces("bench-arbiter")
    folder = os.path.join(options.folder or bench, "arbiter")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    report = {"machine": stage.describe_machine(folder), "rows": []}
    print(shown(report["machine"]))
    began = time.monotonic()
    parts = {"acquire": lambda: measures.acquire_and_renew(build, folder, etcd),
             "handover": lambda: measures.handover_and_crash(build, folder),
             "sessions": lambda: measures.many_sessions(build, folder)}
    for name, part in parts.items():
        if options.only in (None, name):
            rows = part()
            print_rows(rows)
            report["rows"] += rows
    report["seconds"] = round(time.monotonic() - began)
    shutil.rmtree(folder, ignore_errors=True)
    with open(os.path.join(bench, "arbiter.json"), "w") as file:
        json.dump(report, file, indent=1)
    print(f"bench-arbiter: {report['seconds']} s; {os.path.join(os.path.relpath(bench), 'arbiter.json')}")


try:
    main()
except Unwell as error:
    sys.exit(f"bench-arbiter: {error}")
