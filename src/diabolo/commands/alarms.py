"""What `detect fit` and `detect score` leave: scores, regions, neighbours, intervals, a page."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diabolo.data.files import write_csv
from diabolo.names import is_frame

if TYPE_CHECKING:
    from diabolo.data import Samples
    from diabolo.report.alarms import Found
    from diabolo.tasks.anomaly import AnomalyDetector
    from diabolo.tasks.oddness import OddCell

SCORES, WORST, SPANS, TIMELINE = "scores.csv", "worst.png", "intervals.csv", "timeline.png"
MASKS, BESIDE, PAGE = "masks", "beside.csv", "report.html"
WRITTEN = (SCORES, WORST, SPANS, TIMELINE, MASKS, BESIDE, PAGE)
CASES = 6  # of each kind on the page


def write(
    folder: Path, found: "Found", source: str, *, engine: str | None, count: int
) -> list[str]:
    """Write all but the page into a folder; sentences on what was found where."""
    from diabolo.report import alarms

    _write_scores(folder / SCORES, found, _cells(found, engine), source)
    alarms.draw_worst(folder / WORST, found, count)
    if found.normal is not None and found.detector.model_.grid_ is None:
        _write_beside(folder / BESIDE, found)
    if found.regions:
        _write_masks(folder / MASKS, found)
    return [] if found.samples.series is None else _write_spans(folder, found)


def write_page(folder: Path, found: "Found", *, name: str, of: str, story: str) -> None:
    """Write the page on samples that a detector was given."""
    from diabolo.report import alarms

    about = {"name": name, "subtitle": f"What the detector finds in {of}", "story": story}
    alarms.write(folder / PAGE, found, count=CASES, **about)


def write_fitted(
    path: Path, detector: "AnomalyDetector", samples: "Samples", *, of: str, story: str
) -> None:
    """Write the page on the samples that calibrated a detector, each judged by the others."""
    import numpy as np

    from diabolo.report import alarms

    held, scores = detector.held_out_, detector.held_out_scores_
    below = np.searchsorted(np.sort(scores), scores, side="right")
    found = alarms.Found(
        detector, samples, held, scores, below / len(scores), scores < detector.offset_
    )
    subtitle = f"A detector of anomalies, fitted on {of}, and the samples that were held out"
    alarms.write(path, found, name=path.stem, subtitle=subtitle, story=story, count=CASES)


# ---- the files


def _cells(found: "Found", engine: str | None) -> "Iterator[OddCell] | None":
    """The oddest cell of each row of a table, block by block; None of what is no table."""
    if found.detector.model_.grid_ is not None:
        return None
    from diabolo.data.mapped import blocks
    from diabolo.engines import mapper

    cells = mapper(engine)(partial(_cells_of, found.detector), blocks(found.samples.array))
    return chain.from_iterable(cells)


def _cells_of(detector: "AnomalyDetector", X: Any) -> "list[OddCell]":
    import numpy as np

    return detector.odd_cells(X if is_frame(X) else np.asarray(X))


def _write_scores(
    path: Path, found: "Found", cells: "Iterator[OddCell] | None", source: str
) -> None:
    """`scores.csv`: a line a sample, or a time step of a series, in the order of the input."""
    names = _named(found.samples)
    header = [*names, "score", "p_value", "verdict"]
    columns: list[Iterable[tuple[Any, ...]]] = [
        zip(*names.values(), strict=True),
        map(_said, *found.answers),
    ]
    if cells is not None:
        header += ["oddest_column", "share_of_error", "value", "normal"]
        columns.append((c.column, f"{c.share:.4f}", c.value, c.normal) for c in cells)
    elif len(found.detector.calibration_peaks_):
        header += ["x", "y", "width", "height"]
        boxes = {i: _in_file(found, i, source) for i in found.regions}
        columns.append(boxes.get(i, ("",) * 4) for i in range(len(found.scores)))
    if found.normal is not None:
        header += [f"nearest_{n + 1}" for n in range(found.near.shape[1])]
        columns.append(_nearest(found))
    if found.samples.labels is not None:
        header.append("label")
        columns.append(zip(found.samples.labels, strict=True))
    write_csv(path, header, map(chain.from_iterable, zip(*columns, strict=True)))


def _named(samples: "Samples") -> dict[str, Iterable[Any]]:
    """What says which sample a line is of, by its header."""
    if samples.series is not None:
        return {"time": samples.series.times}
    if samples.kind in ("image", "folder"):
        return {"file": samples.names}
    frame = samples.frame
    index = {} if frame is None or frame.index is None else {frame.index: frame.aside[frame.index]}
    return {"row": samples.names, **index}


def _in_file(found: "Found", i: int, source: str) -> tuple[int, ...]:
    """The box of a pick in pixels of its file, or where it is from none of the image itself."""
    from diabolo.data.decoding import read_form
    from diabolo.data.framing import as_fit, unframed

    box, samples = found.regions[i][1], found.samples
    if samples.kind not in ("image", "folder"):
        return box
    path = Path(source) / found.name(i) if samples.kind == "folder" else Path(source)
    height, width = found.regions[i][0].shape
    fit = as_fit(samples.framing.get("fit")) or "crop"
    return unframed(box, read_form(path).size, (width, height), fit)


def _nearest(found: "Found") -> Iterator[tuple[str, ...]]:
    """The names of the normal samples nearest to each that is flagged; of others nothing."""
    assert found.normal is not None
    near = iter(found.near.tolist())
    for flag in found.flagged:
        places = next(near) if flag else []
        names = [str(found.normal.names[place]) for place in places]
        yield tuple(names or [""] * found.near.shape[1])


def _write_beside(path: Path, found: "Found") -> None:
    """`beside.csv`: each row that is flagged, and under it the nearest normal ones."""
    from diabolo.report.alarms import cell_texts
    from diabolo.tasks.oddness import column_names

    normal = found.normal
    assert normal is not None
    picks, rows = found.flagged.nonzero()[0], list[list[str]]()
    X, columns = found.rows(picks), column_names(found.detector.model_)
    for k, (i, places) in enumerate(zip(picks.tolist(), found.near.tolist(), strict=True)):
        near = [[normal.names[p], *cell_texts(normal.array, p)] for p in places]
        rows += [[found.name(i), *row] for row in [["", *cell_texts(X, k)], *near]]
    write_csv(path, ["row", "nearest", *columns], rows)


def _write_masks(folder: Path, found: "Found") -> None:
    """`masks/`: an image for each that is flagged and has an odd region, white where it is."""
    import numpy as np

    from diabolo.data.encoding import file_names, write_images

    names = file_names([found.name(i) for i in found.regions], ["L"] * len(found.regions))
    write_images(folder, names, [[mask * np.uint8(255) for mask, _ in found.regions.values()]])


def _write_spans(folder: Path, found: "Found") -> list[str]:
    """`intervals.csv`: the steps of a series that are odd, one run of them a line, and a picture.

    Gives a sentence on the first of them.
    """
    from diabolo.report import alarms

    series = found.samples.series
    assert series is not None
    _, p_values, flagged = found.answers
    spans, times = series.spans(flagged), series.times
    rows = ([times[a], times[b], b - a + 1, f"{p_values[a : b + 1].min():.6g}"] for a, b in spans)
    write_csv(folder / SPANS, ["from", "to", "steps", "smallest_p_value"], rows)
    alarms.draw_spans(folder / TIMELINE, found.samples, spans)
    if not spans:
        return []
    first, last = (times[step] for step in spans[0])
    more = f" and {len(spans) - 1} more" if len(spans) > 1 else ""
    return [f"Odd from {first} to {last}{more}."]


def _said(score: float, p_value: float, flag: bool) -> tuple[str, str, str]:
    """The answers of a sample; of a time step that no window covers, nothing."""
    from diabolo.report.alarms import word

    return (f"{score:.9g}", f"{p_value:.6g}", word(flag)) if isfinite(score) else ("", "", "")
