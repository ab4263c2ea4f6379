"""Tables of discretised logistic laws for the entropy coder, by whole numbers alone.

A law has the scale exp((i - 28) / 8) and a mean that is a whole number and j / 8. Its symbols are
n = -R ... R + 1 beside that number, of which the outer two stand for all that is beyond.
"""

from functools import cache

import numpy as np

from diabolo.codec.entropy import TOTAL

PARTS = 8  # of a nat in a scale, and of 1 in a mean
LOWEST, SCALES = -28, 65
MOST = 255  # R
ONE = 1 << 60
_EIGHTH = 1306431219452726521  # 2^60 exp(1/8)


@cache
def scale(i: int) -> int:
    """2^60 exp((i - 28) / 8)."""
    found = ONE
    for _ in range(abs(i + LOWEST)):
        found = found * _EIGHTH >> 60 if i > -LOWEST else (found << 60) // _EIGHTH
    return found


@cache
def reach(i: int) -> int:
    """R: 12 scales, and at least 1."""
    return min(MOST, (12 * scale(i) >> 60) + 1)


@cache
def table(i: int, j: int) -> np.ndarray:
    """The frequencies (2 R + 2,) of a law, 2^24 in all."""
    r = reach(i)
    shrink, powers = _exp(ONE * ONE // (PARTS * scale(i))), [ONE]
    for _ in range(PARTS * (r + 2)):
        powers.append(powers[-1] * shrink >> 60)

    def below(eighths: int) -> int:
        """2^60 F, so many eighths beside the mean."""
        high = ONE * ONE // (ONE + powers[abs(eighths)])
        return high if eighths >= 0 else ONE - high

    n = 2 * r + 2
    ends = [0, *(below(PARTS * k + PARTS // 2 - j) for k in range(-r, r + 1)), ONE]
    steps = [(end * (TOTAL - n) >> 60) + place for place, end in enumerate(ends)]
    return np.diff(np.array(steps, np.float64))


def _exp(x: int) -> int:
    """2^60 exp(-x / 2^60) of a whole number x >= 0, by the series of its half sixteen times."""
    x, total, term = x >> 16, ONE, ONE
    for k in range(1, 20):
        term = -(term * x >> 60) // k
        total += term
    for _ in range(16):
        total = total * total >> 60
    return total
