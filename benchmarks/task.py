"""What every way is given, and what it answers. Imports nothing heavier than numpy."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from diabolo import recipes
from diabolo.data.mnist import read_split


@dataclass(frozen=True)
class Task:
    """A recipe's training on `images`, uint8 (N, 28, 28).

    `half` has the sizes of the dense encoder, 784 to K. The noise has standard deviation `std`
    (0: none) and is clamped to [low, 1]. `epsilon` is Adam's for the mean loss per feature.
    """

    model: dict[str, Any]
    images: np.ndarray
    epochs: int
    seed: int
    conv: bool
    half: tuple[int, ...]
    bernoulli: bool
    std: float
    low: int
    batch_size: int
    rate: float
    epsilon: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the whole dense network, 784 to 784."""
        return self.half + self.half[-2::-1]

    @property
    def kept(self) -> int:
        """Samples of an epoch."""
        n, rows = len(self.images), self.batch_size
        return n // rows * rows if self.model.get("drop_last") else n

    def scaled(self, images: np.ndarray) -> np.ndarray:
        """Float32 (N, 784) in the recipe's range."""
        x = images.reshape(len(images), -1).astype(np.float32)
        x *= (1 - self.low) / 255
        x += self.low
        return x

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The dense network's first weights (in, out) and biases, as the recipe draws them."""
        draw, glorot, layers = np.random.default_rng(self.seed), self.model["init"] == "glorot", []
        for before, after in pairwise(self.sizes):
            bound = math.sqrt(6 / (before + after)) if glorot else 1 / math.sqrt(before)
            w, b = (draw.uniform(-bound, bound, s) for s in ((before, after), after))
            layers.append((w.astype(np.float32), (b * (not glorot)).astype(np.float32)))
        return layers


@dataclass(frozen=True)
class Result:
    """Seconds of each epoch, and the last one's mean training loss (a VAE's is per sample).

    `differs` says what this way does otherwise; without it the loss should be everyone's.
    """

    seconds: list[float]
    loss: float | None = None
    parameters: int | None = None
    compile_seconds: float | None = None
    differs: str = ""


@dataclass
class Laps:
    """Times epochs."""

    seconds: list[float] = field(default_factory=list)
    started: float = 0.0

    def start(self, *_: Any) -> None:
        """A lap begins."""
        self.started = time.perf_counter()

    def stop(self, *_: Any) -> None:
        """It ends."""
        self.seconds.append(time.perf_counter() - self.started)


def make_task(
    recipe: str, *, samples: int, epochs: int, seed: int, code: int | None, width: int | None
) -> Task:
    """The task of a recipe; with another code size, or one hidden layer of another width."""
    model = recipes.read(recipe).model
    model |= {"latent_dim": code} if code else {}
    model |= {"hidden": [width]} if width else {}
    x = read_split("train")[0]
    bernoulli = model["likelihood"] == "bernoulli"
    return Task(
        model,
        x[:samples] if samples <= len(x) else np.resize(x, (samples, 28, 28)),
        epochs,
        seed,
        conv=model.get("network") == "conv",
        half=(784, *model["hidden"], model["latent_dim"]),
        bernoulli=bernoulli,
        std=model.get("corruption", {}).get("std", 0.0),
        low=-1 if model["scaling"] == "symmetric" else 0,
        batch_size=model["batch_size"],
        rate=model["learning_rate"],
        epsilon=model["epsilon"] * (1 if bernoulli else 2),  # the recipes': for nats
    )


def rates(encode: Callable[[Any], Any], reconstruct: Callable[[Any], Any], x: Any) -> dict:
    """Samples per second of the two: the median of five calls after a first one."""
    found = {}
    for name, function in (("encode", encode), ("reconstruct", reconstruct)):
        laps = Laps()
        for _ in range(6):
            laps.start()
            function(x)
            laps.stop()
        found[name] = len(x) / statistics.median(laps.seconds[1:])
    return found
