"""Times word vectors here and in gensim, turn by turn in one run, and compares all answers: scripts/bench-vectors.sh.

    python benches/vectors.py OUT WORDS DIMENSIONS

OUT gets a made-up set in both forms, the questions and results/vectors.json.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import gensim
import numpy as np
from gensim.models import KeyedVectors

ROUNDS = int(os.environ.get("ROUNDS", "3"))
ASKED = 20


def make(out, words, dimensions):
    noise = np.random.default_rng(3)
    keyed = KeyedVectors(dimensions)
    names = [f"word{at}" for at in range(words)]
    keyed.add_vectors(names, noise.normal(0, 1, (words, dimensions)).astype(np.float32))
    files = {"text": out / f"vectors-{words}-{dimensions}.txt", "binary": out / f"vectors-{words}-{dimensions}.bin"}
    for form, file in files.items():
        if not file.exists():
            unfinished = file.with_suffix(".unfinished")
            keyed.save_word2vec_format(unfinished, binary=form == "binary")
            unfinished.rename(file)
    word = lambda: names[noise.integers(words)]
    questions = [{"positive": [word()], "negative": [], "method": "cosine"} for _ in range(ASKED)]
    questions += [{"positive": [word(), word()], "negative": [word()], "method": "cosine"} for _ in range(ASKED)]
    questions += [{"positive": [word(), word()], "negative": [word()], "method": "cosmul"} for _ in range(ASKED)]
    (out / "vectors-questions.json").write_text(json.dumps(questions))
    return files


def gensim_run(file, questions):
    """In a process of its own, as ours is."""
    start = time.perf_counter()
    keyed = KeyedVectors.load_word2vec_format(file, binary=file.endswith(".bin"))
    load = time.perf_counter() - start
    keyed.most_similar(keyed.index_to_key[0])  # The first question computes all lengths.
    seconds, answers = [], []
    for question in json.loads(Path(questions).read_text()):
        ask = {"cosine": keyed.most_similar, "cosmul": keyed.most_similar_cosmul}[question.pop("method")]
        start = time.perf_counter()
        answers.append([[word, float(score)] for word, score in ask(**question, topn=10)])
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"load_s": load, "question_s": seconds, "answers": answers}))


def output(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def compare(ours, theirs):
    """The words in their order; scores to the last digits that sums of another order leave alike."""
    worst = 0.0
    for one, other in zip(ours, theirs, strict=True):
        if [word for word, _ in one] != [word for word, _ in other]:
            sys.exit(f"answers differ: {one} here and {other} in gensim")
        worst = max([worst, *(abs(a - b) for (_, a), (_, b) in zip(one, other))])
    if worst > 1e-5:
        sys.exit(f"scores differ by {worst}")
    return worst


def main(out, words, dimensions):
    out = Path(out).resolve()
    (out / "results").mkdir(parents=True, exist_ok=True)
    files = make(out, int(words), int(dimensions))
    questions = str(out / "vectors-questions.json")
    cargo = [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "--locked", "--bench", "vectors", "--"]
    load = os.getloadavg()[0]
    result, worst = {}, 0.0
    for form, file in files.items():
        file.read_bytes()  # Both read it from memory.
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(output([*cargo, str(file), questions]))
            theirs.append(output([sys.executable, __file__, "gensim", str(file), questions]))
            worst = max(worst, compare(ours[-1]["answers"], theirs[-1]["answers"]))
        for side, runs in (("ours", ours), ("gensim", theirs)):
            kinds = {kind: statistics.median(1000 * s for run in runs for s in run["question_s"][at * ASKED:(at + 1) * ASKED])
                     for at, kind in enumerate(["similar_ms", "analogy_ms", "cosmul_ms"])}
            result[f"{form} {side}"] = {"load_s": statistics.median(run["load_s"] for run in runs), **kinds}
    print(f"{int(words):,} x {dimensions}, gensim {gensim.__version__}, load {load:.2f} before, medians of {ROUNDS} runs; "
          f"all {3 * ASKED} answers alike, scores within {worst:.1e}\n")
    kinds = {"load_s": "load", "similar_ms": "similar", "analogy_ms": "analogy", "cosmul_ms": "cosmul"}
    print(f"| set | {' | '.join(f'{kind} here | gensim | ratio' for kind in kinds.values())} |")
    print(f"|---|{'---|' * 3 * len(kinds)}")
    missed = []
    for form in files:
        one, other = result[f"{form} ours"], result[f"{form} gensim"]
        ratios = {kind: other[kind] / one[kind] for kind in kinds}
        result[f"{form} ratio"] = ratios
        unit = {kind: kind.rsplit("_", 1)[1] for kind in kinds}
        cells = [f"{one[kind]:.2f} {unit[kind]} | {other[kind]:.2f} {unit[kind]} | {ratios[kind]:.1f}" for kind in kinds]
        print(f"| {form} | {' | '.join(cells)} |")
        missed += [f"{kinds[kind]} ({form})" for kind in kinds if ratios[kind] < 1.0]
    print("\nsets load faster and questions are no slower than in gensim: " + ("not met by " + ", ".join(missed) if missed else "met"))
    about = {"words": int(words), "dimensions": int(dimensions), "load_before": load, "worst_difference": worst, "missed": missed}
    (out / "results" / "vectors.json").write_text(json.dumps({**about, **result}, indent=1) + "\n")


if sys.argv[1] == "gensim":
    gensim_run(*sys.argv[2:])
else:
    main(*sys.argv[1:])
