"""Export that proves itself: a fitted model as graphs for other programs, raw values in and out.

A graph f' of a function f of the model is left on the disk only if, over samples x,

    max |f'(x) - f(x)| <= 1e-5 range,    range = max(f, 0) - min(f, 0),

with f' run by what others run it with, and if no verdict of a detector is another. Of a table the
range is that of each column. What was found is kept beside the files.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo import __version__
from diabolo.data.files import check_own, folder_atomically, quietly
from diabolo.errors import InputError, unknown
from diabolo.estimator import Estimator
from diabolo.exporting.formats import FORMATS, Format, traced
from diabolo.exporting.graphs import GRAPHS, VERDICT, Use, alone, uses
from diabolo.exporting.trials import Inputs, samples, trials
from diabolo.tasks.anomaly import AnomalyDetector

TOLERANCE = 1e-5  # of the range
PROOF = "export.json"
NAMES = [PROOF, *(f"{name}{form.suffix}" for name in GRAPHS for form in FORMATS.values())]


def export(
    model: Any, path: str | Path, to: str = "onnx", *, X: Any = None, condition: Any = None
) -> dict[str, Any]:
    """Write a fitted model, or a detector, into a folder as files that need no diabolo.

    `to` is "onnx" or "torch" (`torch.export`). `model`, `encoder`, `decoder`, and for a detector
    `detector`, take and give raw values: samples in the type and the units of the training data,
    in batches of any size; a network that works on images of any size takes them so. A condition
    is a second input: the level of the noise, in the units of the samples; labels as one-hot rows
    in the order that `export.json` has; values as numbers of mean 0 and variance 1, by the mean
    and scale there; NaN where there is none. The cells of a table with categories are numbers as
    `export.json` says: the place of a category among those of its column, days since the first
    date, NaN for a gap, -1 for what is new.

    Each file is run on samples X, with their `condition`, or on some that are made up, and is
    left only if it answers as the model does, to 1e-5 of the range, and no verdict is another:
    `InputError` otherwise, and nothing is written. The model stays as it is. Returns what
    `export.json` has: what each file takes and gives, and the largest differences.

    >>> from diabolo import Autoencoder
    >>> import numpy as np, tempfile
    >>> X = np.random.default_rng(0).random((100, 8), dtype=np.float32)
    >>> model = Autoencoder(latent_dim=2, epochs=1, random_state=0).fit(X)
    >>> proof = export(model, tempfile.mkdtemp(), to="torch", X=X)
    >>> sorted(proof["files"])
    ['decoder.pt2', 'encoder.pt2', 'model.pt2']
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    FORMATS[to].check()
    detector = model if isinstance(model, AnomalyDetector) else None
    check_is_fitted(model)
    fitted: Estimator = alone(getattr(model, "model_", model))
    rows, beside = samples(fitted, X, condition)
    path, form, files = Path(path), FORMATS[to], dict[str, Any]()
    if path.is_dir():
        check_own(path, [p for p in sorted(path.iterdir()) if p.name not in NAMES])
    elif path.exists():
        raise InputError(f"{path} is a file: give the name of a folder.")
    with folder_atomically(path) as folder:
        for use in uses(fitted, detector):
            file = folder / f"{use.name}{form.suffix}"
            files[file.name] = _proven(use, form, file, trials(fitted, use, rows, beside))
        proof = _about(fitted, detector) | {
            "runtime": form.runs_on,
            "made_up": X is None,
            "tolerance": TOLERANCE,
            "files": files,
        }
        (folder / PROOF).write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
    return proof


def _about(model: Estimator, detector: AnomalyDetector | None) -> dict[str, Any]:
    """What the numbers that graphs take and give mean."""
    taken = model.fitted_.intake
    about: dict[str, Any] = {"diabolo": __version__, "kind": model.kind}
    if taken.table is not None:
        about["table"] = taken.table.header()
    elif names := model.columns_ or list(taken.names):
        about["columns"] = names
    if taken.condition is not None:
        about["condition"] = {"kind": taken.condition.kind, **taken.condition.learnt}
    if detector is not None:
        wanted = ("criterion", "false_alarm_rate")
        about["detector"] = {name: detector.fitted_config_[name] for name in wanted}
    return about


def _proven(use: Use, form: Format, path: Path, batches: list[Inputs]) -> dict[str, Any]:
    """Write a graph, run it, and compare; what it takes and gives, and how far it was off."""
    wanted = [use.answers(*batch) for batch in batches]
    with quietly():
        form.write(traced(use, batches[0]), use, path)
        run = form.open(path)
        found = [run(*batch) for batch in batches]
    proof: dict[str, Any] = {
        "takes": _described(use, use.takes, batches[0]),
        "gives": _described(use, use.gives, found[0]),
        "samples": sum(len(batch[0]) for batch in batches),
        "difference": {},
    }
    outputs = zip(zip(*found, strict=True), zip(*wanted, strict=True), strict=True)
    for name, pair in zip(use.gives, outputs, strict=True):
        if name == VERDICT:
            proof["flipped"] = sum(int((f != w).sum()) for f, w in zip(*pair, strict=True))
            continue
        step = use.steps.get(name)
        off = _difference(*pair, columns=use.columns, span=step and 1.0)
        proof["difference"][name] = off
        if not off <= (step or TOLERANCE):
            raise _refused(path, f"{name} is off by {off:.2g} of its range", use)
    if flipped := proof.get("flipped"):
        raise _refused(path, f"{flipped} of {proof['samples']:,} verdicts are others", use)
    return proof


def _described(
    use: Use, names: Sequence[str], arrays: Sequence[Tensor]
) -> dict[str, dict[str, Any]]:
    """The types and shapes of what a graph takes or gives."""
    found = {}
    for name, array in zip(names, arrays, strict=True):
        shape: list[Any] = ["batch", *array.shape[1:]]
        if use.sides and array.ndim > 2:
            shape[-2:] = ["height", "width"]
        found[name] = {"type": str(array.dtype).removeprefix("torch."), "shape": shape}
    return found


def _difference(
    found: Sequence[Tensor], wanted: Sequence[Tensor], *, columns: bool, span: float | None = None
) -> float:
    """The largest difference of what a graph gave from what it should have, of the range.

    Of each of the `columns`; `span` is the range where it is known.
    """
    f, w = (
        torch.cat([one.double().flatten(1 if columns else 0) for one in batches])
        for batches in (found, wanted)
    )
    off = torch.where(f.isnan() & w.isnan(), 0.0, (f - w).abs()).nan_to_num(nan=torch.inf)
    known = w.nan_to_num()
    range_ = span or known.amax(0).clamp(min=0) - known.amin(0).clamp(max=0)
    return float(torch.where(off > 0, off / range_, 0.0).max())


def _refused(path: Path, why: str, use: Use) -> InputError:
    return InputError(
        f"{path.name} would not answer as the model does, so that nothing was written: {why}, and"
        f" {TOLERANCE:g} is allowed{use.instead}."
    )
