"""Seconds of 100 optimiser steps of another framework: python steps.py keras|torch|torch-flushed NETWORK BATCH ARRAYS.

ARRAYS are batches of padded rows as written by benches/train.rs. The network, the loss and the optimiser are the same as there;
every framework takes what cores it likes. Prints the median of two passes after some steps that warm up.
"""

import os
import statistics
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy

NETWORKS = {"imdb": (10_000, 32, 350), "naver": (2_500, 16, 100)}


def keras_step(rows, units, maxlen):
    import keras
    from keras import layers

    model = keras.Sequential([
        keras.Input((maxlen,), dtype="int64"), layers.Embedding(rows, units), layers.LSTM(64, return_sequences=True),
        layers.LSTM(32), layers.Dense(1, activation="sigmoid"),
    ])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return lambda ids, labels: model.train_on_batch(ids, labels)


def torch_step(rows, units, flushed):
    import torch

    if flushed and not torch.set_flush_denormal(True):
        sys.exit("this processor cannot flush denormals")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(rows, units)
            self.first = torch.nn.LSTM(units, 64, batch_first=True)
            self.second = torch.nn.LSTM(64, 32, batch_first=True)
            self.dense = torch.nn.Linear(32, 1)

        def forward(self, ids):
            steps, _ = self.first(self.embedding(ids))
            _, (last, _) = self.second(steps)
            return self.dense(last[0])

    network = Network()
    optimizer = torch.optim.Adam(network.parameters())
    loss = torch.nn.BCEWithLogitsLoss()

    def step(ids, labels):
        optimizer.zero_grad()
        loss(network(torch.from_numpy(ids)), torch.from_numpy(labels)).backward()
        optimizer.step()

    return step


def main(framework, network, batch, arrays):
    rows, units, maxlen = NETWORKS[network]
    batch = int(batch)
    ids = numpy.fromfile(arrays, "<i4").astype("int64").reshape(-1, batch, maxlen)
    labels = (numpy.arange(batch) % 2).astype("float32").reshape(batch, 1)
    step = keras_step(rows, units, maxlen) if framework == "keras" else torch_step(rows, units, framework == "torch-flushed")
    for _ in range(3):
        step(ids[0], labels)

    def one_pass():
        start = time.perf_counter()
        for rows_of_batch in ids:
            step(rows_of_batch, labels)
        return 100 * (time.perf_counter() - start) / len(ids)

    print(statistics.median(one_pass() for _ in range(2)))


main(*sys.argv[1:])
