"""Writes tests/fixtures/keras_step.json: training steps of small networks, computed by real Keras in float64.

    python3.11 -m venv venv && venv/bin/pip install tensorflow-cpu==2.15.1 keras==2.15.0 numpy==1.26.4
    venv/bin/python tests/reference/keras_step.py tests/fixtures/keras_step.json

Every case has random weights, one batch of six rows, and three Adam steps on that batch. Keras hands the optimiser a
sparse gradient for the embedding and clips it before it adds up the steps of one id; here every gradient is made dense
first, so that a clipped norm is the norm of the gradient. Without clipping both ways give the same weights, which the
script checks against train_on_batch. Adam hardly sees the scale of a gradient: a large epsilon makes it see the clipping.

Keras's bias correction rounds Python's 0.9 and 0.999 to float32 before it widens them, which moves the first step by seven
parts in a million. The betas go in as float64 tensors, so that the fixture holds Adam's own numbers.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf
import keras
from keras import layers

keras.backend.set_floatx("float64")

ROWS, UNITS, TIME, BATCH = 20, 4, 7, 6


def embedding(mask_zero=False, **more):
    return {"kind": "embedding", "units": UNITS, "mask_zero": mask_zero, **more}


def lstm(units, return_sequences=False):
    return {"kind": "lstm", "units": units, "return_sequences": return_sequences}


def recurrent(kind, units, return_sequences=False, bidirectional=None, reset_after=None):
    named = {"bidirectional": bidirectional, "reset_after": reset_after}
    named = {name: value for name, value in named.items() if value is not None}
    return {"kind": kind, "units": units, "return_sequences": return_sequences, **named}


def dense(units, activation):
    return {"kind": "dense", "units": units, "activation": activation}


LAST = dense(1, "sigmoid")


def adam(learning_rate, **fit):
    betas = {"beta_1": tf.constant(0.9, tf.float64), "beta_2": tf.constant(0.999, tf.float64)}
    return keras.optimizers.Adam(learning_rate, **betas, **fit)


# name, layers, fit, weighted
CASES = [
    ("masked", [embedding(True), lstm(5, True), lstm(3), LAST], {}, False),
    ("unmasked", [embedding(), lstm(5, True), lstm(3), LAST], {}, False),
    ("masked-clipnorm", [embedding(True), lstm(5, True), lstm(3), LAST], {"clipnorm": 0.01, "epsilon": 1e-3}, False),
    ("unmasked-global-clipnorm", [embedding(), lstm(5, True), lstm(3), LAST], {"global_clipnorm": 0.02, "epsilon": 1e-3}, False),
    ("unmasked-clipvalue", [embedding(), lstm(5), LAST], {"clipvalue": 0.005, "epsilon": 1e-3}, False),
    ("max-pooling", [embedding(), lstm(5, True), {"kind": "global_max_pooling"}, LAST], {}, False),
    ("average-pooling", [embedding(), lstm(5, True), {"kind": "global_average_pooling"}, LAST], {}, False),
    ("masked-average-pooling", [embedding(True), lstm(5, True), {"kind": "global_average_pooling"}, LAST], {}, True),
    ("flatten", [embedding(), {"kind": "flatten"}, dense(4, "tanh"), dense(3, "relu"), LAST], {}, True),
    ("gru", [embedding(), recurrent("gru", 4, True), recurrent("gru", 3), LAST], {}, False),
    ("masked-gru", [embedding(True), recurrent("gru", 4), LAST], {}, False),
    ("gru-reset-before", [embedding(), recurrent("gru", 4, True, reset_after=False), recurrent("gru", 3, reset_after=False), LAST], {}, False),
    ("simple-rnn", [embedding(), recurrent("simple_rnn", 4, True), recurrent("simple_rnn", 3), LAST], {}, False),
    ("masked-simple-rnn", [embedding(True), recurrent("simple_rnn", 4), LAST], {}, True),
    ("both-ways-concat", [embedding(), recurrent("lstm", 3, True, "concat"), recurrent("lstm", 3, bidirectional="concat"), LAST], {}, False),
    ("both-ways-sum", [embedding(), recurrent("gru", 3, bidirectional="sum"), LAST], {}, False),
    ("both-ways-mul", [embedding(), recurrent("lstm", 3, bidirectional="mul"), LAST], {}, False),
    ("both-ways-ave", [embedding(), recurrent("simple_rnn", 3, True, "ave"), lstm(3), LAST], {}, False),
    ("masked-both-ways", [embedding(True), recurrent("lstm", 3, True, "concat"), recurrent("gru", 3, bidirectional="sum"), LAST], {}, False),
    ("frozen-embedding", [embedding(trainable=False), lstm(4), LAST], {}, False),
]


def build(recipe):
    model = keras.Sequential([keras.Input((TIME,), dtype="int64")])
    for layer in recipe:
        kind, args = layer["kind"], {k: v for k, v in layer.items() if k != "kind"}
        units = args.pop("units", None)
        merge = args.pop("bidirectional", None)
        made = {
            "embedding": lambda: layers.Embedding(ROWS, units, **args),
            "lstm": lambda: layers.LSTM(units, **args),
            "gru": lambda: layers.GRU(units, **args),
            "simple_rnn": lambda: layers.SimpleRNN(units, **args),
            "dense": lambda: layers.Dense(units, **args),
            "flatten": layers.Flatten,
            "global_max_pooling": layers.GlobalMaxPooling1D,
            "global_average_pooling": layers.GlobalAveragePooling1D,
        }[kind]()
        model.add(layers.Bidirectional(made, merge_mode=merge) if merge else made)
    return model


def arrays(values):
    return [{"shape": list(np.shape(v)), "values": np.asarray(v, np.float64).ravel().tolist()} for v in values]


def run(name, recipe, fit, weighted, seed):
    random = np.random.default_rng(seed)
    model = build(recipe)
    start = [random.uniform(-0.6, 0.6, w.shape) for w in model.get_weights()]
    model.set_weights(start)
    # Pre-padded rows of every length from one token to all of them; ids repeat within a row and between rows.
    lengths = [1, 2, 4, 5, TIME, TIME]
    texts = [random.integers(1, ROWS, n).tolist() for n in lengths]
    texts[3][0] = texts[3][1]
    ids = keras.utils.pad_sequences(texts, maxlen=TIME, dtype="int64")
    targets = np.array([1, 0, 0, 1, 1, 0], np.float64).reshape(BATCH, 1)
    weights = random.uniform(0.5, 2.0, BATCH) if weighted else np.ones(BATCH)
    learning_rate = 0.01
    optimizer = adam(learning_rate, **fit)
    loss_of = keras.losses.BinaryCrossentropy()
    losses, probabilities, gradients, after = [], None, None, []
    for _ in range(3):
        with tf.GradientTape() as tape:
            output = model(ids, training=True)
            loss = loss_of(targets, output, sample_weight=weights)
        found = [tf.convert_to_tensor(g) for g in tape.gradient(loss, model.trainable_variables)]
        if gradients is None:
            gradients, probabilities = [g.numpy() for g in found], output.numpy().ravel()
        losses.append(float(loss))
        optimizer.apply_gradients(zip(found, model.trainable_variables))
        after.append(model.get_weights())
    if fit:
        plain = {k: v for k, v in fit.items() if not k.startswith(("clip", "global"))}
        model.set_weights(start)
        optimizer = adam(learning_rate, **plain)
        optimizer.apply_gradients(zip([tf.constant(g) for g in gradients], model.trainable_variables))
        moved = max(np.abs(a - b).max() for a, b in zip(after[0], model.get_weights()))
        assert moved > 1e-4, (name, "nothing is clipped", moved)
    else:
        model.set_weights(start)
        model.compile(adam(learning_rate), "binary_crossentropy")
        for step in range(3):
            model.train_on_batch(ids, targets, sample_weight=weights)
            for ours, theirs in zip(after[step], model.get_weights()):
                assert np.abs(ours - theirs).max() < 1e-12, (name, step)
    return {
        "name": name,
        "layers": recipe,
        "fit": {"learning_rate": learning_rate, **fit},
        "rows": ROWS,
        "maxlen": TIME,
        "texts": texts,
        "ids": ids.tolist(),
        "targets": targets.ravel().tolist(),
        "sample_weights": weights.tolist(),
        "weights": arrays(start),
        "probabilities": probabilities.tolist(),
        "losses": losses,
        "gradients": arrays(gradients),
        "weights_after_1": arrays(after[0]),
        "weights_after_3": arrays(after[2]),
    }


def main():
    cases = [run(*case, seed=100 + at) for at, case in enumerate(CASES)]
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}
    with open(sys.argv[1], "w") as out:
        out.write('{"source": %s,\n"cases": [\n' % json.dumps({**versions, "floatx": "float64"}))
        out.write(",\n".join(json.dumps(case) for case in cases))
        out.write("\n]}\n")
    for case in cases:
        print(case["name"], case["losses"])


main()
