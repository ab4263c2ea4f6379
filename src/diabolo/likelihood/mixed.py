"""The likelihood of a table's rows:  numbers are Gaussian, categories categorical, gaps left out.

    -log p(x | z) = sum over numbers there     1/2 (x - m)^2 / s^2 + log s + 1/2 log(2 pi)
                  + sum over categories there  log sum_k exp(l_k) - l_x

Each column of numbers has its own s, which is learnt. A. Nazabal, P. M. Olmos, Z. Ghahramani,
I. Valera, "Handling Incomplete Heterogeneous Data using VAEs", 2020, eq. 3-6 (there s is a
function of z).
"""

import copy
import math
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F  # noqa: N812

from diabolo.errors import InputError
from diabolo.likelihood.base import Likelihood
from diabolo.scaling import Scaling, TableScaling

LEAST = 0.02  # share of a category to begin with
SMALLEST = math.log(0.01)  # the least log s^2, of columns of variance 1


class Mixed(Likelihood, kind="mixed"):
    """Of tables with categories or gaps. Behind the outputs (B, E) lie log-variances of columns.

    Of outputs without these they are 1.
    """

    tabular = True
    scaling: ClassVar[TableScaling]  # of the table, see `of_table`

    def of_table(self, scaling: Scaling) -> Self:
        assert isinstance(scaling, TableScaling)
        found = copy.copy(self)
        found.__dict__ |= {"scaling": scaling, "beside": len(scaling.numbers)}
        return found

    def behind(self, decoder: nn.Module, draw: Generator | None = None) -> nn.Module:
        return nn.Sequential(decoder, Variances(len(self.scaling.numbers)))

    def before(self, decoder: nn.Module) -> nn.Module:
        assert isinstance(decoder, nn.Sequential)
        return decoder[0]

    def begin(self, mean: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """To first order about the shares p of categories, where d logit = dp / p."""
        table = self.scaling
        share = (table.shift + mean).clamp(LEAST, 1)
        slope = torch.where(table.number, 1.0, 1 / share)
        return slope[:, None] * weight.t(), torch.where(table.number, mean, share.log())

    def settle(self, decoder: nn.Module, output: Tensor, target: Tensor) -> None:
        """The variances of what is left."""
        numbers = self.scaling.numbers
        left = (target[:, numbers] - output[:, numbers]).square().nanmean(0).nan_to_num(1.0)
        above = (left.log() - SMALLEST).clamp(min=0.1)
        behind = decoder.get_parameter("1.log_variance")
        behind.data.copy_(above.expm1().log() + SMALLEST)  # softplus, turned round

    def law(self, output: Tensor) -> Distribution:
        return Law(self, output)

    def mean(self, output: Tensor) -> Tensor:
        """Means, and the probabilities of categories as they are scaled, (B, E)."""
        table, values = self.scaling, output[:, : len(self.scaling.column)]
        if not len(table.places):
            return values
        chances = table.blocks(values).softmax(2).flatten(1)[:, table.back]
        found = values.clone()
        found[:, table.categories] = chances - table.shift[table.categories]
        return found

    def cells(self, output: Tensor, target: Tensor) -> Tensor:
        """-log p of each cell (B, D) in nats, of scaled targets (B, E); 0 of gaps."""
        off, log_variance = self._numbers(output, target)
        constant = 0.5 * (log_variance + math.log(2 * math.pi))
        numbers = 0.5 * off.square() + constant * ~target[:, self.scaling.numbers].isnan()
        return self.scaling.joined(numbers, self._categories(output, target, mode=False), 0.0)

    def oddness(self, output: Tensor, target: Tensor) -> Tensor:
        """log of p of what would have been most probable to p of each cell, (B, D); 0 of gaps."""
        off, _ = self._numbers(output, target)
        numbers = 0.5 * off.square()
        return self.scaling.joined(numbers, self._categories(output, target, mode=True), 0.0)

    def _numbers(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """(x - m) / s of the numbers, 0 in gaps, and log s^2."""
        table, e = self.scaling, len(self.scaling.column)
        raw = output[:, e:] if output.shape[1] > e else output.new_zeros(1, len(table.numbers))
        log_variance = SMALLEST + F.softplus(raw - SMALLEST)
        x = target[:, table.numbers]
        off = torch.where(x.isnan(), 0.0, x - output[:, table.numbers])
        return off * (-0.5 * log_variance).exp(), log_variance

    def _categories(self, output: Tensor, target: Tensor, *, mode: bool) -> Tensor:
        """-log p of the categories, (B, C); with `mode`, beside that of the most probable."""
        table, values = self.scaling, output[:, : len(self.scaling.column)]
        if not len(table.places):
            return values[:, :0]
        logs, given = table.blocks(values).log_softmax(2), table.blocks(target)
        gap = given[:, :, 0].isnan()
        place = given.nan_to_num(-math.inf).argmax(2, keepdim=True)
        found = -logs.gather(2, place).squeeze(2)
        return torch.where(gap, 0.0, found + logs.amax(2) if mode else found)

    def usual_activation(self, scaling: str | None, *, bounded: bool) -> str:
        return "identity"

    def check(self, scaling: str | None, activation: str, dtype: str) -> None:
        if not hasattr(self, "scaling"):
            raise InputError(
                "A mixed likelihood is for tables: use likelihood='gaussian' for images."
            )
        if activation != "identity":
            raise InputError(
                "A table with categories or gaps has no one output activation: leave"
                " output_activation out, or use the recipe ae."
            )


class Variances(nn.Module):
    """Log-variances of columns, behind the values that a decoder gives: (B, E) -> (B, E + n)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(n))

    def forward(self, y: Tensor) -> Tensor:
        return torch.cat([y, self.log_variance.to(y.dtype).expand(y.shape[0], -1)], 1)


class Law(Distribution):
    """The law of rows (B, E) in scaled values; gaps in a value are left out."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, likelihood: Mixed, output: Tensor) -> None:
        e = len(likelihood.scaling.column)
        super().__init__(output.shape[:1], torch.Size([e]), validate_args=False)
        self.likelihood, self.output = likelihood, output

    @property
    def mean(self) -> Tensor:
        return self.likelihood.mean(self.output)

    def log_prob(self, value: Tensor) -> Tensor:
        return -self.likelihood.cells(self.output, value).sum(1)
