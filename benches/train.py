"""Times training beside Keras and PyTorch, turn by turn in one run: make bench.

    python benches/train.py OUT TEXTS_IMDB TEXTS_NAVER

OUT gets the arrays that all of them train on, results/train.json and results/train.svg. TEXTS are reviews, one a line, for
the rows that are not random; they are called made-up unless REVIEWS_IMDB and REVIEWS_NAVER name them. KERAS and TORCH name
interpreters that have them; without one its column is missing. Every figure of the table is of 100 steps that were done, unless
STEPS says fewer for the others, which is then printed and kept; those of the curves are scaled from 12.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = int(os.environ.get("ROUNDS", "3"))
STEPS = int(os.environ.get("STEPS", "100"))
BATCHES = (32, 128)
NETWORKS = {"imdb": (32, (64, 32), 350), "naver": (16, (64, 32), 100)}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
OTHERS = [("keras", "KERAS"), ("torch", "TORCH"), ("torch-flushed", "TORCH")]
# How many times faster than Keras and than PyTorch with denormals flushed we mean to be, in batches of 32.
BARS = {"random": {"keras": 5, "torch-flushed": 2}, "reviews": {"keras": 8, "torch-flushed": 4}}
# Each size of the IMDB network by itself, the others as they are: rows, embedding, hidden, T, batch.
CURVES = {"T": [(10_000, 32, 64, t, 32) for t in (50, 100, 200, 350, 700)],
          "batch": [(10_000, 32, 64, 350, b) for b in (8, 16, 32, 64, 128)],
          "hidden": [(10_000, 32, h, 350, 32) for h in (16, 32, 64, 128, 256)]}
AXIS = {"T": 3, "batch": 4, "hidden": 2}
THREADS = [threads for threads in (1, 2, 4, 8, 16) if threads <= CORES]


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
    """Medians of rounds, ours and theirs by turns. The others count with as many threads as suits them: their own choice, or one,
    whichever was faster in the first round."""
    seconds = {"ours": []}
    threads, first = {}, {}
    others = [(name, os.environ[variable]) for name, variable in OTHERS if os.environ.get(variable)]
    for _ in range(ROUNDS):
        seconds["ours"].append(float(ours("steps", network, batch, arrays, CORES, 100)))
        for name, interpreter in others:
            if name not in threads:
                first[name] = {choice: theirs(name, interpreter, network, batch, arrays, STEPS, choice) for choice in (0, 1)}
                threads[name] = min(first[name], key=first[name].get)
                seconds[name] = [first[name][threads[name]]]
            else:
                seconds[name].append(theirs(name, interpreter, network, batch, arrays, STEPS, threads[name]))
    # One round more of the slowest would tell nothing new; one thread does.
    one = float(ours("steps", network, batch, arrays, 1, 100))
    result = {"network": network, "batch": batch, "rows": rows, "one_thread_s": one,
              "threads": {name: choice or "own choice" for name, choice in threads.items()},
              "own_choice_and_one_thread_s": {name: [found[0], found[1]] for name, found in first.items()},
              "rounds_s": seconds, **{name: statistics.median(s) for name, s in seconds.items()}}
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


def judge(results):
    """Every bar with what was reached, and those that could not be judged with the reason."""
    bars = []
    for result in results:
        if result["batch"] != 32:
            continue
        for name, least in BARS.get(result["rows"], BARS["reviews"]).items():
            found = result["ratios"].get(name)
            reason = "not judged: made-up rows" if result["rows"] == "made-up" else "not judged: not installed" if found is None else None
            verdict = reason or ("met" if found >= least else "MISSED")
            bars.append({"network": result["network"], "rows": result["rows"], "than": name, "least": least, "found": found, "verdict": verdict})
            shown = "" if found is None else f", {found:.1f} times"
            print(f"bar: {result['network']}, {result['rows']} rows, {least} times faster than {name}{shown}: {verdict}")
    return bars


def draw(results, curves):
    """Seconds of 100 steps: bars for each framework, and curves of how ours grow."""
    names, colors = ["ours", *(name for name, _ in OTHERS)], ["#2a6f97", "#a9b4c2", "#d9a05b", "#c9793a"]
    height = 60 + 90 * len(results)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="{max(height, 60 + 200 * len(curves))}" font-family="sans-serif" font-size="13">',
           '<text x="8" y="20">seconds of 100 steps (bars of a group to the same scale)</text>']
    for at, result in enumerate(results):
        y, most = 40 + 90 * at, max(result[n] for n in names if n in result)
        svg.append(f'<text x="8" y="{y + 12}">{result["network"]}, batch {result["batch"]}, {result["rows"]} rows</text>')
        for bar, (name, color) in enumerate(zip(names, colors)):
            if name in result:
                width, top = 300 * result[name] / most, y + 18 + 16 * bar
                svg.append(f'<rect x="110" y="{top}" width="{width:.1f}" height="13" fill="{color}"/><text x="8" y="{top + 11}">{name}</text>'
                           f'<text x="{116 + width:.1f}" y="{top + 11}">{result[name]:.2f}</text>')
    for panel, (name, lines) in enumerate(curves.items()):
        left, top, across, up = 560, 60 + 200 * panel, 380, 140
        points = [point for line in lines.values() for point in line]
        right, most = max(x for x, _ in points), max(s for _, s in points)
        place = lambda x, s: f"{left + across * x / right:.1f},{top + up - up * s / most:.1f}"
        svg.append(f'<text x="{left}" y="{top - 8}">seconds of 100 steps by {name} (IMDB network)</text>'
                   f'<path d="M{left},{top}v{up}h{across}" fill="none" stroke="#888"/>')
        svg += [f'<text x="{left + across * x / right - 8:.1f}" y="{top + up + 16}">{x}</text>' for x in sorted({x for x, _ in points})]
        for (label, line), color in zip(lines.items(), colors[::3] + colors[2:3]):
            svg.append(f'<polyline points="{" ".join(place(*p) for p in line)}" fill="none" stroke="{color}" stroke-width="2"/>')
            svg += [f'<text x="{left + across * x / right - 16:.1f}" y="{top + up - up * s / most - 6:.1f}">{s:.2f}</text>' for x, s in line]
            if label:
                x, s = line[-1]
                svg.append(f'<text x="{left + across * x / right + 14:.1f}" y="{top + up - up * s / most + 8:.1f}">{label}</text>')
    return "\n".join([*svg, "</svg>", ""])


def about():
    """What the figures depend on."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    git = lambda *words: subprocess.run(["git", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    versions = {}
    for module, variable in (("keras", "KERAS"), ("tensorflow", "KERAS"), ("torch", "TORCH")):
        if interpreter := os.environ.get(variable):
            asked = [interpreter, "-c", f"import importlib.metadata as m; print(m.version('{module}'))"]
            found = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
            versions[module] = found or "unknown"
    return {"processor": names[0] if names else "unknown", "cores": CORES, "instruction_set": ours("about"), "versions": versions,
            "commit": git("rev-parse", "--short", "HEAD") + ("-changed" if git("status", "--porcelain", "-uno") else ""),
            "steps": 100, "steps_of_others": STEPS, "rounds": ROUNDS, "load_before": os.getloadavg()[0]}


def main(out, *texts):
    out = Path(out).resolve()
    (out / "results").mkdir(parents=True, exist_ok=True)
    facts = about()
    peak = float(ours("peak", CORES))
    scaled = "" if STEPS == 100 else f" (of the others {STEPS} were done and scaled)"
    print(f"{facts['processor']}, {CORES} cores, {facts['instruction_set']}, load {facts['load_before']:.2f} before, "
          f"peak of matrix products {peak:.0f} GFLOP/s; seconds of 100 steps{scaled}, and times ours")
    print(f"{'':7}{'batch':>6}  {'rows':8}{'ours':>8}{'1 thread':>10}{'Keras':>9}{'':7}{'PyTorch':>9}{'':7}{'flushed':>9}{'':7}{'GFLOP/s':>9}{'of peak':>8}")
    results = []
    for network, file in zip(NETWORKS, texts):
        named = "reviews" if os.environ.get(f"REVIEWS_{network.upper()}") else "made-up"
        for batch in BATCHES:
            for rows in ("random", named):
                arrays = out / f"{network}-{batch}-{rows}.i32"
                count = int(ours("arrays", network, batch, 100, arrays, *([] if rows == "random" else [Path(file).resolve()])))
                results.append({**compare(network, batch, rows, arrays), "different_batches": count})
                show(results[-1], peak)
                arrays.unlink()
    bars = judge(results)
    curves = {name: {"": [(size[AXIS[name]], float(ours("shape", *size, CORES))) for size in sizes]} for name, sizes in CURVES.items()}
    curves["threads"] = {f"batch {batch}": [(threads, float(ours("shape", 10_000, 32, 64, 350, batch, threads))) for threads in THREADS]
                         for batch in (32, 128, 512)}
    for name, lines in curves.items():
        for label, points in lines.items():
            print(f"by {name}{label and ', ' + label}: " + ", ".join(f"{x}: {s:.2f} s" for x, s in points))
    found = {**facts, "peak_gflop_per_s": peak, "results": results, "bars": bars, "curves": curves}
    (out / "results" / "train.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "results" / "train.svg").write_text(draw(results, curves))


main(*sys.argv[1:])
