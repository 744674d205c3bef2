"""The ratios as bars, drawn by gnuplot: an SVG and a PNG."""
import subprocess

SCRIPT = """
set style fill solid 0.85 noborder
set grid xtics lc rgb "#d8d8d8"
set border 3 lc rgb "#808080"
set key bottom right
set tics nomirror scale 0.4
set xrange [0:{longest}]
set yrange [{rows_end}:-0.7]
set title "drivebay beside its peers: ours ÷ theirs, medians ({machine})"
set xlabel "1 is as fast; longer is faster"
set arrow from first 1, graph 0 to first 1, graph 1 nohead lc rgb "#404040" dt 2
$data << END
{rows}
END
plot $data using (0.5*$3):1:(0.5*$3):(0.36):ytic(2) with boxxyerror lc rgb "#3b6ea5" notitle, \\
     $data using ($4 > 0 ? $4 : NaN):1 with points pt 5 ps 1.1 lc rgb "#c0392b" title "goal", \\
     $data using ($3):1:(sprintf(" %.2f", $3)) with labels left notitle
"""


def draw(results, ratios, path):
    """The files that were written."""
    drawn = [ratio for ratio in ratios if results.get(ratio.key) is not None]
    rows = "\n".join(f'{place} "{ratio.key.replace("_", chr(92) * 2 + "_")}" {results[ratio.key]} {ratio.goal or -1}'
                     for place, ratio in enumerate(drawn))
    machine = f"{results['machine']['cores']} cores, kernel {results['machine']['kernel']}"
    longest = 1.12 * max(max(results[ratio.key], ratio.goal or 0) for ratio in drawn)
    script = SCRIPT.format(rows=rows, machine=machine, longest=longest, rows_end=len(drawn))
    height = 120 + 34 * len(drawn)
    files = []
    for kind, terminal in (("svg", f'svg size 1000,{height} font "sans,13" background "white"'),
                           ("png", f'pngcairo size 1000,{height} font "sans,11"')):
        subprocess.run(["gnuplot"], input=f'set terminal {terminal}\nset output "{path}.{kind}"\n{script}', text=True,
                       check=True)
        files.append(f"{path}.{kind}")
    return files
