"""The categorical likelihood: each level of a value has a probability of its own.

A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016,
section 3.5: a softmax over the levels. Their order is to be learnt.
"""

import torch
from torch import Tensor

from diabolo.likelihood.levels import Leveled

LEAST = 1e-3  # probability of a level to begin with


class Categorical(Leveled, kind="categorical"):
    """Independent categorical values; the decoder gives L logits for each, so keep L small."""

    @property
    def per_value(self) -> int:
        return self.levels

    def logs(self, output: Tensor, level: Tensor) -> Tensor:
        logits = self.rows(output)
        return (logits.gather(1, level.long()[:, None]) - logits.logsumexp(1, True))[:, 0]

    def mean(self, output: Tensor) -> Tensor:
        values = torch.linspace(0, 1, self.levels, dtype=output.dtype, device=output.device)
        return torch.einsum("bld,l->bd", self.rows(output).softmax(1), values)

    def begin(self, mean: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """With chances that fall off from the mean, whose slope they follow."""
        values = torch.linspace(0, 1, self.levels).to(mean)[:, None]
        off = values - mean
        bias = -0.5 * off.square() / 0.1
        slope = (off / 0.1).flatten()
        return slope[:, None] * weight.t().repeat(self.levels, 1), bias.flatten()
