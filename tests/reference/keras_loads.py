"""Loads models that `sentiment export` wrote and compares what they answer with the golden rows of their bundles.

    python keras_loads.py BUNDLE FILE.keras FILE.h5 [BUNDLE FILE.keras FILE.h5 ...]

`golden.jsonl` has ids, cut and not padded, and the logits of the trainer's forward in double precision.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

TOLERANCE = 1e-5


def main(bundle, files):
    bundle = Path(bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    padding = manifest["recipe"]["padding"]
    golden = [json.loads(line) for line in (bundle / "golden.jsonl").read_text().splitlines()]
    # Masked steps are skipped on either side, but a maximum over time reads them: at the back they only repeat.
    side = "post" if manifest["trim"] == "masked" else padding["padding"]
    rows = [row["ids"] for row in golden]
    rows = keras.utils.pad_sequences(rows, maxlen=padding["maxlen"], padding=side)
    logits = np.array([row["logit"] for row in golden])
    expected = 1.0 / (1.0 + np.exp(-logits))
    for file in files:
        model = keras.models.load_model(file, compile=False)
        answers = model.predict(rows, verbose=0)[:, 0]
        worst = float(np.abs(answers - expected).max())
        print(f"Keras {keras.__version__}: {Path(file).name}: {len(rows)} rows, largest difference {worst:.1e}")
        if not worst < TOLERANCE:
            sys.exit(f"{file}: more than {TOLERANCE}")
        model.get_config()


if __name__ == "__main__":
    asked = sys.argv[1:]
    assert asked and len(asked) % 3 == 0, __doc__
    for at in range(0, len(asked), 3):
        main(asked[at], asked[at + 1 : at + 3])
