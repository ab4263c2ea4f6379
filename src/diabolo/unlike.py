"""Signs that data are unlike those that a model was trained on.

Of each sample, in scaled units: its mean value, the spread of its values, how far the model's
reconstruction of it is off (the mean squared error), and that as a share of its values' variance.
A model file has three quantiles of each; other data are unlike those where the median of a sign
lies far outside of nearly all of them.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from diabolo.doctor import Finding, found
from diabolo.infer import in_blocks
from diabolo.net import Net

WORDS = {
    "mean": "the mean value",
    "spread": "the spread",
    "error": "the reconstruction error",
    "share": "the error as a share of the variance",
}
SIGNS = tuple(WORDS)
QUANTILES = (0.005, 0.5, 0.995)
ROOM = 0.5  # of the range between the outer two, on either side of it
FACTOR = {"error": 3.0, "share": 2.0}  # of the highest usual one
LEAST = {"error": 1e-6, "share": 1.0}  # that is high
EXACT = 1e-6  # a variance that is none
LOOKED = 256  # samples that are looked at
Usual = Mapping[str, list[float]]  # sign -> its quantiles


def signs(net: Net, scaled: Tensor, *given: Tensor) -> np.ndarray:
    """The signs (N, 4) of scaled samples (N, D); gaps do not count."""
    rows, output = scaled.cpu().numpy(), outputs(net, scaled, *given)
    rows = np.where(np.isnan(rows).all(1, keepdims=True), output, rows)  # of nothing but gaps
    error = np.nanmean(np.square(output - rows, dtype=np.float64), 1)
    spread = np.nanstd(rows, 1)
    share = error / np.maximum(np.square(spread), EXACT)
    return np.nan_to_num(np.stack([np.nanmean(rows, 1), spread, error, share], 1))


def outputs(net: Net, scaled: Tensor, *given: Tensor) -> np.ndarray:
    """What a network makes of scaled samples (N, D), by their mean codes, in their units."""
    made = in_blocks(net, net.answer, scaled, *given)
    return made.clamp(net.scaling.low, net.scaling.high).numpy()


def usual(held: np.ndarray, learnt: np.ndarray, error: float = 0.0) -> dict[str, list[float]]:
    """What signs (N, 4) of samples that were held out, and of others, are usually like.

    `error` is one that is still usual, where none were held out: a model that overfits is too good
    at those in training.
    """
    both = np.concatenate([held, learnt])
    if not (len(held) and np.isfinite(both).all()):
        return {}
    known = np.quantile(both, QUANTILES, axis=0)
    known[:, 2:] = np.quantile(held[:, 2:], QUANTILES, axis=0)
    known[-1, 2] = max(known[-1, 2], error / FACTOR["error"])
    return dict(zip(SIGNS, known.T.tolist(), strict=True))


def unlike(known: Usual, seen: np.ndarray) -> Finding | None:
    """Signs (N, 4) that are far from those that are usual; nothing without these."""
    now = dict(zip(SIGNS, np.median(seen, axis=0).tolist(), strict=True)) if len(seen) else {}
    odd = [name for name in now if name in known and _far(name, known[name], now[name])]
    if not odd:
        return None
    return Finding(
        "unlike the training data",
        "In scaled units "
        + ", ".join(f"{WORDS[n]} is {now[n]:.3g} (there {_there(n, known[n])})" for n in odd)
        + ".",
        "Do not rely on the results: use a model of such data.",
    )


def some_of(count: int) -> np.ndarray:
    """Which of so many samples are looked at: `LOOKED` evenly, or all if they are fewer."""
    return np.linspace(0, count - 1, min(count, LOOKED)).astype(np.int64)


def looked(known: Usual, net: Net, rows: Tensor, *given: Tensor) -> list[Finding]:
    """What is unlike in stored rows (N, D), of which some are looked at."""
    index = some_of(len(rows))
    some = torch.from_numpy(rows.numpy()[index])  # uint16, too, which old torch lacks
    scaled = net.scaling(some.to(net.device))
    return found(unlike(known, signs(net, scaled, *(part[index] for part in given))))


def _far(name: str, known: list[float], now: float) -> bool:
    low, _, high = known
    if name in FACTOR:
        return now > FACTOR[name] * max(high, LEAST[name])
    room = ROOM * (high - low) + EXACT
    return not low - room <= now <= high + room


def _there(name: str, known: list[float]) -> str:
    low, _, high = known
    return f"up to {high:.3g}" if name in FACTOR else f"{low:.3g} to {high:.3g}"
