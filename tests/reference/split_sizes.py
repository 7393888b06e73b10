"""Writes tests/fixtures/rows/split_sizes.json: how many rows Keras's validation_split and scikit-learn's train_test_split set apart.

    python3.11 -m venv .split && .split/bin/pip install keras==2.15.0 tensorflow-cpu==2.15.1 scikit-learn==1.5.2
    .split/bin/python tests/reference/split_sizes.py tests/fixtures/rows/split_sizes.json
"""

import json
import sys

import numpy as np
from keras.src.engine.data_adapter import train_validation_split
from sklearn.model_selection import train_test_split

sizes = []
for fraction in (0.1, 0.15, 0.2, 0.25, 0.3, 0.33, 0.5):
    for rows in (64, 65, 77, 99, 100, 101, 250, 333, 999, 1000, 1001, 2500, 7919, 25000, 199908):
        _, tail = train_validation_split((np.zeros(rows), np.zeros(rows)), validation_split=fraction)
        _, random = train_test_split(np.zeros(rows), test_size=fraction, random_state=42)
        sizes.append([rows, fraction, len(tail[0]), len(random)])
with open(sys.argv[1], "w") as file:
    json.dump(sizes, file)
    file.write("\n")
