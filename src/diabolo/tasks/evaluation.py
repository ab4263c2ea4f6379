"""How good a fitted model is: the numbers of `metrics.json`, beside the best linear method.

Images are compared in [0, 1] units, tables in their scaled columns. A denoising model is given
corrupted samples and compared with the clean ones: the error outside a watermark is its `damage`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.utils import _safe_indexing

from diabolo import infer, metrics
from diabolo.data.mapped import OnDisk, streamed
from diabolo.data.source import Source
from diabolo.denoiser import fit_denoiser
from diabolo.estimator import Estimator
from diabolo.gaps import smoothed
from diabolo.linear import LinearMap, fit_linear, fit_principal
from diabolo.net import Net
from diabolo.scaling import TableScaling
from diabolo.tasks.estimating import Estimate, of_noisy, of_shots
from diabolo.train import generator

LINEAR_FEATURES = 4096  # the widest sample whose covariance is formed
LINEAR_VALUES, FEWEST = 2**24, 64  # values and samples that a wider one's method is learnt from
ROWS = 4096
MEASURED = 2048  # samples that the bottleneck's measures are of


@dataclass(frozen=True)
class Outcome:
    """What a model makes of test samples: all that one pass over them gives, in their order.

    `clean`, `seen` and `output` are in the units of `in_units`. `seen` is what the model was
    given, and `clean` itself where nothing is corrupted; `codes` (N, K) are the mean codes of it.
    `nats` (N,) are the nll, the terms and the bound that the model names, from one seeded draw of
    the code; `measures` what it tells of the codes of the first 2,048. `masks`: where watermarks
    lie. `estimate`: how far outputs are from clean samples, where `clean` are noisy themselves.
    """

    clean: np.ndarray
    seen: np.ndarray
    output: np.ndarray
    codes: np.ndarray
    nats: dict[str, np.ndarray]
    measures: dict[str, float]
    masks: np.ndarray | None = None
    estimate: Estimate | None = None

    @property
    def corrupted(self) -> bool:
        """Whether the model was given something else than it should give."""
        return self.seen is not self.clean

    @cached_property
    def errors(self) -> np.ndarray:
        """Squared error of each output, (N,), mean over its values."""
        return _squared_errors(self.output, self.clean)


def outcome(
    model: Estimator,
    X: Any,
    *,
    noisy: Any = None,
    without_clean: bool = False,
    condition: Any = None,
    window: Any = None,
    seed: int = 0,
) -> Outcome:
    """What a fitted model makes of X, or of its noisy partners; without these it is corrupted.

    `condition`: that of each sample, for a model that has learnt with one. `without_clean`: X are
    other noisy shots of the same, and no clean ones. `window` (N, 4): where samples lie that are
    pieces of larger images.
    """
    seen = corrupted(model, X, seed, noisy, window)
    clean = in_units(model, X)
    output, codes, nats = _passed(model, seen, X, seed, condition)
    units = clean if seen is X else in_units(model, seen)
    estimate, outputs = None, in_units(model, output)
    if noisy is not None and without_clean:
        estimate = of_shots(outputs, units, clean)
    elif model.net_.of_noisy:
        estimate = of_noisy(model, X, condition, seed)
    return Outcome(
        clean=clean,
        seen=units,
        output=outputs,
        codes=codes,
        nats=nats,
        measures=_measures(model, seen, condition),
        masks=masks(model, X, seed, window) if noisy is None else None,
        estimate=estimate,
    )


def _passed(
    model: Estimator, seen: Any, clean: Any, seed: int, condition: Any
) -> tuple[Any, np.ndarray, dict[str, np.ndarray]]:
    """Outputs in stored units and codes (N, K), both of the mean code, and the nats.

    Outputs are like `seen`, of a table with categories or gaps the stored values (N, D).
    """
    net, widths = model.net_, dict[str, int]()
    draw = generator(seed, "evaluate", device=net.device.type)

    def packed(x: torch.Tensor, target: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        parts = _parts(net, net.scaling(x), net.scaling(target), draw, *given)
        columns = {name: part.reshape(len(x), -1) for name, part in parts.items()}
        widths.update({name: part.shape[1] for name, part in columns.items()})
        return torch.cat(list(columns.values()), dim=1)

    rows = model.rows(seen), model.rows(clean), *model.given(condition, len(seen))
    found = infer.in_blocks(net, packed, *rows).numpy()
    bounds = np.cumsum(list(widths.values()))[:-1]
    output, codes, *nats = np.split(found, bounds, axis=1)
    named = {n: a[:, 0].copy() for n, a in zip(list(widths)[2:], nats, strict=True)}
    shaped = torch.from_numpy(output) if _cells(model) else output.reshape(np.shape(seen))
    return shaped, np.ascontiguousarray(codes), named


def _parts(
    net: Net,
    seen: torch.Tensor,
    clean: torch.Tensor,
    draw: torch.Generator,
    given: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Of scaled batches the output, the mean code and, by their names, nats (B,) a sample."""
    code = net.bottleneck(net.encoding(given), net.shaped(seen), draw)
    output = net.decoded(code.mean, given)
    drawn = output if code.z is code.mean else net.decoded(code.z, given)
    decoded = net.stored(output)
    return {"output": decoded, "code": code.mean, **net.nats(code, drawn, clean)}


def _measures(model: Estimator, seen: Any, condition: Any) -> dict[str, float]:
    """What the bottleneck tells of the codes of the first samples."""
    net = model.net_
    with torch.inference_mode():
        x = net.shaped(net.scaling(model.rows(seen[:MEASURED]).to(net.device)))
        beside = [c[:MEASURED].to(net.device) for c in model.given(condition, len(seen))]
        return net.bottleneck.measures(net.encoding(beside[0] if beside else None), x)


def evaluate(
    model: Estimator,
    x_test: Any,
    x_train: Any = None,
    *,
    noisy_test: Any = None,
    noisy_train: Any = None,
    condition: Any = None,
    seed: int = 0,
) -> dict[str, Any]:
    """`{"test": {...}, "linear": {...}}` of a fitted model, as `metrics.json` has them.

    `linear` needs the training samples: the best linear method with as many numbers in its code
    (PCA; with a corruption the best linear denoiser of that rank, and of any rank), for wide
    samples from some of them. Samples that have noisy partners, `noisy_test` and `noisy_train`,
    are corrupted by these.
    """
    found = outcome(model, x_test, noisy=noisy_test, condition=condition, seed=seed)
    return measured(model, found, x_train, noisy_train=noisy_train, seed=seed)


def measured(
    model: Estimator,
    found: Outcome,
    x_train: Any = None,
    *,
    noisy_train: Any = None,
    seed: int = 0,
) -> dict[str, Any]:
    """What `evaluate` gives, of an outcome."""
    test = quality(model, found)
    result: dict[str, Any] = {"test": {k: v for k, v in test.items() if math.isfinite(v)}}
    if x_train is not None and found.estimate is None:
        result["linear"] = _linear(model, found, x_train, noisy_train, seed)
    return result


def quality(model: Estimator, found: Outcome) -> dict[str, float]:
    """How near the outputs are, before and after; mean nats; measures; a watermark's damage.

    Where there are no clean samples to be near to, estimates of that, and the measures.
    """
    if found.estimate is not None:
        return found.estimate.numbers() | found.measures
    test = _likeness(model, found.clean, found.output, found.errors)
    test |= model.net_.likelihood.measures(found.output, found.clean)
    test |= {n: float(a.mean(dtype=np.float64)) for n, a in found.nats.items()}
    test |= found.measures
    if model.net_.bottleneck.overcomplete:
        varied = float(found.clean.var(0, dtype=np.float64).mean())
        test["explained_variance"] = 1 - float(found.errors.mean()) / varied if varied else 1.0
    if found.corrupted:
        errors = _squared_errors(found.seen, found.clean)
        before = _likeness(model, found.clean, found.seen, errors)
        test |= {f"noisy_{name}": value for name, value in before.items()}
    if found.masks is not None:
        test["damage"] = damage(found.clean, found.output, found.masks)
        for name, images in (("mark_psnr", found.output), ("noisy_mark_psnr", found.seen)):
            test[name] = metrics.psnr(inside(found.clean, images, found.masks))
    return test


def corrupted(model: Estimator, X: Any, seed: Any, noisy: Any = None, window: Any = None) -> Any:
    """X as a denoising model is tested on it; X where there is no corruption, or no clean X.

    `noisy`: what was given as the corrupted X; `window`: as for `outcome`.
    """
    if noisy is not None:
        return noisy
    if model.corruption is None or model.net_.of_noisy:
        return X
    return model.corrupt(X, window=window, random_state=seed)


def masks(model: Estimator, X: Any, seed: int, window: Any = None) -> np.ndarray | None:
    """Where the watermarks of `corrupted` lie, (N, 1, H, W); None where there are none."""
    net, rows = model.net_, [model.rows(X)]
    rows += [] if window is None else [torch.as_tensor(window)]

    def laid(x: torch.Tensor, *window: torch.Tensor) -> torch.Tensor:
        mask = net.corrupted(net.scaling(x), draw, *window).mask
        return x.new_empty(len(x), 0) if mask is None else mask

    draw = generator(seed, "corrupt", device=net.device.type)
    if laid(*(part[:1].to(net.device) for part in rows)).numel() == 0:
        return None
    draw = generator(seed, "corrupt", device=net.device.type)
    return infer.in_blocks(net, laid, *rows).numpy()


def damage(clean: np.ndarray, output: np.ndarray, masks: np.ndarray) -> float:
    """Mean squared error of images (N, C, H, W) where masks are 0; not a number without such.

    Masks are (N, 1, H, W) or (N, C, H, W).
    """
    return _error_where(clean, output, lambda block: masks[block] == 0)


def inside(clean: np.ndarray, output: np.ndarray, masks: np.ndarray) -> float:
    """As `damage`, where masks are above 0."""
    return _error_where(clean, output, lambda block: masks[block] > 0)


def _error_where(
    clean: np.ndarray, output: np.ndarray, where: Callable[[slice], np.ndarray]
) -> float:
    total, count = 0.0, 0
    for start in range(0, len(clean), ROWS):
        block = slice(start, start + ROWS)
        chosen = np.broadcast_to(where(block), clean[block].shape)
        total += float(((output[block] - clean[block])[chosen].astype(np.float64) ** 2).sum())
        count += int(chosen.sum())
    return total / count if count else math.nan


def in_units(model: Estimator, X: Any) -> np.ndarray:
    """Images (N, C, H, W), of any size, in [0, 1] units; tables (N, D) in scaled columns.

    Of a table with categories or gaps what the network has of it, (N, E), NaN in gaps. Those of
    images are filled smoothly.
    """
    scaling = model.net_.scaling

    def scaled(rows: torch.Tensor) -> np.ndarray:
        return np.asarray(scaling(rows.to(model.net_.device)).cpu())

    if _cells(model):
        return scaled(X if isinstance(X, torch.Tensor) else model.rows(X))
    values = np.asarray(X, dtype=np.float32)
    if model.image_shape_ is None:
        return scaled(torch.from_numpy(values.reshape(len(values), -1)))
    low, high = scaling.peak.tolist()
    shape = model.image_shape_ if values.ndim == 2 else (1, *values.shape[1:])[-3:]
    shifted = values - low
    shifted /= (high - low) or 1
    images = shifted.reshape(-1, *shape)
    return smoothed(torch.from_numpy(images)).numpy() if model.net_.fills else images


def pictured(model: Estimator) -> bool:
    """Whether samples can be shown: images of one or three channels."""
    return model.image_shape_ is not None and model.image_shape_[0] in (1, 3)


def shown(model: Estimator, X: Any) -> np.ndarray:
    """Images in [0, 1] units, cut to that range, as pictures show them."""
    return in_units(model, X).clip(0, 1)


def decibels(pictures: np.ndarray, clean: np.ndarray) -> list[str]:
    """The PSNR of each picture, to be written under it."""
    return [f"{metrics.psnr(error):.1f} dB" for error in metrics.mse_per_sample(pictures, clean)]


def errors(model: Estimator, X: Any, seed: int | torch.Generator = 0) -> np.ndarray:
    """Squared error of each sample's reconstruction, (N,), mean over its features."""
    if isinstance(X, OnDisk) and isinstance(seed, int):
        draw = generator(seed, "corrupt", device=model.net_.device.type)
        return np.asarray(streamed(lambda block: errors(model, block, draw), X))
    output = model.reconstruct(corrupted(model, X, seed))
    return _squared_errors(in_units(model, X), in_units(model, output))


def _squared_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared difference of each sample, (N,), of the values that both have."""
    gaps = np.isnan(a) | np.isnan(b)
    if not gaps.any():
        return metrics.mse_per_sample(a, b)
    off = np.where(gaps, 0, a.astype(np.float64) - b) ** 2
    return off.reshape(len(a), -1).sum(1) / np.maximum((~gaps).reshape(len(a), -1).sum(1), 1)


def _cells(model: Estimator) -> TableScaling | None:
    """The scaling of a table with categories or gaps."""
    scaling = model.net_.scaling
    return scaling if isinstance(scaling, TableScaling) else None


def _of_cells(table: TableScaling, clean: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """The error of numbers, scaled, and the share of categories that are right, of scaled rows."""
    numbers, found = table.number.numpy(), dict[str, float]()
    off = (clean[:, numbers].astype(np.float64) - output[:, numbers]) ** 2
    if np.isfinite(off).any():
        found["mse"] = float(np.nanmean(off))
    rows, made = (table.inverse(torch.from_numpy(a)).numpy() for a in (clean, output))
    blocks = table.column.numpy()[~numbers]
    there = ~np.isnan(rows[:, np.unique(blocks)])
    if there.any():
        right = (rows == made)[:, np.unique(blocks)]
        found["accuracy"] = float(right[there].mean())
    return found


def _likeness(
    model: Estimator, clean: np.ndarray, output: np.ndarray, errors: np.ndarray
) -> dict[str, float]:
    if (table := _cells(model)) is not None:
        return _of_cells(table, clean, output)
    mse = float(errors.mean())
    if model.image_shape_ is None:
        return {"mse": mse}
    ssim = metrics.ssim(output, clean)
    return {"mse": mse, "psnr": metrics.psnr(mse)} | ({} if ssim is None else {"ssim": ssim})


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
    Of samples wider than `LINEAR_FEATURES` some are taken, evenly.
    """
    few = x_train.head(1) if isinstance(x_train, Source) else None
    paired = noisy_train is not None if few is None else few.source is not few.target
    denoising = paired or model.corruption is not None
    wide = model.n_features_in_ > LINEAR_FEATURES
    most = LINEAR_VALUES // model.n_features_in_ // (2 if denoising else 1)
    count = min(max(most, FEWEST), len(x_train)) if wide else len(x_train)
    index = np.linspace(0, len(x_train) - 1, count).astype(int)

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number, start in enumerate(range(0, len(index), ROWS)):
            chosen = index[start : start + ROWS]
            block, given, window = _taken(x_train, noisy_train, chosen)
            target = flat(model, block)
            noisy = corrupted(model, block, (seed + 1 + number) % 2**63, given, window)
            yield (target if noisy is block else flat(model, noisy)), target

    if denoising:
        return fit_denoiser(pairs(), ranks)
    return (fit_principal if wide else fit_linear)(pairs(), ranks)


def _block(X: Any, index: np.ndarray) -> Any:
    return np.asarray(X[index]) if isinstance(X, OnDisk) else _safe_indexing(X, index)


def _taken(X: Any, noisy: Any, index: np.ndarray) -> tuple[Any, Any, Any]:
    """Some samples, their noisy partners and where they lie, of arrays or of a source."""
    if not isinstance(X, Source):
        given = None if noisy is None else _block(noisy, index)
        return _block(X, index), given, None
    batch = X.take(torch.from_numpy(index))
    given = None if batch.source is batch.target else batch.source.numpy()
    return batch.target.numpy(), given, batch.window


def _linear(
    model: Estimator, found: Outcome, x_train: Any, noisy_train: Any, seed: int
) -> dict[str, float]:
    size = model.net_.bottleneck.told(torch.from_numpy(found.codes))
    ranks = [size, None] if found.corrupted else [size]
    source, target = (a.reshape(len(a), -1) for a in (found.seen, found.clean))
    maps = best_linear(model, x_train, ranks, noisy_train=noisy_train, seed=seed)
    if (table := _cells(model)) is not None:
        return _of_cells(table, target, maps[0](_filled(table, source)))
    scores = {linear: metrics.mse(linear(source), target) for linear in dict.fromkeys(maps)}
    return dict(zip(["mse", "full_rank_mse"], [scores[linear] for linear in maps], strict=False))


def flat(model: Estimator, X: Any) -> np.ndarray:
    """`in_units`, as rows (N, D) without gaps."""
    rows = in_units(model, X).reshape(len(X), -1)
    table = _cells(model)
    return rows if table is None else _filled(table, rows)


def _filled(table: TableScaling, rows: np.ndarray) -> np.ndarray:
    return table.filled(torch.from_numpy(rows)).numpy()
