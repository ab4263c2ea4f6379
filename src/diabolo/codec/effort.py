"""The numbers of a code chosen anew for each image, by gradients, before they are written.

Y. Yang, R. Bamler, S. Mandt, "Improving Inference for Neural Image Compression", 2020, section
3.2: each value v becomes one of its whole neighbours n, with probabilities

    p(n) ~ exp(-atanh(|n - v|) / t),

softly (E. Jang, S. Gu, B. Poole, "Categorical Reparameterization with Gumbel-Softmax", 2017), so
that what it costs has a gradient. As t falls, v comes to lie where its rounding costs little.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from diabolo.progress import Tell, untold, within
from diabolo.train import generator

RATE = 0.02  # of Adam, in steps of the rounding
HEAT, COOLING = 0.5, 0.7  # t is HEAT exp(-COOLING s), where s is the share of steps done
AROUND = 4  # rows of a map on either side of those that are worked on, which matter to them
EDGE = 1e-4  # least distance from whole numbers

Cost = Callable[[Tensor], Tensor]


def bettered(
    value: Tensor,
    cost: Callable[[int, Tensor], Tensor],
    steps: int,
    strip: int,
    tell: Tell = untold,
) -> Tensor:
    """Values (B, M, h, w) near those given, the rounding of which costs no more.

    So many rows at once. `cost` is that of each image, (B,), for rows from a given one on; `tell`
    is told how much is done, step by step.
    """
    found, draw = value.clone(), generator(0, "effort", device=value.device.type)
    starts = range(0, value.shape[2], strip)
    for number, start in enumerate(starts):
        first, told = max(0, start - AROUND), within(tell, number, 1, len(starts))
        window = found[:, :, first : start + strip + AROUND]
        rows = slice(start - first, start - first + strip)
        window[:, :, rows] = _rows(window, rows, partial(cost, first), steps, draw, tell=told)
    return found


def _rows(
    window: Tensor, rows: slice, cost: Cost, steps: int, draw: Generator, *, tell: Tell
) -> Tensor:
    """Some rows of a window of the map, bettered."""
    old, fixed = window[:, :, rows], window.round()

    def whole(some: Tensor) -> Tensor:
        return cost(torch.cat([fixed[:, :, : rows.start], some, fixed[:, :, rows.stop :]], 2))

    value = old.clone().requires_grad_()
    optimiser = torch.optim.Adam([value], RATE)
    for step in range(steps):
        heat = HEAT * math.exp(-COOLING * step / steps)
        (value.grad,) = torch.autograd.grad(whole(softly(value, heat, draw)).sum(), value)
        optimiser.step()
        tell((step + 1) / steps)
    with torch.no_grad():
        better = whole(value.round()) < whole(old.round())
        return torch.where(better.view(-1, 1, 1, 1), value, old)


def softly(value: Tensor, heat: float, draw: Generator) -> Tensor:
    """Values drawn between the whole numbers around them, nearly whole where heat is small."""
    low = value.detach().floor()
    above = (value - low).clamp(EDGE, 1 - EDGE)
    noise = torch.rand(value.shape, generator=draw, device=value.device).logit(EDGE)
    logit = above.atanh() - (1 - above).atanh()
    return low + ((logit / heat + noise) / heat).sigmoid()
