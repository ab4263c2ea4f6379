"""How good generated digits are, as a classifier sees them: features, classes, Fréchet distance.

The classifier that ships with the package is small: two 3x3 convolutions of 16 and 32 channels,
each followed by max-pooling, 64 features and 10 logits; 105,866 parameters.
`benchmarks/train_classifier.py` trained it on the 60,000 training digits of MNIST for 10 epochs
with shifts of up to two pixels; it tells 99.36 % of the 10,000 test digits right.

The distance between generated and true digits is that of Heusel et al., "GANs Trained by a Two
Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017, with these 64 features in
the place of Inception's: its values compare with each other, not with published ones.
"""

from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo import infer, store
from diabolo.errors import InputError
from diabolo.inputs import as_array
from diabolo.metrics import frechet_distance

CLASSES, FEATURES, SIDE = 10, 64, 28
WEIGHTS = {  # by name, their shapes; outputs first
    "first": (16, 1, 3, 3),
    "second": (32, 16, 3, 3),
    "features": (FEATURES, 32 * 7 * 7),
    "classes": (CLASSES, FEATURES),
}
FILE = "classifier.safetensors"


def features(images: Any) -> np.ndarray:
    """The classifier's features (N, 64) of digits (N, 28, 28), float32.

    Digits are light on dark: integers from 0 to 255, or floats from 0 to 1. Floats of which one
    is above 1.5 are taken to be from 0 to 255. Values beyond the range are cut to it.
    """
    weights = classifier()
    return infer.blockwise(
        lambda x: look(weights, x), _units(images), device=torch.device("cpu")
    ).numpy()


def probabilities(images: Any) -> np.ndarray:
    """The probability of each of the ten classes, (N, 10), for digits as `features` takes them."""
    return _classes(features(images))


def quality(samples: Any, reference: Any) -> dict[str, Any]:
    """How good generated digits are, beside a reference of true ones.

    - `frechet`: the Fréchet distance of their features, 0 for equal mean and covariance;
    - `confidence`: the mean of the largest probability, 1 where each is clearly a digit;
    - `balance`: H(mean of the probabilities) / log 10, 1 where all classes are equally frequent;
    - `classes`: that mean, one number a class.
    """
    seen = features(samples)
    found = _classes(seen).astype(np.float64)
    classes = found.mean(axis=0)
    entropy = -(classes * np.log(np.maximum(classes, 1e-300))).sum()
    return {
        "frechet": frechet_distance(seen, features(reference)),
        "confidence": float(found.max(axis=1).mean()),
        "balance": float(entropy / np.log(CLASSES)),
        "classes": classes.tolist(),
    }


@cache
def classifier() -> dict[str, Tensor]:
    """The weights that ship with the package, float32."""
    with as_file(files("diabolo.data") / "mnist" / FILE) as path:
        _, tensors = store.read(path)
    return {name: tensor.float() for name, tensor in tensors.items()}


def look(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The features (N, 64) of images (N, 1, 28, 28) in [0, 1] units."""
    for layer in ("first", "second"):
        x = F.conv2d(x, weights[layer], weights[f"{layer} bias"], padding=1).relu()
        x = F.max_pool2d(x, 2)
    return F.linear(x.flatten(1), weights["features"], weights["features bias"]).relu()


def decide(weights: dict[str, Tensor], seen: Tensor) -> Tensor:
    """The logits (N, 10) of features (N, 64)."""
    return F.linear(seen, weights["classes"], weights["classes bias"])


def _classes(seen: np.ndarray) -> np.ndarray:
    return decide(classifier(), torch.from_numpy(seen)).softmax(dim=1).numpy()


def _units(images: Any) -> Tensor:
    """Images as (N, 1, 28, 28) in [0, 1] units, float32."""
    array = np.asarray(as_array(images))
    if (
        array.dtype.kind not in "buif"
        or array.shape[-2:] != (SIDE, SIDE)
        or array.ndim not in (3, 4)
    ):
        raise InputError(
            f"Digits are (N, {SIDE}, {SIDE}) numbers, not {array.dtype} of shape {array.shape}."
        )
    if array.ndim == 4 and array.shape[1] != 1:
        raise InputError(f"Digits have one channel, not {array.shape[1]}: give them in grey.")
    if not len(array):
        raise InputError("There are no digits: give at least one.")
    x = array.astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    if not np.isfinite(x).all():
        raise InputError("The digits hold NaN or infinity: leave those samples out.")
    whole = array.dtype.kind in "ui" or x.max() > 1.5
    return torch.from_numpy((x / 255 if whole else x).clip(0, 1))
