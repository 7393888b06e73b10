"""The course's four networks, here and in Keras: same rows, same ids, one after the other in one run. See scripts/course.sh.

    python benches/course.py PROGRAM IMDB NAVER OUT

PROGRAM is the sentiment binary, IMDB aclImdb's train folder, NAVER the shopping reviews; "-" leaves one out. OUT gets the models,
the rows, course.json and course.md. EPOCHS in the environment takes the place of the recipes' epochs, ROWS of all rows that are
learned from (a third as many are held out).
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import keras
import numpy as np

EPOCHS = int(os.environ.get("EPOCHS", "0"))
ROWS = int(os.environ.get("ROWS", "0"))
RECIPES = Path(__file__).resolve().parent.parent / "models" / "recipes"
COURSE = [("course-imdb-dense", "imdb"), ("course-imdb-rnn", "imdb"), ("course-imdb-lstm", "imdb"), ("course-naver", "naver")]


def run(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{command[1]} failed: {done.stderr.strip()}")
    return done.stdout


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def prepare(program, name, data, out):
    """The recipe, shortened if that is asked for, and the rows that it learns from and is checked on."""
    text = (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
    if EPOCHS:
        text = re.sub(r"(?m)^epochs = \d+", f"epochs = {EPOCHS}", text)
    recipe = tomllib.loads(text)
    out.mkdir(parents=True, exist_ok=True)
    source = recipe["data"]["source"][0]["name"]
    if ROWS:
        # Of every row that there is, the first of either label.
        everything = out / "everything"
        above = recipe["data"]["source"][0].get("label_above")
        run(program, "data", "split", data, "--out", everything, "--shuffle-seed", 1, *(["--label-above", above] if above else []))
        rows = lines(everything / "train.jsonl")
        labels = ["positive", "negative"]
        some = [row for label in labels for row in [row for row in rows if row["label"] == label][: ROWS * 5 // 8]]
        data = out / "some.jsonl"
        data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some), encoding="utf-8")
        text = re.sub(r"(?m)^label_above = .*$", "", text)
    path = out / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    print(run(program, "data", "split", f"{source}={data}", "--recipe", path, "--out", out / "rows"), end="", flush=True)
    return recipe, path, f"{source}={data}"


def ours(program, name, path, data, out):
    run(program, "train", path, "--data", data, "--out", out / "models")
    bundle = max((out / "models" / name).glob("[0-9]*"), key=lambda folder: int(folder.name))
    manifest = json.loads((bundle / "manifest.json").read_text())
    epochs = json.loads((bundle / "history.json").read_text())["epochs"]
    return bundle, {"parameters": manifest["parameters"], "val_accuracy": [e["val_accuracy"] for e in epochs],
                    "seconds": [e["seconds"] for e in epochs]}


def encode(program, bundle, recipe, rows, out):
    """Padded rows of ids and labels. The course cleans what it trains on; a bundle cleans what its recipe says that serving does."""
    texts = [row["text"] for row in rows]
    if "korean" in recipe.get("text", {}).get("clean", []):
        texts = [re.sub("[^ㄱ-ㅎㅏ-ㅣ가-힣0-9 ]", "", text) for text in texts]
    # An empty text is a row of pads.
    kept = [at for at, text in enumerate(texts) if text.strip()]
    file, encoded = out / "texts.jsonl", out / "encoded.jsonl"
    file.write_text("".join(json.dumps({"text": texts[at]}, ensure_ascii=False) + "\n" for at in kept), encoding="utf-8")
    run(program, "data", "encode", "--model", bundle, "--input", file, "--output", encoded)
    ids = np.zeros((len(texts), recipe["padding"]["maxlen"]), np.int32)
    for at, line in zip(kept, lines(encoded)):
        ids[at] = line["row"]
    return ids, np.array([row["label"] == "positive" for row in rows], np.float32)


def network(recipe, rows):
    layers = keras.layers
    model = keras.Sequential()
    for at, layer in enumerate(recipe["layers"]):
        layer = dict(layer)
        kind = layer.pop("kind")
        if kind == "embedding":
            model.add(layers.Embedding(rows, layer["units"], input_length=recipe["padding"]["maxlen"]))
        else:
            kinds = {"lstm": layers.LSTM, "simple_rnn": layers.SimpleRNN, "dense": layers.Dense, "flatten": layers.Flatten}
            model.add(kinds[kind](**layer))
    fit = recipe["fit"]
    model.compile(fit.get("optimizer", "adam"), "binary_crossentropy", metrics=["accuracy"])
    return model


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, validation included, as ours are."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def theirs(recipe, bundle, arrays):
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    (x, y), held_out = arrays
    rows = json.loads((bundle / "manifest.json").read_text())["rows"]
    model, clock = network(recipe, rows), Clock()
    history = model.fit(x, y, batch_size=recipe["fit"]["batch_size"], epochs=EPOCHS or recipe["fit"]["epochs"],
                        validation_data=held_out, verbose=0, callbacks=[clock]).history
    return {"parameters": model.count_params(), "val_accuracy": history["val_accuracy"], "seconds": clock.seconds}


def epoch_seconds(side):
    """Without the first, in which Keras makes its graph, where there is another."""
    return statistics.median(side["seconds"][1:] or side["seconds"])


def line(name, result):
    one, other = result["ours"], result["keras"]
    ours_s, keras_s = epoch_seconds(one), epoch_seconds(other)
    accuracy = lambda side: f"{100 * side['val_accuracy'][-1]:.2f} % ({100 * max(side['val_accuracy']):.2f} %)"
    return (f"| `{name}` | {one['parameters']:,} | {other['parameters']:,} | {result['train']:,} + {result['validation']:,} | {len(one['seconds'])} "
            f"| {accuracy(one)} | {accuracy(other)} | {ours_s:.2f} | {keras_s:.2f} | {keras_s / ours_s:.1f} |")


def main(program, imdb, naver, out):
    out = Path(out).resolve()
    paths = {"imdb": imdb, "naver": naver}
    results = {}
    for name, kind in COURSE:
        if paths[kind] == "-":
            continue
        folder = out / name
        recipe, path, data = prepare(program, name, Path(paths[kind]).resolve(), folder)
        bundle, found = ours(program, name, path, data, folder)
        print(f"{name}: {epoch_seconds(found):.2f} s an epoch here", flush=True)
        rows = [lines(folder / "rows" / f"{part}.jsonl") for part in ("train", "validation")]
        arrays = [encode(program, bundle, recipe, part, folder) for part in rows]
        other = theirs(recipe, bundle, arrays)
        print(f"{name}: {epoch_seconds(other):.2f} s an epoch in Keras", flush=True)
        results[name] = {"train": len(rows[0]), "validation": len(rows[1]), "ours": found, "keras": other}
        if found["parameters"] != other["parameters"]:
            sys.exit(f"{name}: {found['parameters']} parameters here and {other['parameters']} in Keras")
    cores = len(os.sched_getaffinity(0))
    table = "\n".join([
        f"{cores} cores, Keras {keras.__version__}; validation accuracy after the last epoch (best epoch), median seconds per epoch behind the first.", "",
        "| recipe | parameters | in Keras | rows | epochs | validation accuracy | in Keras | s/epoch | in Keras | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|", *(line(name, result) for name, result in results.items()), ""])
    (out / "course.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "course.md").write_text(table)
    print("\n" + table)


main(*sys.argv[1:])
