"""What a detector finds, in pictures and on a page: the oddest samples, the nearest to its
threshold, how its scores lie, and whether as many are flagged as was asked for."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from diabolo import figures
from diabolo.data import Samples
from diabolo.figures.pictures import Box
from diabolo.names import is_frame
from diabolo.report import embedded, write_page, write_picture
from diabolo.report.pictures import Picture
from diabolo.tasks import conformal, nearby
from diabolo.tasks.anomaly import AnomalyDetector
from diabolo.tasks.evaluation import pictured, shown
from diabolo.tasks.oddness import OddCell, column_names

BORDERLINE = 6  # samples next to the threshold, on the page
BESIDE = 3  # nearest normal samples of each
COLUMNS = 12  # of a row, on the page
FARTHEST = 0.3  # false-alarm rate of the curve
AT_ONCE = 512  # images whose regions are sought


@dataclass(frozen=True)
class Found:
    """What a detector says of the samples at some places (N,): scores, p-values and verdicts.

    `normal` are samples known to be normal, of which the nearest are shown beside odd ones.
    """

    detector: AnomalyDetector
    samples: Samples
    places: np.ndarray
    scores: np.ndarray
    p_values: np.ndarray
    flagged: np.ndarray
    normal: Samples | None = None

    @property
    def answers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score, p-value and verdict of each sample, or of each time step of a series.

        A step is odd where every window that covers it is.
        """
        if (series := self.samples.series) is None:
            return self.scores, self.p_values, self.flagged
        scores, p_values = series.mean(self.scores), series.largest(self.p_values)
        return scores, p_values, series.mean(self.flagged) == 1

    @property
    def own(self) -> bool:
        """Whether these are the samples that calibrated the detector."""
        return np.array_equal(np.sort(self.scores), self.detector.calibration_scores_)

    def name(self, i: int) -> str:
        """The name of a sample."""
        return str(self.samples.names[int(self.places[i])])

    def caption(self, i: int) -> str:
        """A sample's p-value and verdict."""
        return f"p = {self.p_values[i]:.3g}, {word(self.flagged[i])}"

    def rows(self, picks: np.ndarray) -> Any:
        """The samples at picks of these, as a detector takes them."""
        X = self.samples.rows(self.places[picks]).array
        return X if is_frame(X) else np.asarray(X)

    def worst(self, count: int) -> np.ndarray:
        """The picks with the lowest scores, lowest first; of windows those that lie apart."""
        return self._apart(np.argsort(self.scores, kind="stable"), count)

    def borderline(self, count: int) -> np.ndarray:
        """The picks next to the threshold, in the order of their scores."""
        offset = self.detector.offset_
        if not np.isfinite(offset):
            return np.empty(0, dtype=int)
        near = self._apart(np.argsort(np.abs(self.scores - offset), kind="stable"), count)
        return near[np.argsort(self.scores[near], kind="stable")]

    def _apart(self, picks: np.ndarray, count: int) -> np.ndarray:
        if (series := self.samples.series) is None:
            return picks[:count]
        return series.only(self.places).apart(picks)[:count]

    @cached_property
    def regions(self) -> dict[int, tuple[np.ndarray, Box]]:
        """Mask and box of each flagged image in which something is odd, by its pick."""
        found = dict[int, tuple[np.ndarray, Box]]()
        if len(self.detector.calibration_peaks_) == 0:
            return found
        picks = np.flatnonzero(self.flagged)
        for start in range(0, len(picks), AT_ONCE):
            part = picks[start : start + AT_ONCE]
            masks, boxes = self.detector.odd_regions(self.rows(part))
            for i, mask, box in zip(part, masks, boxes, strict=True):
                if mask.any():
                    x, y, width, height = box.tolist()
                    found[int(i)] = mask, (x, y, width, height)
        return found

    @cached_property
    def near(self) -> np.ndarray:
        """As `beside`, of all that are flagged."""
        return self.beside(np.flatnonzero(self.flagged))

    def beside(self, picks: np.ndarray) -> np.ndarray:
        """The places of the nearest normal samples of picks, (n, m), nearest first."""
        if self.normal is None or len(picks) == 0:
            return np.empty((len(picks), 0), dtype=int)
        X = self.normal.array
        known = X if is_frame(X) else np.asarray(X)
        return nearby.beside(self.detector.model_, self.rows(picks), known, BESIDE)


def word(flag: bool) -> str:
    """A verdict."""
    return "anomaly" if flag else "normal"


# ---- pictures


def draw(found: Found, picks: np.ndarray, title: str | None = None) -> figures.Figure | None:
    """Some samples: heatmaps of images, for rows which column is odd; None: they cannot be."""
    model, names = found.detector.model_, [found.name(i) for i in picks]
    if model.grid_ is None:
        X = found.rows(picks)
        shares, columns = found.detector.shares(X), [str(name) for name in column_names(model)]
        cells = zip(picks, names, found.detector.odd_cells(X, shares), strict=True)
        labels = [f"row {name}: {found.caption(i)}\n{cell}" for i, name, cell in cells]
        return figures.odd_columns(shares, labels, columns, title=title)
    if len(model.grid_) == 2:
        X = found.rows(picks)
        pair = {"input": X, "output": model.reconstruct(X)}
        shaped = {name: np.asarray(a).reshape(-1, *model.grid_) for name, a in pair.items()}
        over = [f"{name}\n{found.caption(i)}" for i, name in zip(picks, names, strict=True)]
        beside = found.samples.columns or []
        return figures.signals(shaped, over, names=beside, title=title)
    return _sheet(found, picks, names, title) if pictured(model) else None


def _sheet(
    found: Found, picks: np.ndarray, names: Sequence[str], title: str | None
) -> figures.Figure:
    """Images with what was made of them, the nearest normal one, and their errors."""
    model, X = found.detector.model_, found.rows(picks)
    rows = [("input", shown(model, X)), ("output", shown(model, model.reconstruct(X)))]
    captions = [[n, found.caption(i)] for i, n in zip(picks, names, strict=True)]
    near = found.beside(picks)
    if found.normal is not None:
        beside = np.asarray(found.normal.array[near[:, 0]])
        rows.append(("normal", shown(model, beside)))
        for lines, place in zip(captions, near[:, 0], strict=True):
            lines.append(f"beside {found.normal.names[int(place)]}")
    errors = found.detector.errors(X).reshape(len(X), *(model.image_shape_ or ())).mean(axis=1)
    boxes = [found.regions[i][1] if i in found.regions else None for i in picks.tolist()]
    return figures.contact_sheet(rows, errors, captions, boxes=boxes, title=title)


def draw_worst(path: Path, found: Found, count: int) -> None:
    """The samples with the lowest scores, where they can be drawn."""
    picks = found.worst(count)
    title = f"The {len(picks)} least normal of {len(found.samples.names):,}"
    with figures.theme():
        figure = draw(found, picks, title)
        if figure is not None:
            write_picture(path, lambda: figure)


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


# ---- the page


def write(path: Path, found: Found, *, name: str, subtitle: str, story: str, count: int) -> None:
    """Write the page of a detector, on samples: its scores, its rate, and cases to look at."""
    detector = found.detector
    with figures.theme():
        pictures = [embedded(picture) for picture in _gallery(found, count)]
    numbers = {
        "samples": f"{len(found.scores):,}",
        "flagged": f"{int(found.flagged.sum()):,}",
        "false-alarm rate asked": f"{100 * detector.fitted_config_['false_alarm_rate']:.4g} %",
        "calibrated on": f"{len(detector.calibration_scores_):,}",
        "threshold": f"{detector.offset_:.4g}",
    }
    write_page(
        path,
        "detector.html",
        name=name,
        subtitle=subtitle,
        story=story,
        numbers=numbers,
        pictures=pictures,
        cases=_cases(found, found.worst(count)),
        parameters={**detector.fitted_config_, "model": detector.model_.kind},
    )


def _gallery(found: Found, count: int) -> Iterator[Picture]:
    detector = found.detector
    sets = {"held-out normal samples": detector.calibration_scores_}
    if not found.own:
        sets["these samples"] = found.scores
    figure = figures.score_histogram(sets, detector.offset_)
    caption = "How normal the samples are that set the threshold, and those that were judged."
    yield Picture("scores", "Scores", caption, figure)
    yield _curve(found)
    for name, picks, caption in (
        ("worst", found.worst(count), "The lowest scores."),
        ("borderline", found.borderline(BORDERLINE), "The scores next to the threshold."),
    ):
        drawn = draw(found, picks) if len(picks) else None
        if drawn is not None:
            heading = "Least normal" if name == "worst" else "Borderline"
            yield Picture(name, heading, caption, drawn)


def _curve(found: Found) -> Picture:
    """The share flagged at each rate, beside what chance alone makes of normal samples."""
    detector, picks = found.detector, found._apart(np.arange(len(found.scores)), len(found.scores))
    p_values, n = found.p_values[picks], len(detector.calibration_scores_)
    caption = (
        "If all samples are normal, the line lies in the band, at each rate in 95 of 100 cases;"
        " where some are odd it lies above, and below it they are more normal than those held out."
    )
    if found.own and len(found.scores) > 1:
        n = (len(found.scores) + 1) // 2
        p_values = conformal.p_values(np.sort(found.scores[:n]), found.scores[n:])
        caption = (
            "The second half of the held-out samples, in the order of the data, as the first half"
            " judges them: outside the band, normal samples change along the data."
        )
    if detector.seen_:
        caption += " The detector was calibrated on what its model had learnt: nothing holds."
    rates = np.linspace(0, FARTHEST, 301)[1:]
    band = conformal.expected(n, len(p_values), rates)
    asked = min(detector.fitted_config_["false_alarm_rate"], FARTHEST)
    shares = conformal.observed(p_values, rates)
    figure = figures.calibration(rates, shares, band, asked=asked)
    return Picture("calibration", "Alarms observed, at the rate asked", caption, figure)


def _cases(found: Found, picks: np.ndarray) -> list[dict[str, Any]]:
    """Of a table's rows what is odd in each, and beside it the nearest normal rows."""
    model = found.detector.model_
    if model.grid_ is not None or len(picks) == 0:
        return []
    X = found.rows(picks)
    shares, columns = found.detector.shares(X), [str(name) for name in column_names(model)]
    cells, near = found.detector.odd_cells(X, shares), found.beside(picks)
    cases = []
    for k, (i, cell) in enumerate(zip(picks.tolist(), cells, strict=True)):
        shown = np.argsort(-shares[k], kind="stable")[:COLUMNS]
        rows = [("this row", _values(X, k, shown))]
        if found.normal is not None:
            for place in near[k].tolist():
                name = f"normal row {found.normal.names[place]}"
                rows.append((name, _values(found.normal.array, place, shown)))
        words = f"{found.caption(i)}. {_odd(cell)}"
        row: dict[str, Any] = {"name": f"Row {found.name(i)}", "words": words}
        cases.append(row | {"columns": [columns[j] for j in shown], "rows": rows})
    return cases


def _odd(cell: OddCell) -> str:
    return (
        f"Oddest is {cell.column}, {cell.share:.0%} of the error: {cell.value}, where"
        f" {cell.normal} would have been normal."
    )


def _values(X: Any, row: int, columns: np.ndarray) -> list[str]:
    whole = cell_texts(X, row)
    return [whole[j] for j in columns]


def cell_texts(X: Any, row: int) -> list[str]:
    """The cells of a row of a table, as one reads them; nothing in gaps."""
    return [_text(v) for v in (X.iloc[row] if is_frame(X) else np.asarray(X[row])).tolist()]


def _text(value: Any) -> str:
    """A cell as it is written."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if str(value) in ("None", "NaT", "<NA>") else str(value)
