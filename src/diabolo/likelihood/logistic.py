"""The discretised logistic mixture.

T. Salimans, A. Karpathy, X. Chen, D. P. Kingma, "PixelCNN++", ICLR 2017, equation 2, of each value
alone: p(x) = sum_i w_i (s((x + h - m_i) / t_i) - s((x - h - m_i) / t_i)), where s is the logistic
function and h half a level; the first and the last level have all that lies beyond.
"""

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from diabolo.likelihood.levels import Leveled, at_least, log_of_difference
from diabolo.params import Count

LEAST, FIRST = 1e-3, 0.1  # scales at least, and to begin with


class Logistic(Leveled, kind="logistic"):
    """Independent mixtures of logistic laws; the decoder gives log-weights, means, log-scales."""

    mixture: Annotated[Count, "Laws in the mixture of a value."] = 5

    @property
    def per_value(self) -> int:
        return 3 * self.mixture

    def logs(self, output: Tensor, level: Tensor) -> Tensor:
        weight, mean, scale = self.rows(output).chunk(3, 1)
        scale, top = at_least(scale, LEAST).exp(), self.levels - 1
        off, half = (level / top)[:, None] - mean, 0.5 / top
        upper = torch.where((level < top)[:, None], (off + half) / scale, torch.inf)
        lower = torch.where((level > 0)[:, None], (off - half) / scale, -torch.inf)
        turned = upper + lower > 0  # the far side, where differences are small, is exact
        above, below = torch.where(turned, -lower, upper), torch.where(turned, -upper, lower)
        inside = log_of_difference(logsigmoid(above), logsigmoid(below))
        return (weight.log_softmax(1) + inside).logsumexp(1)

    def mean(self, output: Tensor) -> Tensor:
        weight, mean, _ = self.rows(output).chunk(3, 1)
        return (weight.softmax(1) * mean.clamp(0, 1)).sum(1)

    def begin(self, mean: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """All means about the mean, a scale apart."""
        m, d = self.mixture, len(mean)
        apart = FIRST * (torch.arange(m).to(mean) - (m - 1) / 2)[:, None]
        bias = torch.cat(
            [torch.zeros(m, d).to(mean), mean + apart, torch.full((m, d), FIRST).log()]
        )
        none = weight.new_zeros(m * d, len(weight))
        return torch.cat([none, weight.t().repeat(m, 1), none]), bias.flatten()
