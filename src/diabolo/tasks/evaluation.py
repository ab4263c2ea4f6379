"""How good a fitted model is: the numbers of `metrics.json`, beside the best linear method.

Images are compared in [0, 1] units, tables in their scaled columns. A denoising model is given
corrupted samples and compared with the clean ones: the error outside a watermark is its `damage`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch

from diabolo import metrics
from diabolo.corruption import Corrupted
from diabolo.estimator import Estimator
from diabolo.linear import LinearMap, fit_linear
from diabolo.train import generator

LINEAR_FEATURES = 4096  # the widest sample whose covariance is formed
ROWS = 4096


def evaluate(
    model: Estimator,
    x_test: Any,
    x_train: Any = None,
    *,
    noisy_test: Any = None,
    noisy_train: Any = None,
    seed: int = 0,
) -> dict[str, Any]:
    """`{"test": {...}, "linear": {...}}` of a fitted model, as `metrics.json` has them.

    `linear` needs the training samples: the best linear method with as many numbers in its code
    (PCA; with a corruption the best linear denoiser of that rank, and of any rank). Samples that
    have noisy partners, `noisy_test` and `noisy_train`, are corrupted by these.
    """
    seen = corrupted(model, x_test, seed, noisy_test)
    clean, output = in_units(model, x_test), in_units(model, model.reconstruct(seen))
    test = _quality(model, clean, output)
    test |= _likelihoods(model, seen, x_test, seed)
    if seen is not x_test:
        before = _likeness(model, clean, in_units(model, seen))
        test |= {f"noisy_{name}": value for name, value in before.items()}
    marks = masks(model, x_test, seed) if noisy_test is None else None
    if marks is not None:
        test["damage"] = damage(clean, output, marks)
    test = {name: value for name, value in test.items() if math.isfinite(value)}
    result: dict[str, Any] = {"test": test}
    if x_train is not None and model.n_features_in_ <= LINEAR_FEATURES:
        result["linear"] = _linear(model, (seen, x_test), (noisy_train, x_train), seed)
    return result


def corrupted(model: Estimator, X: Any, seed: int, noisy: Any = None) -> Any:
    """X as a denoising model is tested on it; X itself where there is no corruption.

    `noisy`: what was given as the corrupted X.
    """
    if noisy is not None:
        return noisy
    return X if model.corruption is None else model.corrupt(X, random_state=seed)


def masks(model: Estimator, X: Any, seed: int) -> np.ndarray | None:
    """Where the watermarks of `corrupted` lie, (N, 1, H, W); None where there are none."""
    net, rows, corruption = model.net_, model.rows(X), model.net_.corruption
    if corruption is None:
        return None
    low, high = net.scaling.low, net.scaling.high

    def drawn(x: torch.Tensor) -> Corrupted:
        return corruption.corrupt(net.pictured(net.scaling(x)), draw, low, high)

    draw = generator(seed, "corrupt", device=net.device.type)
    if drawn(rows[:1].to(net.device)).mask is None:
        return None
    draw = generator(seed, "corrupt", device=net.device.type)
    return net.in_blocks(lambda x: cast(torch.Tensor, drawn(x).mask), rows).numpy()


def damage(clean: np.ndarray, output: np.ndarray, masks: np.ndarray) -> float:
    """Mean squared error of images (N, C, H, W) where masks are 0; not a number without such.

    Masks are (N, 1, H, W) or (N, C, H, W).
    """
    total, count = 0.0, 0
    for start in range(0, len(clean), ROWS):
        block = slice(start, start + ROWS)
        outside = np.broadcast_to(masks[block] == 0, clean[block].shape)
        total += float(((output[block] - clean[block])[outside].astype(np.float64) ** 2).sum())
        count += int(outside.sum())
    return total / count if count else math.nan


def in_units(model: Estimator, X: Any) -> np.ndarray:
    """Images (N, C, H, W), of any size, in [0, 1] units; tables (N, D) in scaled columns."""
    scaling, values = model.net_.scaling, np.asarray(X, dtype=np.float32)
    if model.image_shape_ is None:
        rows = values.reshape(len(values), -1)
        return scaling.cpu()(torch.from_numpy(rows)).numpy()
    low, high = scaling.peak.tolist()
    shape = model.image_shape_ if values.ndim == 2 else (1, *values.shape[1:])[-3:]
    return ((values - low) / ((high - low) or 1)).reshape(-1, *shape)


def pictured(model: Estimator) -> bool:
    """Whether samples can be shown: images of one or three channels."""
    return model.image_shape_ is not None and model.image_shape_[0] in (1, 3)


def shown(model: Estimator, X: Any) -> np.ndarray:
    """Images in [0, 1] units, cut to that range, as pictures show them."""
    return in_units(model, X).clip(0, 1)


def decibels(pictures: np.ndarray, clean: np.ndarray) -> list[str]:
    """The PSNR of each picture, to be written under it."""
    return [f"{metrics.psnr(error):.1f} dB" for error in metrics.mse_per_sample(pictures, clean)]


def errors(model: Estimator, X: Any, seed: int = 0, noisy: Any = None) -> np.ndarray:
    """Squared error of each sample's reconstruction, (N,), mean over its features."""
    output = model.reconstruct(corrupted(model, X, seed, noisy))
    return metrics.mse_per_sample(in_units(model, X), in_units(model, output))


def _quality(model: Estimator, clean: np.ndarray, output: np.ndarray) -> dict[str, float]:
    found = _likeness(model, clean, output)
    return found | model.net_.likelihood.measures(output, clean)


def _likeness(model: Estimator, clean: np.ndarray, output: np.ndarray) -> dict[str, float]:
    mse = metrics.mse(output, clean)
    found: dict[str, float | None] = {"mse": mse}
    if model.image_shape_ is not None:
        found |= {"psnr": metrics.psnr(mse), "ssim": metrics.ssim(output, clean)}
    return {name: value for name, value in found.items() if value is not None}


def _likelihoods(model: Estimator, seen: Any, clean: Any, seed: int) -> dict[str, float]:
    """nll, and for a random code kl and elbo: nats per sample, from one seeded draw."""
    net, device = model.net_, model.net_.device
    draw = generator(seed, "evaluate", device=device.type)

    def nll(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return net.terms(net.scaling(x), net.scaling(target), draw)[0]

    def kl(x: torch.Tensor) -> torch.Tensor:
        code = net.bottleneck.codes(net.encoder, net.shaped(net.scaling(x)))[0]
        return torch.as_tensor(code.penalty)

    rows = model.rows(seen), model.rows(clean)
    found = {"nll": float(net.in_blocks(nll, *rows).double().mean())}
    if net.bottleneck.penalised:
        found["kl"] = float(net.in_blocks(kl, rows[0]).double().mean())
        found["elbo"] = -(found["nll"] + found["kl"])
    return found


def best_linear(
    model: Estimator,
    x_train: Any,
    ranks: Sequence[int | None],
    *,
    noisy_train: Any = None,
    seed: int = 0,
) -> list[LinearMap]:
    """The best linear method of each rank, in the units of the model: PCA, or what denoises.

    `noisy_train` are the corrupted samples where they are given; `seed` is of the corruption.
    """

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number, start in enumerate(range(0, len(x_train), ROWS)):
            block = x_train[start : start + ROWS]
            target = flat(model, block)
            given = None if noisy_train is None else noisy_train[start : start + ROWS]
            noisy = corrupted(model, block, (seed + 1 + number) % 2**63, given)
            yield (target if noisy is block else flat(model, noisy)), target

    return fit_linear(pairs(), ranks)


def _linear(
    model: Estimator, test: tuple[Any, Any], train: tuple[Any, Any], seed: int
) -> dict[str, float]:
    (seen, x_test), (noisy_train, x_train) = test, train
    ranks = [model.code_size_] if seen is x_test else [model.code_size_, None]
    source, target = flat(model, seen), flat(model, x_test)
    maps = best_linear(model, x_train, ranks, noisy_train=noisy_train, seed=seed)
    scores = [metrics.mse(linear(source), target) for linear in maps]
    return dict(zip(["mse", "full_rank_mse"], scores, strict=False))


def flat(model: Estimator, X: Any) -> np.ndarray:
    """`in_units`, as rows (N, D)."""
    return in_units(model, X).reshape(len(X), -1)
