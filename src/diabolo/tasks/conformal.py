"""Scores as p-values, and what they promise: the formulas are in `diabolo.tasks.anomaly`."""

from typing import Annotated

import numpy as np
from annotated_types import Gt, Lt
from scipy import stats

from diabolo.params import check

Share = Annotated[float, Gt(0), Lt(1)]


def p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The p-values of scores (N,) among sorted ones (n,) of normal samples."""
    below = np.searchsorted(calibration, scores, side="right")
    return np.asarray((1 + below) / (len(calibration) + 1))


def discoveries(p_values: np.ndarray, rate: float) -> np.ndarray:
    """Those of m p-values at most k rate / m, (m,) bool, with the largest k that so many are.

    Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", 1995.
    """
    rate = check("rate", Share, rate)
    m, ordered = len(p_values), np.sort(p_values)
    enough = np.flatnonzero(ordered <= rate * np.arange(1, m + 1) / m)
    return np.asarray(p_values <= ordered[enough[-1]]) if len(enough) else np.zeros(m, dtype=bool)


def allowed(n: int, rate: float) -> int:
    """How many of 1/(n + 1), 2/(n + 1), ... are p-values of anomalies: floor(rate (n + 1))."""
    return int(np.count_nonzero(np.arange(1, n + 1) / (n + 1) <= rate))


def needed(rate: float) -> int:
    """The fewest held-out samples with which anything can be flagged."""
    n = max(int(1 / rate) - 2, 1)
    while not 1 / (n + 1) <= rate:
        n += 1
    return n


def band(n: int, rate: float, share: float = 0.95) -> tuple[float, float]:
    """Within which the rate of false alarms lies for such a `share` of sets of n samples.

    Beta(l, n + 1 - l), l = floor(rate (n + 1)), for scores without ties; (0, 0) where l = 0.
    """
    most = allowed(n, rate)
    if not most:
        return 0.0, 0.0
    low, high = stats.beta(most, n + 1 - most).interval(share)
    return float(low), float(high)


def observed(p_values: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """The share of samples (N,) that are anomalies at each false-alarm rate."""
    return np.asarray(np.searchsorted(np.sort(p_values), rates, side="right") / len(p_values))


def expected(n: int, m: int, rates: np.ndarray, share: float = 0.95) -> np.ndarray:
    """Within which the `observed` share of m normal samples lies, at each rate, (2, R).

    In such a `share` of sets of n calibrating and m other samples. Of the m a number is flagged
    that has the beta-binomial law of `band`'s rate, for scores without ties.
    """
    most = np.array([allowed(n, rate) for rate in rates])
    laws = stats.betabinom(m, np.maximum(most, 1), np.maximum(n + 1 - most, 1))
    return np.where(most > 0, np.array(laws.interval(share)) / m, 0.0)
