"""Random numbers for a whole batch, cheaper on a CPU than `torch.randn` and `torch.rand`.

Torch draws them there one after the other. Here one draw of 64 random bits serves four normal or
two uniform numbers.
"""

from functools import cache

import torch
from torch import Generator, Tensor

LEVELS = 1 << 16


def normal(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of N(0, 1), of the shape, type and device of `like`.

    On a CPU each is one of 65,536 quantiles, all equally likely, the largest 4.3.
    """
    if like.device.type != "cpu":
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    level = _bits(like.numel(), torch.int16, generator).int().add_(LEVELS // 2)
    return _quantiles(like.dtype).index_select(0, level).view(like.shape)


def uniform(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of U[0, 1), of the shape, type and device of `like`, in steps of 2^-24."""
    if like.device.type != "cpu":
        return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    bits = _bits(like.numel(), torch.int32, generator)
    return (bits & 0xFFFFFF).to(like.dtype).mul_(2.0**-24).view(like.shape)


def _bits(n: int, dtype: torch.dtype, generator: Generator) -> Tensor:
    """`n` integers of random bits, of a type that is narrower than int64."""
    words = torch.empty(-(-n * dtype.itemsize // 8), dtype=torch.int64)
    return words.random_(-(2**63), None, generator=generator).view(dtype)[:n]


@cache
def _quantiles(dtype: torch.dtype) -> Tensor:
    """The normal distribution's quantiles in the middles of `LEVELS` equal shares, variance 1."""
    middles = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    quantiles = torch.special.ndtri(middles)
    return (quantiles / quantiles.std(correction=0)).to(dtype)
