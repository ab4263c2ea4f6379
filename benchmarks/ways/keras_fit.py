"""Keras' `fit` on TensorFlow's CPU, with Keras' defaults. The threads come by environment."""

import statistics
from functools import partial

import keras
import numpy as np
from keras import layers, ops

from benchmarks.task import Laps, Result, Task, rates

ROWS = 1024  # of a batch of inference


def train(task: Task) -> Result:
    """`fit(x, x)`; the compile seconds are what the first epoch takes beyond the others."""
    keras.utils.set_random_seed(task.seed)
    x, model, laps = task.scaled(task.images), network(task)[1], Laps()
    optimizer = keras.optimizers.Adam(task.rate, epsilon=task.epsilon)
    model.compile(optimizer, "binary_crossentropy" if task.bernoulli else "mse")
    clock = keras.callbacks.LambdaCallback(on_epoch_begin=laps.start, on_epoch_end=laps.stop)
    fit = model.fit(x, x, task.batch_size, task.epochs, verbose=0, callbacks=[clock])
    first, *later = laps.seconds
    compiling = first - statistics.median(later) if later else None
    return Result(laps.seconds, fit.history["loss"][-1], model.count_params(), compiling)


def infer(task: Task) -> dict[str, float]:
    """`predict` of the stored images, scaled."""
    encode, reconstruct = (partial(apply, task, model) for model in network(task))
    return rates(encode, reconstruct, task.images)


def apply(task: Task, model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The model's answer to stored images."""
    return model.predict(task.scaled(images), batch_size=ROWS, verbose=0)


def network(task: Task) -> tuple[keras.Model, keras.Model]:
    """The encoder and the whole network."""
    x = inputs = keras.Input((784,))
    if task.std:
        x = ops.clip(layers.GaussianNoise(task.std)(inputs), task.low, 1)
    names = ["relu"] * (len(task.sizes) - 2) + ["tanh" if task.low else "sigmoid"]
    outputs = []
    for size, name, weights in zip(task.sizes[1:], names, task.weights(), strict=True):
        layer = layers.Dense(size, name)
        x = layer(x)
        layer.set_weights(weights)
        outputs.append(x)
    return keras.Model(inputs, outputs[len(task.half) - 2]), keras.Model(inputs, x)
