"""The ways to train: one module each, with `train(task)` and, for some, `infer(task)`."""

from typing import NamedTuple


class Way(NamedTuple):
    """What the driver knows of a way without importing it."""

    words: str
    openmp: bool = True  # computes with OpenMP threads, which may be bound to cores
    conv: bool = False  # can do the convolutional recipe
    infer: bool = False


WAYS = {
    "floor": Way("the matrix products of the steps alone", conv=True),
    "ours": Way("diabolo", conv=True, infer=True),
    "plain": Way("PyTorch loop, data in memory", conv=True, infer=True),
    "article": Way("PyTorch loop, DataLoader with a per-sample transform"),
    "keras_fit": Way("Keras fit on TensorFlow", openmp=False, infer=True),
    "jax_scan": Way("JAX, a whole epoch in lax.scan", openmp=False),
    "pythae_trainer": Way("pythae's BaseTrainer with its AE; cross-entropy is our addition"),
    "pyod_ae": Way("PyOD's AutoEncoder"),
    "sklearn_mlp": Way("scikit-learn's MLPRegressor", openmp=False),
}
