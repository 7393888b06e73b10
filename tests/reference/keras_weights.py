"""Writes tests/fixtures/keras from Keras exports: weights as tests/keras.rs reads them, beside predictions and tokenizer.

    python3 -m venv .venv && .venv/bin/pip install h5py==3.16.0 numpy==2.4.6
    .venv/bin/python tests/reference/keras_weights.py EXPORTS tests/fixtures/keras

EXPORTS has a folder for each model with `model_keras2.h5` (`model.save` of Keras 2.15), `predictions.json` and, where the
model reads text, `tokenizer.json`. `weights.f32` is every array of `get_weights()`, one after another, row-major,
little-endian; its shapes follow from the layers.
"""

import shutil
import sys
from pathlib import Path

import h5py
import numpy as np

MODELS = [
    "m1_embedding_dense",
    "m2_simple_rnn",
    "m3_word_lstm",
    "m4_char_lstm",
    "m5_char_gru",
    "m6_char_bilstm",
]


def arrays(path):
    with h5py.File(path) as file:
        layers = file["model_weights"]
        for layer in layers.attrs["layer_names"]:
            for weight in layers[layer].attrs["weight_names"]:
                yield np.asarray(layers[layer][weight], dtype="<f4")


def main(exports, out):
    for model in MODELS:
        source, target = Path(exports) / model, Path(out) / model
        target.mkdir(parents=True, exist_ok=True)
        weights = list(arrays(source / "model_keras2.h5"))
        print(model, [array.shape for array in weights])
        (target / "weights.f32").write_bytes(b"".join(array.tobytes() for array in weights))
        for name in ["predictions.json", "tokenizer.json"]:
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
