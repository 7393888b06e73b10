"""Writes tests/fixtures/keras_small: small models of many layers in every file format, with what `predict` answers.

    python3.11 -m venv .two && .two/bin/pip install keras==2.15.0 tensorflow-cpu==2.15.1 tf2onnx==1.16.1 onnx==1.15.0
    python3.11 -m venv .three && .three/bin/pip install keras==3.15.1 tensorflow-cpu==2.21.0 tf2onnx==1.17.0 onnx
    .two/bin/python tests/reference/keras_small.py 2 tests/fixtures
    .three/bin/python tests/reference/keras_small.py 3 tests/fixtures

Names of models behind the folder make those alone.

Weights are random. Pads stand at the front alone, so that a model that masks them can be fed without.
`keras_refused` gets models that have no place here, each named after the layer that is in the way.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers as l

ROWS, UNITS, MAXLEN = 30, 4, 9


def sequential(*layers, embedding=None, length=MAXLEN):
    return keras.Sequential(
        [keras.Input((length,)), l.Embedding(ROWS, UNITS, **(embedding or {})), *layers]
    )


def top(**arguments):
    return l.Dense(1, activation="sigmoid", **arguments)


def functional():
    ids = keras.Input((MAXLEN,), dtype="int32", name="tokens")
    x = l.Embedding(ROWS, UNITS, name="words")(ids)
    x = l.SpatialDropout1D(0.3)(x)
    x = l.Bidirectional(l.LSTM(3, return_sequences=True))(x)
    x = l.concatenate([l.GlobalMaxPooling1D()(x), l.GlobalAveragePooling1D()(x)])
    x = l.Dense(5, activation="relu", name="hidden")(x)
    return keras.Model(ids, top(name="answer")(l.Dropout(0.5)(x)))


def mean_first():
    ids = keras.Input((MAXLEN,), dtype="int32", name="tokens")
    x = l.LSTM(4, return_sequences=True)(l.Embedding(ROWS, UNITS)(ids))
    x = l.concatenate([l.GlobalAveragePooling1D()(x), l.GlobalMaxPooling1D()(x)])
    return keras.Model(ids, top()(l.Dense(3, activation="tanh")(x)))


MODELS = {
    "functional_pools_both": functional,
    "softmax_of_two": lambda: sequential(l.GRU(5), l.Dense(2, activation="softmax")),
    "activation_layers": lambda: sequential(
        l.LSTM(5), l.Dense(4), l.Activation("tanh"), l.Dense(1), l.Activation("sigmoid")
    ),
    "without_biases": lambda: sequential(
        l.LSTM(5, use_bias=False, return_sequences=True),
        l.GRU(4, use_bias=False, return_sequences=True),
        l.SimpleRNN(3, use_bias=False),
        top(use_bias=False),
    ),
    "masked_lstm": lambda: sequential(
        l.LSTM(5, return_sequences=True, dropout=0.1, recurrent_dropout=0.1),
        l.LSTM(4),
        top(),
        embedding={"mask_zero": True},
    ),
    "masked_both_ways": lambda: sequential(
        l.Bidirectional(l.GRU(4)), top(), embedding={"mask_zero": True}
    ),
    "masked_mean": lambda: sequential(
        l.GlobalAveragePooling1D(), l.Dense(6, activation="relu"), top(), embedding={"mask_zero": True}
    ),
    "merge_sum": lambda: sequential(
        l.Bidirectional(l.SimpleRNN(4, return_sequences=True), merge_mode="sum"),
        l.Bidirectional(l.LSTM(4), merge_mode="mul"),
        top(),
    ),
    "merge_ave": lambda: sequential(l.Bidirectional(l.LSTM(4), merge_mode="ave"), top()),
    "time_distributed": lambda: sequential(
        l.TimeDistributed(l.Dense(3, activation="tanh")),
        l.GaussianNoise(0.1),
        l.LSTM(4, return_sequences=True),
        l.GlobalMaxPooling1D(),
        top(),
    ),
    "open_length": lambda: sequential(l.LSTM(4), top(), length=None),
    "flatten": lambda: sequential(l.Flatten(), l.Dense(3, activation="relu"), top()),
    "lstm_relu": lambda: sequential(
        l.LSTM(4, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True),
        l.SimpleRNN(3, activation="sigmoid"),
        top(),
    ),
    "gru_reset_before": lambda: sequential(
        l.GRU(4, reset_after=False, return_sequences=True),
        l.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid", use_bias=False),
        l.Dense(3, activation="hard_sigmoid"),
        top(),
    ),
    "go_backwards": lambda: sequential(
        l.LSTM(3, return_sequences=True), l.GRU(4, go_backwards=True), top()
    ),
    "masked_backwards": lambda: sequential(
        l.LSTM(4, go_backwards=True), top(), embedding={"mask_zero": True}
    ),
    "frozen": lambda: sequential(
        l.LSTM(4, trainable=False), l.Dense(3), top(), embedding={"trainable": False}
    ),
    "pools_mean_first": mean_first,
    "masked_flatten": lambda: sequential(
        l.Dropout(0.2), l.Flatten(), l.Dense(3, activation="relu"), top(), embedding={"mask_zero": True}
    ),
}

# ONNX of other signatures than Keras's own: ids of 64 and 32 bits, rows of any length, and names that ours have too.
SIGNATURES = {
    "signature_int64": ("int64", None, "ids", "logit"),
    "signature_int32": ("int32", MAXLEN, "lengths", "ids"),
}


def text_vectorization():
    words = l.TextVectorization(output_sequence_length=MAXLEN, vocabulary=["good", "bad"])
    return keras.Sequential([keras.Input((1,), dtype="string"), words, l.Embedding(ROWS, UNITS), l.LSTM(3), top()])


def two_inputs():
    one, other = keras.Input((MAXLEN,), name="one"), keras.Input((MAXLEN,), name="other")
    table = l.Embedding(ROWS, UNITS)
    return keras.Model([one, other], top()(l.LSTM(3)(l.add([table(one), table(other)]))))


REFUSED = {
    "text_vectorization": text_vectorization,
    "batch_normalization": lambda: sequential(l.LSTM(3), l.BatchNormalization(), top()),
    "layer_normalization": lambda: sequential(l.LayerNormalization(), l.LSTM(3), top()),
    "masking": lambda: keras.Sequential([keras.Input((MAXLEN, 2)), l.Masking(), l.LSTM(3), top()]),
    "two_inputs": two_inputs,
    "no_embedding": lambda: keras.Sequential([keras.Input((MAXLEN,)), l.Dense(4), top()]),
    "conv1d": lambda: sequential(l.Conv1D(3, 2), l.GlobalMaxPooling1D(), top()),
    "lstm_elu": lambda: sequential(l.LSTM(3, activation="elu"), top()),
    "backwards_sequences": lambda: sequential(
        l.Dropout(0.1), l.LSTM(3, go_backwards=True, return_sequences=True), l.LSTM(2), top()
    ),
    "dense_gelu": lambda: sequential(l.LSTM(3), l.Dense(4, activation="gelu"), top()),
    "three_classes": lambda: sequential(l.LSTM(3), l.Dense(3, activation="softmax")),
    "masked_max": lambda: sequential(
        l.LSTM(3, return_sequences=True), l.GlobalMaxPooling1D(), top(), embedding={"mask_zero": True}
    ),
}


def cases(model, noise):
    rows = np.zeros((8, MAXLEN), dtype=np.int32)
    for row, length in zip(rows, [1, 2, 4, 6, 8, 9, 9, 9]):
        row[MAXLEN - length :] = noise.integers(1, ROWS, length)
    answers = model.predict(rows, verbose=0)[:, -1]
    for at, (row, answer) in enumerate(zip(rows, answers)):
        yield {
            "id": f"row-{at}",
            "text": None,
            "padding": "pre",
            "truncating": "pre",
            "padded": row.tolist(),
            "probability": float(answer),
        }


def main(version, out, *chosen):
    major = keras.__version__.split(".")[0]
    assert major == version, keras.__version__
    noise = np.random.default_rng(int(major))
    assert set(chosen) <= {*SIGNATURES, *MODELS, *REFUSED}, chosen
    wanted = lambda named: {name: make for name, make in named.items() if not chosen or name in chosen}
    for name, make in wanted(MODELS).items():
        keras.utils.set_random_seed(7)
        model = make()
        model.set_weights([noise.normal(0, 0.7, w.shape) for w in model.get_weights()])
        folder = Path(out) / "keras_small" / f"{name}_keras{major}"
        folder.mkdir(parents=True, exist_ok=True)
        for extension in ["h5", "keras"]:
            model.save(folder / f"model.{extension}")
        predictions = {"maxlen": MAXLEN, "cases": list(cases(model, noise))}
        (folder / "predictions.json").write_text(json.dumps(predictions) + "\n")
        # Keras 3 exports only what has been called.
        onnx(model, folder / "model.onnx", major)
    refused = Path(out) / "keras_refused"
    refused.mkdir(exist_ok=True)
    for name, make in wanted(REFUSED).items():
        # Keras 2 has no .h5 for a lookup table's strings.
        h5 = major == "2" and name != "text_vectorization"
        make().save(refused / f"{name}_keras{major}.{'h5' if h5 else 'keras'}")
    if major == "2":
        for name, signature in wanted(SIGNATURES).items():
            signed(Path(out) / "keras_small" / f"{name}_keras2", noise, *signature)


def signed(folder, noise, dtype, length, taken, given):
    import tensorflow as tf
    import tf2onnx

    model = sequential(l.LSTM(5), l.Dense(3, activation="tanh"), top(), length=None)
    model.set_weights([noise.normal(0, 0.7, w.shape) for w in model.get_weights()])
    folder.mkdir(parents=True, exist_ok=True)
    predictions = {"maxlen": MAXLEN, "cases": list(cases(model, noise))}
    (folder / "predictions.json").write_text(json.dumps(predictions) + "\n")
    answers = tf.function(
        lambda ids: {given: model(ids)},
        input_signature=[tf.TensorSpec((None, length), dtype, name=taken)],
    )
    tf2onnx.convert.from_function(
        answers, input_signature=answers.input_signature, opset=17, output_path=str(folder / "model.onnx")
    )


def onnx(model, path, major):
    if major == "3":
        model.export(path, format="onnx", verbose=False)
    else:
        import tf2onnx

        tf2onnx.convert.from_keras(model, opset=17, output_path=str(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
