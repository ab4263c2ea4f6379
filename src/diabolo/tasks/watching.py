"""Whether the normal has changed: a test martingale of the p-values of a stream.

The score of the t-th sample is ranked among those that calibrated the detector and those of the
t - 1 samples before it, with ties broken by a random number u_t:

    p_t = (#{s_i < s_t} + u_t (1 + #{s_i = s_t})) / (n + t)

As long as calibration and stream are exchangeable, these are independent and uniform (V. Vovk,
I. Nouretdinov, A. Gammerman, "Testing Exchangeability On-Line", 2003); the p-values of
`AnomalyDetector`, which all look at the same calibration, are not, so that a martingale of them
would raise too many alarms. The simple jumper of V. Vovk et al., "Retrain or Not Retrain:
Conformal Test Martingales for Change-Point Detection", 2021, bets on small, on no or on large p,
e = -1, 0, 1, from M_e = 1/3, with J = 0.01:

    M_e <- ((1 - J) M_e + J M / 3) (1 + e (p - 1/2)),    M = sum of M_e

Then P(M ever reaches 1 / a) <= a: J. Ville, 1939. That is not so of a detector that was calibrated
on samples that its model has learnt from, or, as `feedback` does, on chosen ones.
"""

from bisect import bisect_left, bisect_right, insort
from typing import NamedTuple

import numpy as np

JUMP = 0.01  # J
BETS = np.array([-1.0, 0.0, 1.0])


class Watched(NamedTuple):
    """The p-values (N,) of samples, log10 M (N,) after each, and where M first reached 1 / a.

    That is counted from the first sample of the stream.
    """

    p_values: np.ndarray
    log_martingale: np.ndarray
    alarm: int | None


def watch(
    calibration: np.ndarray, scores: np.ndarray, false_alarms: float = 0.05, seed: int = 0
) -> Watched:
    """Follow the scores of a whole stream (N,), in order; see `Watcher`."""
    return Watcher(calibration, false_alarms, seed).follow(scores)


class Watcher:
    """Follows a stream as it comes, from the scores that calibrated a detector.

    `false_alarms`, above 0 and below 1, is the probability that there is an alarm in a stream, of
    any length, in which nothing changes.
    """

    def __init__(self, calibration: np.ndarray, false_alarms: float = 0.05, seed: int = 0) -> None:
        self.before: list[float] = np.sort(calibration).tolist()
        self.draw, self.limit = np.random.default_rng(seed), -np.log10(false_alarms)
        self.shares, self.total = np.full(3, 1 / 3), 0.0
        self.count = 0
        self.alarm: int | None = None

    def follow(self, scores: np.ndarray) -> Watched:
        """The scores (N,) that come next, in order."""
        p_values = self._ranked(scores)
        path = self.bet(p_values)
        above = np.flatnonzero(path >= self.limit)
        if self.alarm is None and len(above):
            self.alarm = self.count + int(above[0])
        self.count += len(scores)
        return Watched(p_values, path, self.alarm)

    def _ranked(self, scores: np.ndarray) -> np.ndarray:
        """The p-values p_t (N,), see above."""
        found, draws = np.empty(len(scores)), self.draw.random(len(scores))
        for t, (score, u) in enumerate(zip(scores.tolist(), draws, strict=True)):
            less, most = bisect_left(self.before, score), bisect_right(self.before, score)
            found[t] = (less + u * (1 + most - less)) / (len(self.before) + 1)
            insort(self.before, score)
        return found

    def bet(self, p_values: np.ndarray) -> np.ndarray:
        """log10 M (N,) after each p-value."""
        path = np.empty(len(p_values))
        for t, p in enumerate(p_values):
            shares = ((1 - JUMP) * self.shares + JUMP / 3) * (1 + BETS * (p - 0.5))
            grown = shares.sum()
            self.shares, self.total = shares / grown, self.total + np.log10(grown)
            path[t] = self.total
        return path
