"""Seconds of 100 optimiser steps of another framework: python steps.py keras|torch|torch-flushed NETWORK BATCH ARRAYS STEPS THREADS.

ARRAYS are batches of padded rows as written by benches/train.rs, taken one after the other and again from the first. The network,
the loss and the optimiser are the same as there; with THREADS 0 a framework takes what cores it likes. Prints the time of so many
STEPS, after some that warm up, as if they were 100.
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy

NETWORKS = {"imdb": (10_000, 32, 350), "naver": (2_500, 16, 100)}


def keras_step(rows, units, maxlen, threads):
    import keras
    import tensorflow
    from keras import layers

    if threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)

    model = keras.Sequential([
        keras.Input((maxlen,), dtype="int64"), layers.Embedding(rows, units), layers.LSTM(64, return_sequences=True),
        layers.LSTM(32), layers.Dense(1, activation="sigmoid"),
    ])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return lambda ids, labels: model.train_on_batch(ids, labels)


def torch_step(rows, units, flushed, threads):
    import torch

    if threads:
        torch.set_num_threads(threads)

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


def main(framework, network, batch, arrays, steps, threads):
    rows, units, maxlen = NETWORKS[network]
    batch, steps, threads = int(batch), int(steps), int(threads)
    ids = numpy.fromfile(arrays, "<i4").astype("int64").reshape(-1, batch, maxlen)
    labels = (numpy.arange(batch) % 2).astype("float32").reshape(batch, 1)
    if framework == "keras":
        step = keras_step(rows, units, maxlen, threads)
    else:
        step = torch_step(rows, units, framework == "torch-flushed", threads)
    for _ in range(3):
        step(ids[0], labels)

    start = time.perf_counter()
    for at in range(steps):
        step(ids[at % len(ids)], labels)
    print(100 * (time.perf_counter() - start) / steps)


main(*sys.argv[1:])
