"""How the throughput grows: with the clients of one cached image, and with the blades that each read a drive of their own."""
import statistics
import subprocess

import loads

CLIENTS = (1, 2, 4, 8, 16, 64)
BLADES = (1, 2, 4, 8, 14)
IMAGE = 64 << 20  # of each blade's drive

CURVES = """
set grid lc rgb "#d8d8d8"
set border 3 lc rgb "#808080"
set tics nomirror scale 0.4
set logscale x 2
set yrange [0:]
set key bottom right
set ylabel "MiB/s, all together"
set multiplot layout 1,2 title "NBD from the page cache, 64 KiB random reads, 4 in flight each"
set xlabel "clients of one image"
plot {clients}
set xlabel "blades, each with a drive of its own"
plot {blades}
unset multiplot
"""


def point(servers, load, seconds, size):
    """Total MiB/s and the slowest client's part of an equal share, of fio with one job a server."""
    outcome = loads.run_each(load, servers, seconds, size)
    return outcome.mib, outcome.slowest


def curve(name, counts, places, rounds, seconds, size):
    """`places`: {who: count -> [Server]}, in turns. Returns {who: {count: {mib, slowest}}} and prints it as it comes."""
    load = loads.Load("randread", "64k", 4, cached=True)
    who_all = list(places)
    print(f"\n{name:<28}" + "".join(f"{who + ', MiB/s':>28} {'slowest':>8}" for who in who_all) + f"{'ours ÷':>9}")
    told = {who: {} for who in who_all}
    for count in counts:
        outcomes = {who: [] for who in who_all}
        for _ in range(rounds):
            for who in who_all:
                outcomes[who].append(point(places[who](count), load, seconds, size))
        row = f"{count:<28}"
        for who in who_all:
            mib, slowest = (statistics.median(values) for values in zip(*outcomes[who]))
            told[who][count] = {"mib": round(mib), "slowest": round(slowest, 2)}
            row += f"{mib:>28,.0f} {slowest:>8.2f}"
        ours, theirs = (told[who][count]["mib"] for who in who_all)
        print(f"{row}{ours / theirs:>9.2f}", flush=True)
    return told


def draw(growth, path):
    def lines(curves):
        return ", ".join(f"'-' using 1:2 with linespoints pt 7 lw 2 title '{who}'" for who in curves) + "\n" + "".join(
            "\n".join(f"{count} {told['mib']}" for count, told in points.items()) + "\ne\n" for points in curves.values())

    files = []
    script = CURVES.format(clients=lines(growth["clients_of_one_image"]), blades=lines(growth["blades_with_a_drive_each"]))
    for kind, terminal in (("svg", 'svg size 1000,420 font "sans,13" background "white"'),
                           ("png", 'pngcairo size 1000,420 font "sans,11"')):
        subprocess.run(["gnuplot"], input=f'set terminal {terminal}\nset output "{path}.{kind}"\n{script}', text=True,
                       check=True)
        files.append(f"{path}.{kind}")
    return files
