"""scikit-learn's `MLPRegressor`, an epoch a call of `partial_fit`."""

import numpy as np
from sklearn.neural_network import MLPRegressor

from benchmarks.task import Laps, Result, Task


def train(task: Task) -> Result:
    """From noisy rows, where the recipe has noise, to clean ones."""
    x, draw, laps = task.scaled(task.images), np.random.default_rng(task.seed), Laps()
    model = MLPRegressor(
        hidden_layer_sizes=task.sizes[1:-1],
        alpha=0,
        batch_size=task.batch_size,
        learning_rate_init=task.rate,
        epsilon=task.epsilon,
        random_state=task.seed,
    )
    for _ in range(task.epochs):
        laps.start()
        seen = x
        if task.std:
            seen = draw.standard_normal(x.shape, np.float32)
            seen *= task.std
            seen += x
            seen.clip(task.low, 1, out=seen)
        model.partial_fit(seen, x)
        laps.stop()
    differs = "linear output"
    differs += ", squared error instead of cross-entropy" if task.bernoulli else ""
    parameters = sum(a.size for a in model.coefs_ + model.intercepts_)
    return Result(laps.seconds, 2 * model.loss_, parameters, differs=differs)
