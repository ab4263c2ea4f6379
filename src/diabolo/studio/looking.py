"""What a model makes of one sample, and how the two differ, as the page shows it."""

import math
from typing import Any

import numpy as np
import torch

from diabolo import metrics
from diabolo.estimator import Estimator
from diabolo.scaling import TableScaling
from diabolo.studio.answers import Look
from diabolo.studio.opened import Opened
from diabolo.studio.pictures import picture
from diabolo.studio.rows import sent
from diabolo.tasks.evaluation import in_units, pictured, shown


def look(
    opened: Opened,
    answer: tuple[np.ndarray, np.ndarray, np.ndarray],
    clean: np.ndarray | None = None,
    seen: np.ndarray | None = None,
) -> Look:
    """All about an answer of `opened.look`, to the sample `clean`, of which `seen` was given."""
    model, (codes, output, scores) = opened.model, answer
    found: dict[str, Any] = dict.fromkeys(Look.model_fields)
    found |= {"code": codes[0].tolist(), "output": sent(model, output)[0]}
    if clean is not None and seen is not None:
        differing = _pictures_differ if pictured(model) else _rows_differ
        found |= {"input": sent(model, clean)[0], "seen": sent(model, seen)[0]}
        found |= differing(model, clean, seen, output)
    if math.isfinite(scores[0]):
        detector = opened.need_detector()
        found["score"] = float(scores[0])
        found["p_value"] = float(detector.p_values_of(scores)[0])
        found["odd"] = bool(scores[0] < detector.offset_)
        if found["odd"] and not pictured(model):
            found["odd_cells"] = _odd_cells(np.array(found["error"]), found, detector.offset_)
    return Look(**found)


def finite(number: Any) -> float | None:
    """A number as JSON has it."""
    return float(number) if math.isfinite(number) else None


def _pictures_differ(
    model: Estimator, clean: np.ndarray, seen: np.ndarray, output: np.ndarray
) -> dict[str, Any]:
    before, saw, made = (shown(model, X)[0] for X in (clean, seen, output))
    squares = (made - before) ** 2
    mse = float(squares.mean(dtype=np.float64))
    error = picture(np.sqrt(squares.mean(axis=0, keepdims=True)))
    found = {"error": error, "mse": mse, "psnr": finite(metrics.psnr(mse))}
    if seen is not clean:
        found["seen_psnr"] = finite(metrics.psnr(metrics.mse(saw[None], before[None])))
    return found


def _rows_differ(
    model: Estimator, clean: np.ndarray, seen: np.ndarray, output: np.ndarray
) -> dict[str, Any]:
    made, before = (in_units(model, torch.from_numpy(X))[0] for X in (output, clean))
    squares = (made.astype(np.float64) - before) ** 2
    mse = float(np.nanmean(squares)) if np.isfinite(squares).any() else 0.0
    squares, scaling = np.nan_to_num(squares), model.net_.scaling
    if isinstance(scaling, TableScaling):  # which has several values of a category
        squares = np.bincount(scaling.column.cpu(), squares, model.n_features_in_)
    return {"error": (squares / (squares.sum() or 1)).tolist(), "mse": mse}


def _odd_cells(shares: np.ndarray, found: dict[str, Any], threshold: float) -> list[int]:
    """The cells, the oddest first, without whose errors an odd row would be a usual one.

    Only the oddest where its score is another than the mean of its errors.
    """
    order = np.argsort(-shares, kind="stable")
    if not math.isclose(-found["score"], found["mse"], rel_tol=1e-3):
        return order[:1].tolist()
    left = found["mse"] * (1 - np.cumsum(shares[order]))
    return order[: 1 + int(np.argmax(left <= -threshold))].tolist()
