"""How far outputs are from clean samples that are not there, estimated.

Of samples y = x + n alone, whose noise has a known variance s^2, by Stein's unbiased estimate:

    E|f(y) - x|^2 = E[ |f(y) - y|^2 - s^2 + 2 sum_i s_i^2 df_i / dy_i ],

with the sum as (s z) (f(y + h s z) - f(y)) / h, z ~ N(0, 1) (C. Stein, "Estimation of the Mean of
a Multivariate Normal Distribution", 1981; S. Ramani, T. Blu, M. Unser, "Monte-Carlo SURE", 2008).
Of two shots y and y' of one scene, with noise of the same strength, by the other one:

    E|f(y) - x|^2 = E[ |f(y) - y'|^2 - 1/2 |y - y'|^2 ]

(J. Lehtinen et al., "Noise2Noise: Learning Image Restoration without Clean Data", ICML 2018).
Single samples may have estimates below 0; it is their mean that tells something.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diabolo import infer, metrics
from diabolo.draw import normal
from diabolo.estimator import Estimator
from diabolo.net import Net
from diabolo.train import generator

STEP = 0.1  # h


class Estimate(NamedTuple):
    """The squared error of outputs against clean samples, and of the noisy ones, (N,).

    Means over the values of each sample, in [0, 1] units.
    """

    output: np.ndarray
    seen: np.ndarray

    def numbers(self) -> dict[str, float]:
        """As metrics.json has them."""
        found = dict[str, float]()
        for name, errors in (("estimated", self.output), ("estimated_noisy", self.seen)):
            mse = max(float(errors.mean(dtype=np.float64)), 0.0)
            found |= {f"{name}_mse": mse, f"{name}_psnr": metrics.psnr(mse)}
        return found


def of_shots(output: np.ndarray, seen: np.ndarray, other: np.ndarray) -> Estimate:
    """Of outputs of one shot, that itself, and another, (N, ...) in [0, 1] units."""
    noise = metrics.mse_per_sample(seen, other) / 2
    return Estimate(metrics.mse_per_sample(output, other) - noise, noise)


def of_noisy(model: Estimator, X: Any, condition: Any, seed: int) -> Estimate:
    """Of what a model that learnt from noisy samples makes of such samples, X."""
    net = model.net_
    draw = generator(seed, "estimate", device=net.device.type)
    rows = model.rows(X), *model.given(condition, len(X))
    found = infer.in_blocks(net, lambda x, *given: _errors(net, x, draw, *given), *rows)
    low, high = net.scaling.peak.tolist()
    unit = float(net.scaling.scale) / ((high - low) or 1)
    output, noise = (found.double().numpy() * unit**2).T
    return Estimate(output, noise)


def _errors(net: Net, x: Tensor, draw: torch.Generator, given: Tensor | None = None) -> Tensor:
    """The estimates (B, 2) of stored rows (B, D), in scaled units."""
    assert net.corruption is not None
    scaled, low, high = net.scaling(x), net.scaling.low, net.scaling.high
    spread = net.corruption.variance(net.pictured(scaled), low).sqrt().flatten(1)
    way = spread * normal(scaled, draw)
    output, moved = (
        net.answer(seen, given).clamp(low, high) for seen in (scaled, scaled + STEP * way)
    )
    noise = spread.square()
    error = (output - scaled).square() - noise + 2 / STEP * way * (moved - output)
    return torch.stack([error.mean(1), noise.mean(1)], 1)
