"""What a detector finds, in pictures: the oddest samples, and where a series is odd."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from diabolo import figures
from diabolo.data import Samples
from diabolo.names import is_frame
from diabolo.report import write_picture
from diabolo.tasks.anomaly import AnomalyDetector
from diabolo.tasks.evaluation import pictured, shown
from diabolo.tasks.oddness import column_names


def draw_worst(
    path: Path,
    detector: AnomalyDetector,
    samples: Samples,
    scores: np.ndarray,
    *,
    caption: Callable[[int], str],
    count: int,
) -> None:
    """The samples with the lowest scores: heatmaps of images, for rows which column is odd."""
    model, names = detector.model_, samples.names
    worst, series = np.argsort(scores, kind="stable"), samples.series
    worst = worst[:count] if series is None else series.apart(worst)[:count]
    title = f"The {len(worst)} least normal of {len(names):,}"
    if model.grid_ is None:
        X = samples.rows(worst).array
        X = X if is_frame(X) else np.asarray(X)
        shares, columns = detector.shares(X), [str(name) for name in column_names(model)]
        cells = zip(worst, detector.odd_cells(X, shares), strict=True)
        labels = [f"row {names[i]}: {caption(i)}\n{cell}" for i, cell in cells]
        write_picture(path, lambda: figures.odd_columns(shares, labels, columns, title=title))
    elif len(model.grid_) == 2:
        X = samples.array[worst]
        pair = {"input": X, "output": model.reconstruct(X)}
        shaped = {name: np.asarray(a).reshape(-1, *model.grid_) for name, a in pair.items()}
        over = [f"{names[i]}\n{caption(i)}" for i in worst]
        beside = samples.columns or []
        write_picture(path, lambda: figures.signals(shaped, over, names=beside, title=title))
    elif pictured(model):
        X = np.asarray(samples.array[worst])
        rows = [("input", shown(model, X)), ("output", shown(model, model.reconstruct(X)))]
        errors = detector.errors(X).reshape(len(X), *(model.image_shape_ or ())).mean(axis=1)
        captions = [(names[i], caption(i)) for i in worst]
        write_picture(path, lambda: figures.contact_sheet(rows, errors, captions, title=title))


def draw_spans(path: Path, samples: Samples, spans: Sequence[tuple[int, int]]) -> None:
    """A whole series, with the spans of steps that are odd shaded."""
    series = samples.series
    assert series is not None
    count = f"{len(spans)} odd interval{'s' * (len(spans) != 1)}"
    write_picture(
        path,
        lambda: figures.timeline(
            series.series, spans, names=samples.columns or [], times=series.times, title=count
        ),
    )
