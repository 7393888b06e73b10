"""Writes tests/fixtures/keras_hostile: .keras files that are small and ask for more than any machine has, or have an edge
that nobody trains.

    python3 -m venv venv && venv/bin/pip install h5py numpy
    venv/bin/python tests/reference/keras_hostile.py tests/fixtures/keras_hostile
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np

INPUT = {"class_name": "InputLayer", "config": {"batch_shape": [None, 9], "name": "i"}}
EMBEDDING = {"class_name": "Embedding", "config": {"name": "embedding", "output_dim": 4}}
LSTM = {"class_name": "LSTM", "config": {"name": "lstm", "units": 3}}
FLATTEN = {"class_name": "Flatten", "config": {"name": "flatten"}}
DENSE = {"class_name": "Dense", "config": {"name": "dense", "units": 1, "activation": "sigmoid"}}


def keras(path, fill, layers, change=bytes):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    config = {"class_name": "Sequential", "config": {"layers": layers}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        archive.writestr("model.weights.h5", change(buffer.getvalue()))


def loop(file):
    file.create_dataset("layers/embedding/vars/0", data=np.zeros((30, 4), "f4"))
    group = file.create_group("layers/lstm")
    # A hard link to itself.
    group["cell"] = group


def huge(file):
    # Never allocated: a reader has to make 64 GiB of fill values.
    file.create_dataset("layers/embedding/vars/0", shape=(1, 1 << 34), dtype="f4")


def deflated(file):
    # 64 MB of zeros in 64 kB.
    file.create_dataset(
        "layers/embedding/vars/0", data=np.zeros((1 << 22, 4), "f4"), chunks=(1 << 18, 4), compression="gzip"
    )


def wide(file):
    # A small array in chunks of 2 GB.
    file.create_dataset(
        "layers/embedding/vars/0", shape=(30, 4), maxshape=(None, None), chunks=(1 << 14, 1 << 15), dtype="f4"
    )


def text(file):
    file.create_dataset("layers/embedding/vars/0", data=np.array([b"a", b"b"]))


def texts(file):
    # With `same_text`: 4,000 texts of 64 kB that are one and the same, 256 MB in 130 kB.
    group = file.create_group("layers/embedding/vars")
    group.attrs.create("names", ["x" * (1 << 16)] + [""] * 3999, dtype=h5py.string_dtype())


def same_text(contents):
    """Each text of the list is its first one: a length, the address of a heap and a number in it, 16 bytes."""
    at = contents.index((1 << 16).to_bytes(4, "little") + contents.rindex(b"GCOL").to_bytes(8, "little"))
    return contents[:at] + contents[at : at + 16] * 4000 + contents[at + 16 * 4000 :]


def one_row(file):
    file.create_dataset("layers/embedding/vars/0", data=np.ones((1, 4), "f4"))
    file.create_dataset("layers/dense/vars/0", data=np.ones((36, 1), "f4"))
    file.create_dataset("layers/dense/vars/1", data=np.zeros(1, "f4"))


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for make in [loop, huge, deflated, wide, text]:
        keras(out / f"{make.__name__}.keras", make, [INPUT, EMBEDDING, LSTM])
    keras(out / "texts.keras", texts, [INPUT, EMBEDDING, LSTM], same_text)
    keras(out / "one_row.keras", one_row, [INPUT, EMBEDDING, FLATTEN, DENSE])
