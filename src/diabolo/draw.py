"""Random numbers for a whole batch, cheaply.

On a CPU `torch.randn` and `torch.rand` draw one number after the other, which takes longer than
some of a small network's matrix products.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

POOL = 1 << 20  # places at which a run can begin


class Pooled(Generator):
    """A CPU generator for training: each sample's numbers are a run of a pool drawn once.

    A sample of D numbers takes D neighbours, at a random place among `POOL`. By itself it is as
    good as freshly drawn; two samples share numbers now and then, at different features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pools: dict[object, Tensor] = {}

    def runs(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        """A run for each sample of `like`, of the numbers that `draw` draws."""
        n, width = len(like), like.numel() // max(len(like), 1)
        key = draw, width, like.dtype
        if key not in self.pools:
            self.pools[key] = draw(POOL + width, generator=self, dtype=like.dtype)
        places = torch.randint(POOL, (n,), generator=self)
        rows = self.pools[key].as_strided((POOL, width), (1, 1))
        return rows.index_select(0, places).view(like.shape)


def normal(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of N(0, 1), of the shape, type and device of `like`."""
    return _drawn(torch.randn, like, generator)


def uniform(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of U[0, 1), of the shape, type and device of `like`."""
    return _drawn(torch.rand, like, generator)


def _drawn(draw: Callable[..., Tensor], like: Tensor, generator: Generator) -> Tensor:
    if isinstance(generator, Pooled):
        return generator.runs(draw, like)
    return draw(like.shape, generator=generator, dtype=like.dtype, device=like.device)
