"""What Keras's summary() prints of the networks in the tests of src/cli/summary.rs: python keras_summary.py FOLDER."""

import pathlib
import sys

from keras import Sequential, backend
from keras.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    SimpleRNN,
    SpatialDropout1D,
)


def logit():
    return Dense(1, activation="sigmoid")


models = {
    "course-imdb-dense": lambda: [Embedding(10000, 32, input_length=500), Flatten(), logit()],
    "course-imdb-rnn": lambda: [
        Embedding(10000, 32, input_length=500),
        SimpleRNN(32, return_sequences=True, dropout=0.15, recurrent_dropout=0.15),
        SimpleRNN(32),
        logit(),
    ],
    "course-imdb-lstm": lambda: [
        Embedding(10000, 32, input_length=350),
        LSTM(64, return_sequences=True),
        LSTM(32),
        logit(),
    ],
    "frozen": lambda: [
        Embedding(50, 8, input_length=7, trainable=False),
        SpatialDropout1D(0.2),
        Bidirectional(LSTM(12, return_sequences=True)),
        GRU(5, return_sequences=True),
        GlobalAveragePooling1D(),
        Dropout(0.1),
        logit(),
    ],
}
for name, layers in models.items():
    backend.clear_session()  # Names are numbered within a model.
    model = Sequential(layers(), name=name)
    with open(pathlib.Path(sys.argv[1]) / f"{name}.txt", "w") as file:
        model.summary(print_fn=lambda line: print(line, file=file))
