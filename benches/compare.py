"""Times text encoding beside Keras, turn by turn in one run: make bench.

    python benches/compare.py OUT [REVIEWS]

OUT gets the made-up reviews and results/text.json. REVIEWS is a file of one text a line that is
timed as well, by words and by characters. Without Keras (another Python started this) only our own figures are shown.
"""

import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
TEXT_ROUNDS = 5


def ours(bench, *arguments):
    command = [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "--locked", "--bench", bench, "--", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def seconds(call):
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


def keras_text(texts, level):
    from keras.preprocessing.text import Tokenizer
    from keras.utils import pad_sequences

    num_words, maxlen = (10_000, 350) if level == "word" else (2_500, 100)
    tokenizer = Tokenizer(num_words=num_words, char_level=level == "char", oov_token="<OOV>")
    fit, _ = seconds(lambda: tokenizer.fit_on_texts(texts))
    encode, sequences = seconds(lambda: tokenizer.texts_to_sequences(texts))
    pad, rows = seconds(lambda: pad_sequences(sequences, maxlen=maxlen))
    digest = hashlib.sha256(rows.astype("<i4").tobytes()).hexdigest()
    return {"fit_s": fit, "encode_s": encode, "encode_and_pad_s": encode + pad, "ids_sha256": digest}


def medians(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0] if key.endswith("_s")}


def compare_text(path, level, keras):
    texts = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    rounds, theirs = [], []
    for _ in range(TEXT_ROUNDS):
        rounds.append(json.loads(ours("text", "time", str(path.resolve()), level)))
        if keras:
            theirs.append(keras_text(texts, level))
    mine = {**rounds[0], **medians(rounds)}
    print(f"\n{path.name}, by {level}: {mine['texts']} texts, {mine['tokens']} tokens, "
          f"{mine['allocations'] / mine['texts']:.3f} allocations a text")
    result = {"file": path.name, "level": level, "ours": mine, "rounds": len(rounds)}
    if theirs:
        result["keras"] = {**theirs[0], **medians(theirs)}
        result["ids_equal"] = all(r["ids_sha256"] == theirs[0]["ids_sha256"] for r in rounds + theirs)
    names = [("fit_s", "fit"), ("encode_s", "texts to ids"), ("encode_and_pad_s", "texts to padded ids"),
             ("encode_all_threads_s", f"texts to ids, {mine['threads']} threads")]
    print(f"{'':32}{'texts/s':>12}{'Keras':>12}{'ratio':>8}")
    for key, name in names:
        line = f"{name:32}{mine['texts'] / mine[key]:12.0f}"
        if theirs:
            other = result["keras"]["encode_s" if "threads" in key else key]
            result[key.replace("_s", "_ratio")] = other / mine[key]
            line += f"{mine['texts'] / other:12.0f}{other / mine[key]:8.1f}"
        print(line)
    if theirs:
        print("ids equal:", result["ids_equal"])
        if not result["ids_equal"]:
            sys.exit(f"{path.name}, by {level}: the ids differ from those of Keras")
    return result


def machine():
    model = platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}


def main(out, reviews=None):
    about = machine()
    print(f"{about['processor']}, {about['cores']} cores, load {about['load_before']:.2f} before")
    try:
        import keras
        about["keras"] = keras.__version__
    except ImportError:
        keras = None
    out = Path(out)
    (out / "results").mkdir(parents=True, exist_ok=True)
    ours("text", "generate", str(out.resolve()))
    files = [(out / "english.txt", "word"), (out / "korean.txt", "char")]
    if reviews:
        files += [(Path(reviews), "word"), (Path(reviews), "char")]
    text = [compare_text(path, level, keras) for path, level in files]
    (out / "results" / "text.json").write_text(json.dumps({**about, "results": text}, indent=1) + "\n")


main(*sys.argv[1:])
