"""Writes tests/fixtures/vectors: one set of vectors in every format, and what gensim answers.

    python3.11 -m venv .gensim && .gensim/bin/pip install gensim==4.4.0
    .gensim/bin/python tests/reference/vectors.py tests/fixtures/vectors

Two words share a vector, so that they tie. With `time FILE.txt FILE.bin` it makes a set of 400,000 x 300 and times gensim on it.
"""

import gzip
import json
import lzma
import sys
import time
from pathlib import Path

import gensim
import numpy as np
from gensim.models import KeyedVectors

ROWS, DIMENSIONS = 80, 7
QUESTIONS = [
    (["w3"], []),
    (["w3", "w10"], []),
    (["w3", "w10"], ["w44"]),
    (["w5"], ["w6", "w7"]),
    ([], ["w9"]),
    (["twin-a"], []),
    (["김치"], ["w1"]),
]


def vectors(rows, dimensions, names):
    noise = np.random.default_rng(3)
    keyed = KeyedVectors(dimensions)
    keyed.add_vectors(names, noise.normal(0, 1, (rows, dimensions)).astype(np.float32))
    return keyed


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    names = [f"w{at}" for at in range(ROWS - 3)] + ["twin-a", "twin-b", "김치"]
    keyed = vectors(ROWS, DIMENSIONS, names)
    keyed.vectors[ROWS - 2] = keyed.vectors[ROWS - 3]
    keyed.fill_norms(force=True)
    keyed.save_word2vec_format(out / "set.txt")
    keyed.save_word2vec_format(out / "set.bin", binary=True)
    # As it stands in the file: numbers are rounded there.
    keyed = KeyedVectors.load_word2vec_format(out / "set.txt")
    header, body = (out / "set.txt").read_bytes().split(b"\n", 1)
    (out / "glove.txt.gz").write_bytes(gzip.compress(body, mtime=0))
    (out / "set.vec.xz").write_bytes(lzma.compress(header + b"\n" + body))
    answers = []
    for positive, negative in QUESTIONS:
        for method, ask in [("cosine", keyed.most_similar), ("cosmul", keyed.most_similar_cosmul)]:
            if method == "cosmul" and not positive:
                continue
            found = ask(positive=positive, negative=negative, topn=6)
            answers.append(
                {"positive": positive, "negative": negative, "method": method, "similar": found}
            )
    pairs = [("w1", "w2"), ("twin-a", "twin-b"), ("w7", "김치")]
    groups = [["w1", "w2", "w3", "w4"], ["w9", "absent", "w11", "w12"], ["twin-a", "twin-b", "w3"]]
    said = {
        "source": f"gensim {gensim.__version__}",
        "most_similar": answers,
        "similarity": [[a, b, float(keyed.similarity(a, b))] for a, b in pairs],
        "doesnt_match": [[group, keyed.doesnt_match(group)] for group in groups],
    }
    (out / "answers.json").write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n")


def measure(text, binary):
    if not Path(binary).exists():
        keyed = vectors(400_000, 300, [f"word{at}" for at in range(400_000)])
        keyed.save_word2vec_format(text)
        keyed.save_word2vec_format(binary, binary=True)
    for path, is_binary in [(text, False), (binary, True)]:
        start = time.perf_counter()
        keyed = KeyedVectors.load_word2vec_format(path, binary=is_binary)
        print(f"gensim loads {path} in {time.perf_counter() - start:.1f} s")
    keyed.most_similar("word0")
    times = []
    for at in range(20):
        start = time.perf_counter()
        found = keyed.most_similar(positive=[f"word{at}", "word77"], negative=["word5"])
        times.append(time.perf_counter() - start)
    print(f"gensim answers in {1000 * sorted(times)[10]:.1f} ms (median of 20); word0: {keyed.most_similar('word0')[:2]}")


if __name__ == "__main__":
    if sys.argv[1] == "time":
        measure(*sys.argv[2:])
    else:
        main(Path(sys.argv[1]))
