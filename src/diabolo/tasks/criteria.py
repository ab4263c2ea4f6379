"""The scores of `AnomalyDetector`, whose formulas it has: what each learns and gives."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo import infer
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.net import Net
from diabolo.tasks import nearby
from diabolo.tasks.oddness import error, shape_errors

GAUSSIAN = ("latent", "combined")  # those that learn the codes' mean and covariance
POSITIVE = {"scales", "scale", "code_scale", "floors", "spread"}  # of what is learnt
WORST = -1e300  # the score of what has none
WIDEST = 512  # values of a row that "auto" takes for those of a table
WIDEST_CODE = 4096  # whose covariance is formed
RIDGE = 1e-6  # of the mean variance, added to every variance of the codes


def scores(
    score: str, model: Estimator, learnt: dict[str, Tensor], spaces: tuple[str, ...] = ()
) -> Callable[[Tensor], Tensor]:
    """The function from stored values (B, D) to scores (B,), float64; `spaces`: see `nearby`."""
    net, image = model.net_, model.image_shape_
    near = nearby.score(score, net, learnt, image, spaces) if score in nearby.SPACES else None

    def score_of(x: Tensor) -> Tensor:
        if score == "elbo":
            return net.score(x).double()
        if near is not None:
            return -near(x)
        if score == "reconstruction":
            return -error(net, x)
        if score == "latent":
            return -_distances(net, x, learnt)
        if image is not None and score == "shape":
            return -shape_errors(net, x, image)
        by_error, by_distance = learnt["scales"].tolist()
        return -(error(net, x) / by_error + _distances(net, x, learnt) / by_distance)

    return lambda x: score_of(x).nan_to_num(nan=WORST, neginf=WORST, posinf=-WORST)


def chosen(p: Any, model: Estimator, X: Any) -> str:
    """The score that "auto" is for samples like X: of the rows of a table that of neighbours.

    For images, windows, wide rows, and a model that is taken as it is, whose samples all
    calibrate then, "reconstruction". Of several networks that which asks them, too: "blend".
    """
    if p.criterion != "auto":
        return str(p.criterion)
    shape = getattr(model, "image_shape_", None) or model.image_shape
    rows = shape is None and model.dimensions != 1 and len(X.shape) == 2
    if p.prefit or not rows or X.shape[1] > WIDEST:
        return "reconstruction"
    return "neighbours" if p.nets == 1 else "blend"


def check_nets(p: Any) -> None:
    """Refuse several networks where there is one, or where the score asks none."""
    if p.nets > 1 and p.prefit:
        raise InputError(
            f"nets={p.nets} are to be fitted, and the model is fitted already: use nets=1, which"
            " takes it as it is, of a detector its first."
        )
    if p.nets > 1 and "code" not in nearby.SPACES.get(p.criterion, ("code",)):
        raise InputError(
            f"criterion={p.criterion!r} asks no network, so nets={p.nets} are for nothing: use"
            " criterion='blend', or nets=1."
        )


def check_images(score: str, model: Estimator, X: Any) -> None:
    """Refuse rows of a table where the score is of images."""
    shape = getattr(model, "image_shape_", None) or model.image_shape
    if score in ("shape", "edges") and shape is None and len(X.shape) < 3:
        raise InputError(
            f"criterion={score!r} is for images: give X as (N, H, W) or (N, C, H, W), or use"
            " criterion='reconstruction'."
        )


def _distances(net: Net, x: Tensor, learnt: dict[str, Tensor]) -> Tensor:
    """Squared Mahalanobis distances (B,) of mean codes, float64."""
    mean, whitening = learnt["mean"].to(net.device), learnt["whitening"].to(net.device)
    return F.linear(net.encode(x).double() - mean, whitening).square().sum(1)


def learns(score: str) -> bool:
    """Whether a score learns from normal samples."""
    return score in GAUSSIAN or score in nearby.SPACES


def _shapes(score: str, model: Estimator, kept: int) -> dict[str, tuple[int, ...]]:
    """The shapes of what a score learns, by name; `kept` is the number of rows that it keeps."""
    k = model.code_size_
    if score in nearby.SPACES:
        return nearby.shapes(score, model.net_, k, kept)
    if score not in GAUSSIAN:
        return {}
    gaussian: dict[str, tuple[int, ...]] = {"mean": (k,), "whitening": (k, k)}
    return gaussian | ({"scales": (2,)} if score == "combined" else {})


def check_learnt(score: str, model: Estimator, learnt: dict[str, Tensor]) -> None:
    """Raise ValueError, in a sentence, where this is not what a score learns with a model."""
    shapes = {name: tuple(tensor.shape) for name, tensor in learnt.items()}
    rows = [len(learnt[name]) for name in ("rows", "codes", "edges") if shapes.get(name)]
    if shapes != _shapes(score, model, min(max(rows, default=1), nearby.MOST)):
        raise ValueError("the tensors of its detector do not fit its score.")
    check_values(learnt.values())
    if any((learnt[name] <= 0).any() for name in POSITIVE & learnt.keys()):
        raise ValueError("the scales of its detector are not positive.")


def check_values(tensors: Iterable[Tensor]) -> None:
    """Raise ValueError where a detector's tensors are not float64 and finite."""
    for tensor in tensors:
        if tensor.dtype != torch.float64 or not tensor.isfinite().all():
            raise ValueError("its detector has values that are none.")


def check_code(k: int) -> None:
    """Refuse codes of k numbers, whose covariance would be too large."""
    if k > WIDEST_CODE:
        raise InputError(
            f"Codes of {k} numbers are too wide for their distances: use"
            " criterion='reconstruction', or a smaller latent_dim."
        )


def learn(score: str, model: Estimator, X: Any) -> dict[str, Tensor]:
    """What a score learns from normal samples, float64."""
    if not learns(score):
        return {}
    net, rows = model.net_, model.rows(X)
    if score in nearby.SPACES:
        return nearby.learn(score, net, rows, model.image_shape_)
    learnt = _gaussian(infer.in_blocks(net, net.encode, rows).double().numpy())
    if score == "combined":

        def both(x: Tensor) -> Tensor:
            return torch.stack([error(net, x), _distances(net, x, learnt)], 1)

        means = infer.in_blocks(net, both, rows).mean(0)
        learnt["scales"] = torch.where(means > 0, means, 1.0)
    return learnt


def _gaussian(z: np.ndarray) -> dict[str, Tensor]:
    """The mean of codes (N, K), and W with W' W the inverse of their shrunk covariance."""
    k = z.shape[1]
    covariance = ledoit_wolf(z)[0] if len(z) > 1 else np.zeros((k, k))
    variance = float(np.trace(covariance)) / k
    covariance = covariance + (RIDGE * variance or 1.0) * np.eye(k)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    return {"mean": torch.from_numpy(z.mean(axis=0)), "whitening": torch.from_numpy(whitening)}
