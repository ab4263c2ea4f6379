"""What a model makes of one sample, and how the two differ, as the page shows it."""

import math
from typing import Any

import numpy as np

from diabolo import metrics
from diabolo.estimator import Estimator
from diabolo.studio.answers import Look, OddCell
from diabolo.studio.opened import Opened
from diabolo.studio.pictures import picture
from diabolo.studio.rows import given, sent
from diabolo.tasks import oddness
from diabolo.tasks.evaluation import pictured, shown
from diabolo.tasks.oddness import column_names


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
        found |= {"input": sent(model, clean)[0], "seen": sent(model, seen)[0]}
        found |= _differ(model, clean, seen, output)
    if math.isfinite(scores[0]):
        detector = opened.need_detector()
        found["score"] = float(scores[0])
        found["p_value"] = float(detector.p_values_of(scores)[0])
        found["odd"] = bool(scores[0] < detector.offset_)
        if found["odd"] and seen is not None and not pictured(model):
            found["odd_cell"] = _odd_cell(model, given(model, seen), found["error"])
    return Look(**found)


def finite(number: Any) -> float | None:
    """A number as JSON has it."""
    return float(number) if math.isfinite(number) else None


def _differ(
    model: Estimator, clean: np.ndarray, seen: np.ndarray, output: np.ndarray
) -> dict[str, Any]:
    if not pictured(model):
        return {"error": oddness.shares(model, given(model, clean))[0].tolist()}
    before, saw, made = (shown(model, X)[0] for X in (clean, seen, output))
    squares = (made - before) ** 2
    mse = float(squares.mean(dtype=np.float64))
    error = picture(np.sqrt(squares.mean(axis=0, keepdims=True)))
    found = {"error": error, "mse": mse, "psnr": finite(metrics.psnr(mse))}
    if seen is not clean:
        found["seen_psnr"] = finite(metrics.psnr(metrics.mse(saw[None], before[None])))
    return found


def _odd_cell(model: Estimator, X: Any, shares: list[float]) -> OddCell:
    """The oddest cell of a row, and what would have been normal there."""
    odd = oddness.odd_cells(model, X, np.array([shares]), [*column_names(model)])[0]
    return OddCell(column=int(np.argmax(shares)), value=odd.value, normal=odd.normal)
