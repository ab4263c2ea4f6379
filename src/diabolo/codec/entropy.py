"""Symbols <-> bytes, by asymmetric numeral systems that are told whole numbers only.

A table has a frequency f >= 1 for each of n symbols, 2^24 in all. The coder is `constriction`'s
(R. Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems", 2022): words of 32
bits, a state of 64. It takes probabilities p and makes whole numbers of them by

    floor(cumsum(p)_i (2^24 - n) / sum(p)) + i,

which for p = f - 1 is what it was told: the factor is exactly 1.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from diabolo.errors import InputError

TOTAL = 1 << 24
_DECAY = 1065683211334  # 2^40 exp(-1/32)

Step = tuple[np.ndarray, np.ndarray]  # symbols (N,), tables (N, n), or one (n,) for all


@cache
def powers() -> np.ndarray:
    """2^24 exp(-d / 32) for d = 0, 1, ... until nothing is left, by whole numbers alone."""
    found = [TOTAL << 40]
    while found[-1] >> 40:
        found.append(found[-1] * _DECAY >> 40)
    return np.array([value >> 40 for value in found], np.float64)


def tables(logits: np.ndarray) -> np.ndarray:
    """Frequencies (N, n) of logits (N, n), which are whole numbers of 1/32 nat.

    Each operation is one that IEEE 754 rounds in one way, on numbers that stand alone.
    """
    exp, top = powers(), logits.max(1, keepdims=True)
    weights = exp[np.minimum(top - logits, len(exp) - 1).astype(np.intp)]
    free = TOTAL - logits.shape[1]
    found = np.floor(weights * (free / weights.sum(1, keepdims=True))) + 1
    rest = TOTAL - found.sum(1)
    found[np.arange(len(found)), logits.argmax(1)] += rest
    return found


def encode_backwards(steps: Iterable[Step]) -> bytes:
    """The bytes of symbols, given step by step with a table for each, from the last to the first.

    The coder is a stack: what went on it last comes off first.
    """
    stream = _stream()
    coder, family = stream.stack.AnsCoder(), stream.model.Categorical(perfect=False)
    for symbols, frequencies in steps:
        if len(symbols):
            law = (family, frequencies - 1.0) if frequencies.ndim == 2 else (_law(frequencies),)
            coder.encode_reverse(symbols.astype(np.int32), *law)
    words: np.ndarray = coder.get_compressed()
    return words.astype("<u4").tobytes()


class Decoder:
    """Takes symbols out of bytes, step by step, the first first."""

    def __init__(self, content: bytes) -> None:
        if len(content) % 4 or content[-4:] == bytes(4):
            raise InputError("The stream is damaged.")
        stream = _stream()
        words = np.frombuffer(content, "<u4").astype(np.uint32)
        self._coder = stream.stack.AnsCoder(words)
        self._model = stream.model.Categorical(perfect=False)

    def take(self, frequencies: np.ndarray, count: int | None = None) -> np.ndarray:
        """The next symbols (N,), whose tables are (N, n); or so many of the table (n,)."""
        if count is not None:
            return np.asarray(self._coder.decode(_law(frequencies), count))
        if not len(frequencies):
            return np.empty(0, np.int32)
        return np.asarray(self._coder.decode(self._model, frequencies - 1.0))

    @property
    def empty(self) -> bool:
        """Whether all is taken that was given."""
        return bool(self._coder.is_empty())


def _law(frequencies: np.ndarray) -> Any:
    return _stream().model.Categorical(frequencies - 1.0, perfect=False)


def _stream() -> Any:
    try:
        import constriction
    except ImportError:
        raise InputError(
            "Compression needs constriction: install it, or diabolo[codec], by pip."
        ) from None
    return constriction.stream
