"""Random numbers for a whole batch, cheaply.

On a CPU `torch.randn` and `torch.rand` draw one number after the other, which takes longer than
some of a small network's matrix products.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

POOL = 1 << 20  # places at which a run can begin


class Pooled(Generator):
    """A CPU generator for training: beyond the first `POOL` numbers, they come from a pool.

    A sample of D numbers then takes D neighbours in the pool, from a random place of `POOL`. By
    itself it is as good as freshly drawn; two samples may share numbers, hardly ever at the same
    features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drawn = 0
        self.pools: dict[object, Tensor] = {}

    def numbers(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        """Numbers of the law of `draw`, of the shape and type of `like`."""
        self.drawn += like.numel()
        if self.drawn <= POOL or like.ndim < 2:
            return draw(like.shape, generator=self, dtype=like.dtype)
        width = like[0].numel()
        key = draw, width, like.dtype
        if key not in self.pools:
            self.pools[key] = draw(POOL + width, generator=self, dtype=like.dtype)
        places = torch.randint(POOL, (len(like),), generator=self)
        runs = self.pools[key].as_strided((POOL, width), (1, 1))
        return runs.index_select(0, places).view(like.shape)


def normal(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of N(0, 1), of the shape, type and device of `like`."""
    return _drawn(torch.randn, like, generator)


def uniform(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of U[0, 1), of the shape, type and device of `like`."""
    return _drawn(torch.rand, like, generator)


def _drawn(draw: Callable[..., Tensor], like: Tensor, generator: Generator) -> Tensor:
    if isinstance(generator, Pooled):
        return generator.numbers(draw, like)
    return draw(like.shape, generator=generator, dtype=like.dtype, device=like.device)
