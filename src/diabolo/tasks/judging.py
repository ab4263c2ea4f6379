"""What more can be measured of a fitted model: `diabolo evaluate --all`.

How likely samples are (of Gaussian codes), what codes tell of labels, and how good generated
digits are. Each is given for the models and data that have it.
"""

import math
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from diabolo import infer
from diabolo.divergence import kl_by_dimension
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.models.iwae import weighted
from diabolo.posterior import GaussianCode, moments
from diabolo.tasks import digits
from diabolo.tasks.embedding import knn_accuracy
from diabolo.train import generator

DRAWS, JUDGED = 1000, 200  # codes of a sample, and samples, of which a likelihood is
LEARNT, DRAWN = 10_000, 10_000  # codes that labels are learnt from, samples that are generated
NEIGHBOURS = 5
VALUES = 2**22  # that are decoded at a time


def judge(
    model: Estimator,
    X: Any,
    y: Any = None,
    X_train: Any = None,
    y_train: Any = None,
    *,
    of_digits: bool = False,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """The numbers of `--all`, in groups, each with how many samples it is of.

    - `likelihood`: the mean of `log_likelihood` of the first 200 samples, its standard error, the
      same in bits per value, and whether the data are binary;
    - `kl`: nats of each number of the code, in the mean of the samples, where p(z) is N(0, I);
    - `labels`, where the labels of samples and of training samples are given: what part of the
      samples 5 nearest neighbours and a logistic regression on codes tell right;
    - `generation`, `of_digits` for a model with a prior: `digits.quality`.
    """
    found: dict[str, dict[str, Any]] = {}
    if isinstance(model.net_.bottleneck, GaussianCode):
        found["likelihood"] = _likelihood(model, X[:JUDGED], seed)
        if model.net_.bottleneck.law is None:
            nats = _nats(model, X)
            found["kl"] = {"samples": len(X), **{str(n): v for n, v in enumerate(nats, 1)}}
    if y is not None and y_train is not None and X_train is not None:
        found["labels"] = _labels(model, X, y, X_train[:LEARNT], y_train[:LEARNT])
    if of_digits and model.net_.bottleneck.prior() is not None:
        n = min(len(X), DRAWN)
        made = digits.quality(model.sample(n, random_state=seed), X[:n])
        found["generation"] = {"samples": n} | {k: v for k, v in made.items() if k != "classes"}
    return found


def log_likelihood(
    model: Estimator, X: Any, *, draws: int = DRAWS, condition: Any = None, seed: int = 0
) -> np.ndarray:
    """log p(x) of samples in nats, (N,), estimated by importance with codes z_i of q(z | x):

        log 1/k sum_i p(x | z_i) p(z_i) / q(z_i | x),    k = draws

    (Burda et al. 2016, equation 8; in the mean a lower bound, which rises to log p(x) with k). It
    is of scaled values, drawn where the likelihood draws them (`binarised`), and leaves out what
    the model's nll leaves out. Raises `InputError` for a model without Gaussian codes.
    """
    net = model.net_
    if not isinstance(net.bottleneck, GaussianCode):
        raise InputError(f"{model.kind} has no Gaussian codes to draw: use a VAE or an IWAE.")
    law = net.bottleneck.law
    draw = generator(seed, "judge", device=net.device.type)
    most = max(1, VALUES // (infer.block_of(net) * net.features))

    def estimate(x: Tensor, given: Tensor | None = None) -> Tensor:
        scaled = net.likelihood.redrawn(net.scaling(x), draw)
        mean, log_variance = moments(net.encoding(given), net.shaped(scaled))
        scaled, total = net.likelihood.supported(scaled), mean.new_full((len(x),), -math.inf)
        for first in range(0, draws, most):
            part = min(most, draws - first)
            noise = torch.randn(part * len(x), mean.shape[1], generator=draw, device=mean.device)
            code = weighted(mean, log_variance, noise, law)
            beside = None if given is None else given.repeat(part, 1)
            nll = net.likelihood.nll(net.decoded(code.z, beside), scaled.repeat(part, 1))
            losses = nll + code.terms["log_ratio"][1]
            total = total.logaddexp((-losses).view(part, -1).logsumexp(0))
        return total - math.log(draws)

    return infer.in_blocks(net, estimate, model.rows(X), *model.given(condition, len(X))).numpy()


def _likelihood(model: Estimator, X: Any, seed: int) -> dict[str, Any]:
    nats = log_likelihood(model, X, seed=seed).astype(np.float64)
    error = float(nats.std(ddof=1)) / math.sqrt(len(nats)) if len(nats) > 1 else 0.0
    scaled = model.net_.likelihood.redrawn(model.net_.scaling(model.rows(X)), generator(seed, "x"))
    return {
        "samples": len(nats),
        "draws": DRAWS,
        "binary": bool(((scaled == scaled.min()) | (scaled == scaled.max())).all()),
        "log_likelihood": float(nats.mean()),
        "standard_error": error,
        "bits_per_value": -float(nats.mean()) / (model.n_features_in_ * math.log(2)),
    }


def _nats(model: Estimator, X: Any) -> list[float]:
    """The KL divergence of each number of the code, in the mean of the samples."""
    net = model.net_

    def nats(x: Tensor, given: Tensor | None = None) -> Tensor:
        return kl_by_dimension(*moments(net.encoding(given), net.shaped(net.scaling(x))))

    rows = model.rows(X), *model.given(None, len(X))
    found = infer.in_blocks(net, nats, *rows).double().mean(0)
    return [float(value) for value in found]


def _labels(model: Estimator, X: Any, y: Any, X_train: Any, y_train: Any) -> dict[str, Any]:
    codes, test = model.transform(X_train), model.transform(X)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    return {
        "samples": len(test),
        "learnt_from": len(codes),
        "nearest_neighbours": knn_accuracy(codes, y_train, test, y, k=NEIGHBOURS),
        "linear_probe": float(probe.fit(codes, y_train).score(test, y)),
    }
