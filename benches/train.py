"""Times training beside Keras and PyTorch, turn by turn in one run: make bench.

    python benches/train.py OUT TEXTS_IMDB TEXTS_NAVER

OUT gets the arrays that all of them train on, results/train.json and results/train.svg. TEXTS are reviews, one a line, for
the rows that are not random. KERAS and TORCH name interpreters that have them; without one its column is missing.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = int(os.environ.get("ROUNDS", "3"))
BATCHES = {32: 8, 128: 3}
NETWORKS = {"imdb": (32, (64, 32), 350), "naver": (16, (64, 32), 100)}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
OTHERS = [("keras", "KERAS"), ("torch", "TORCH"), ("torch-flushed", "TORCH")]
# Each size of the IMDB network by itself, the others as they are: rows, embedding, hidden, T, batch.
CURVES = {"T": [(10_000, 32, 64, t, 32) for t in (50, 100, 200, 350, 700)],
          "batch": [(10_000, 32, 64, 350, b) for b in (8, 16, 32, 64, 128)],
          "hidden": [(10_000, 32, h, 350, 32) for h in (16, 32, 64, 128, 256)]}
AXIS = {"T": 3, "batch": 4, "hidden": 2}


def ours(*arguments):
    command = [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "--locked", "--bench", "train", "--", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def theirs(framework, interpreter, *arguments):
    command = [interpreter, str(Path(__file__).with_name("steps.py")), framework, *map(str, arguments)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split()[-1])


def gflop(network, batch):
    """Of 100 steps on full rows: products only, forward and twice that backward."""
    embedding, hidden, steps = NETWORKS[network]
    inputs = (embedding, hidden[0])
    return 100 * batch * steps * sum(3 * 2 * (i + h) * 4 * h for i, h in zip(inputs, hidden)) / 1e9


def compare(network, batch, rows, arrays):
    seconds = {"ours": []}
    others = [(name, os.environ[variable]) for name, variable in OTHERS if os.environ.get(variable)]
    for _ in range(ROUNDS):
        seconds["ours"].append(float(ours("steps", network, batch, arrays, CORES)))
        for name, interpreter in others:
            seconds.setdefault(name, []).append(theirs(name, interpreter, network, batch, arrays))
    # One round more of the slowest would tell nothing new; one thread does.
    one = float(ours("steps", network, batch, arrays, 1))
    result = {"network": network, "batch": batch, "rows": rows, "one_thread_s": one,
              **{name: statistics.median(s) for name, s in seconds.items()}}
    result["ratios"] = {name: result[name] / result["ours"] for name, _ in others}
    return result


def show(result, peak):
    cells = "".join(f"{result.get(name, float('nan')):9.2f}{result['ratios'].get(name, float('nan')):7.1f}" for name, _ in OTHERS)
    line = f"{result['network']:7}{result['batch']:6}  {result['rows']:8}{result['ours']:8.2f}{result['one_thread_s']:10.2f}{cells}"
    if result["rows"] == "random":
        result["gflop_per_s"] = gflop(result["network"], result["batch"]) / result["ours"]
        result["of_peak"] = result["gflop_per_s"] / peak
        line += f"{result['gflop_per_s']:9.0f}{result['of_peak']:8.0%}"
    print(line, flush=True)


def draw(results, curves):
    """Seconds of 100 steps: bars for each framework, and curves of how ours grow."""
    names, colors = ["ours", *(name for name, _ in OTHERS)], ["#2a6f97", "#a9b4c2", "#d9a05b", "#c9793a"]
    height = 60 + 90 * len(results)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="{max(height, 640)}" font-family="sans-serif" font-size="13">',
           '<text x="8" y="20">seconds of 100 steps (bars of a group to the same scale)</text>']
    for at, result in enumerate(results):
        y, most = 40 + 90 * at, max(result[n] for n in names if n in result)
        svg.append(f'<text x="8" y="{y + 12}">{result["network"]}, batch {result["batch"]}, {result["rows"]} rows</text>')
        for bar, (name, color) in enumerate(zip(names, colors)):
            if name in result:
                width, top = 300 * result[name] / most, y + 18 + 16 * bar
                svg.append(f'<rect x="110" y="{top}" width="{width:.1f}" height="13" fill="{color}"/><text x="8" y="{top + 11}">{name}</text>'
                           f'<text x="{116 + width:.1f}" y="{top + 11}">{result[name]:.2f}</text>')
    for panel, (name, points) in enumerate(curves.items()):
        left, top, across, up = 560, 60 + 200 * panel, 380, 140
        right, most = max(x for x, _ in points), max(s for _, s in points)
        place = lambda x, s: f"{left + across * x / right:.1f},{top + up - up * s / most:.1f}"
        svg.append(f'<text x="{left}" y="{top - 8}">seconds of 100 steps by {name} (IMDB network)</text>'
                   f'<path d="M{left},{top}v{up}h{across}" fill="none" stroke="#888"/>'
                   f'<polyline points="{" ".join(place(*p) for p in points)}" fill="none" stroke="#2a6f97" stroke-width="2"/>')
        svg += [f'<text x="{left + across * x / right - 8:.1f}" y="{top + up + 16}">{x}</text>'
                f'<text x="{left + across * x / right - 16:.1f}" y="{top + up - up * s / most - 6:.1f}">{s:.2f}</text>' for x, s in points]
    return "\n".join([*svg, "</svg>", ""])


def main(out, *texts):
    out = Path(out).resolve()
    (out / "results").mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    peak = float(ours("peak", CORES))
    print(f"{CORES} cores, load {load:.2f} before, peak of matrix products {peak:.0f} GFLOP/s; seconds of 100 steps, and times ours")
    print(f"{'':7}{'batch':>6}  {'rows':8}{'ours':>8}{'1 thread':>10}{'Keras':>9}{'':7}{'PyTorch':>9}{'':7}{'flushed':>9}{'':7}{'GFLOP/s':>9}{'of peak':>8}")
    results = []
    for network, file in zip(NETWORKS, texts):
        for batch, count in BATCHES.items():
            for rows in ("random", "reviews"):
                arrays = out / f"{network}-{batch}-{rows}.i32"
                ours("arrays", network, batch, count, arrays, *([Path(file).resolve()] if rows == "reviews" else []))
                results.append(compare(network, batch, rows, arrays))
                show(results[-1], peak)
                arrays.unlink()
    curves = {name: [(size[AXIS[name]], float(ours("shape", *size))) for size in sizes] for name, sizes in CURVES.items()}
    for name, points in curves.items():
        print(f"by {name}: " + ", ".join(f"{x}: {s:.2f} s" for x, s in points))
    about = {"machine": platform.processor() or platform.machine(), "cores": CORES, "load_before": load, "peak_gflop_per_s": peak}
    (out / "results" / "train.json").write_text(json.dumps({**about, "results": results, "curves": curves}, indent=1) + "\n")
    (out / "results" / "train.svg").write_text(draw(results, curves))


main(*sys.argv[1:])
