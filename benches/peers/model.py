"""The model as a Python server would hold it: Keras's character tokenizer, pad_sequences, one ONNX Runtime session.

PEER_BUNDLE names the bundle's folder. Rows are padded to the full length, as Keras pads them.
"""

import json
import os
from pathlib import Path

import numpy
import onnxruntime

bundle = Path(os.environ["PEER_BUNDLE"])
config = json.loads((bundle / "tokenizer.json").read_text(encoding="utf-8"))["config"]
index = json.loads(config["word_index"])
oov = index.get(config["oov_token"])
num_words = config["num_words"] or len(index) + 1
maxlen = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["maxlen"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(bundle / "model.onnx", options, providers=["CPUExecutionProvider"])


def encode(text):
    ids = [index.get(character, oov) for character in text.lower()]
    ids = [i if i < num_words else oov for i in ids][-maxlen:]
    return [0] * (maxlen - len(ids)) + ids, max(len(ids), 1)


def predict(texts):
    """Probabilities of texts, in one run."""
    rows, lengths = zip(*map(encode, texts))
    feed = {"ids": numpy.array(rows, "int64"), "lengths": numpy.array(lengths, "int64")}
    logits = session.run(None, feed)[0].reshape(-1)
    return (1 / (1 + numpy.exp(-logits.astype("float64")))).tolist()


def answer(probability):
    return {"label": "positive" if probability > 0.5 else "negative", "score": probability}
