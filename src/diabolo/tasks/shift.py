"""Normal samples that are mixed otherwise than those that calibrated: weighed p-values.

    p(x) = (w(x) + sum_i w(x_i) [s(x_i) <= s(x)]) / (w(x) + sum_i w(x_i)),    w = dQ / dP

where the normal samples x_i are of the law P, and those among x of Q, which has more of some sorts
and less of others but none that P has not (covariate shift): R. J. Tibshirani, R. F. Barber,
E. J. Candès, A. Ramdas, "Conformal Prediction Under Covariate Shift", 2019, equation 6. The ratio
w is estimated by a logistic regression that tells the codes of both (S. Bickel, M. Brückner,
T. Scheffer, "Discriminative Learning for Differing Training and Test Distributions", 2007), so
that P(p <= a) <= a holds as far as it is right.
"""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diabolo.tasks.anomaly import AnomalyDetector

PENALTY = 0.1  # C of the regression


def p_values(
    detector: AnomalyDetector, X: Any, normal: Any, scores: np.ndarray | None = None
) -> np.ndarray:
    """The p-values (N,) of samples X, among normal ones weighed to be mixed as those in X.

    `normal` are samples that the detector's model never saw; they take the place of those that
    calibrated it. `scores` are those of X, where they are known. Raises `InputError` where either
    are none for the detector.
    """
    scores = np.asarray(detector.score_samples(X)) if scores is None else scores
    known = np.asarray(detector.score_samples(normal))
    codes, others = (np.asarray(detector.model_.transform(some)) for some in (X, normal))
    own, weights = ratios(codes.reshape(len(codes), -1), others.reshape(len(others), -1))
    return weighted(scores, own, known, weights)


def weighted(
    scores: np.ndarray, own: np.ndarray, known: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The p-values of scores (N,) with weights, among those (n,) of normal samples with theirs."""
    order = np.argsort(known)
    sums = np.concatenate([[0.0], weights[order].cumsum()])
    below = sums[np.searchsorted(known[order], scores, side="right")]
    return np.asarray((own + below) / (own + sums[-1]))


def ratios(codes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much likelier each code (N, K) is among these than among others (n, K), and of those.

    No more than the likeliest of the others: of a code that is far from them all, which is odd and
    not shifted, the regression knows nothing.
    """
    rows = np.concatenate([codes, others])
    here = np.arange(len(rows)) < len(codes)
    told = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=500))
    odds = np.exp(told.fit(rows, here).decision_function(rows)) * len(others) / len(codes)
    known = odds[len(codes) :]
    return odds[: len(codes)].clip(max=known.max()), known
