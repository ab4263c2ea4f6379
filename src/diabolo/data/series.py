"""A long series in overlapping windows, and what becomes of them back at its time steps.

A window is a sample (C, W): W steps of C channels. No window goes across a gap, where time stamps
or values are missing. What windows say of a step that several of them cover is averaged.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from diabolo.columns import ColumnKind
from diabolo.data.arrays import read_npy, read_npz
from diabolo.data.files import quietly, why
from diabolo.data.frames import Frame
from diabolo.data.samples import TABLES, Kind, Samples, kind_by_name
from diabolo.data.tables import read_frame
from diabolo.errors import InputError

STEPS = 6  # windows that cover a time step where no step is given
FEWEST, HELD = 30, 0.1  # windows of which some validate; share of a series held out, its end
JUMP = 1.5  # of the usual distance of two time stamps is a gap
TIMES = {"time", "timestamp", "datetime", "date", "t", "seconds", "step"}


@dataclass(frozen=True, eq=False)
class Windows:
    """A series (T,) or (T, C) as windows (N, C, W), of which one begins every `step` time steps.

    The last of each piece ends where it ends. `step`: a sixth of the window without one. `stamps`
    (T,) are times or numbers that rise; none: 0, 1, ... A gap is where they are further apart
    than usual, or where a value is NaN. Estimators take it as X. `starts` (N,) are the first
    steps. Raises `InputError` where no window fits.

    >>> windows = Windows(np.arange(10.0), 4, step=3)
    >>> windows.starts, windows.array.shape
    (array([0, 3, 6]), (3, 1, 4))
    >>> bool((windows.joined(windows.array) == np.arange(10)).all())
    True
    """

    series: Any
    window: int
    step: int | None = None
    stamps: Any = None
    starts: Any = None
    gaps: list[int] = field(default_factory=list)  # steps before which one is

    def __post_init__(self) -> None:
        values = np.asarray(self.series)
        if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
            raise InputError(
                f"A series is numbers (T,) or (T, C), but has shape {values.shape} of"
                f" {values.dtype}."
            )
        _check_steps("window", self.window)
        step = max(1, self.window // STEPS) if self.step is None else self.step
        _check_steps("step", step)
        if step > self.window:
            raise InputError(
                f"With a step of {step} windows of {self.window} leave time steps out: give a"
                " step of at most the window."
            )
        if self.window > len(values):
            raise InputError(
                f"The window has {self.window} time steps, but the series only {len(values)}:"
                " give a smaller window."
            )
        known: dict[str, Any] = {"series": values, "step": step}
        if self.stamps is not None:
            known["stamps"] = np.asarray(self.stamps)
        if self.starts is None:
            gaps, pieces = _pieces(values, known.get("stamps"))
            known |= {"gaps": gaps, "starts": _starts(pieces, self.window, step)}
        for name, value in known.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.starts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array.astype(dtype or self.series.dtype, copy=False)

    @property
    def array(self) -> np.ndarray:
        """The windows (N, C, W)."""
        values = self.series.reshape(len(self.series), -1)
        return np.ascontiguousarray(sliding_window_view(values, self.window, axis=0)[self.starts])

    @property
    def covered(self) -> np.ndarray:
        """How many windows cover each time step, (T,)."""
        return self._summed(np.ones(len(self)))

    def joined(self, windows: Any) -> np.ndarray:
        """Windows (N, C, W) as a series like this one, float; NaN where no window was."""
        values = np.asarray(windows).transpose(0, 2, 1)  # a channel last, as in a series
        found = self._summed(values) / _never_zero(self.covered)[:, None]
        return found.reshape(self.series.shape).astype(np.result_type(values.dtype, np.float32))

    def mean(self, scores: Any) -> np.ndarray:
        """What windows say, (N,), averaged over those that cover a time step, (T,)."""
        found: np.ndarray = self._summed(np.asarray(scores)) / _never_zero(self.covered)
        return found

    def largest(self, p_values: Any) -> np.ndarray:
        """The largest p-value of the windows that cover a time step, (T,).

        It is one of the step: where P(p <= a) <= a for a window, the largest of several is no
        smaller, so at most a. A step is odd where every window that covers it is.
        """
        found = np.full(len(self.series), np.nan)
        for start, value in zip(self.starts, np.asarray(p_values), strict=True):
            part = found[start : start + self.window]
            np.fmax(part, value, out=part)
        return found

    @staticmethod
    def spans(flags: np.ndarray) -> list[tuple[int, int]]:
        """The first and the last step of each run of steps that are flagged, (T,) bool."""
        edges = np.flatnonzero(np.diff(np.r_[False, flags, False]))
        return [(int(first), int(stop) - 1) for first, stop in edges.reshape(-1, 2)]

    def parted(self, share: float = HELD) -> tuple[np.ndarray, np.ndarray]:
        """The indices of windows before and in the last `share` of their steps: none in both."""
        first, stop = int(self.starts[0]), int(self.starts[-1]) + self.window
        cut = min(round(stop - (stop - first) * share), stop - self.window)
        before, after = self.starts + self.window <= cut, self.starts >= cut
        if not before.any():
            raise InputError(
                f"The series has {len(self)} windows, too few to hold some out that have no time"
                " steps of the others: give a longer one, or smaller windows."
            )
        return np.flatnonzero(before), np.flatnonzero(after)

    def held_out(self) -> "tuple[Windows, Windows | None]":
        """The windows to learn from, and those to validate on; few are all learnt from."""
        if len(self) < FEWEST:
            return self, None
        first, last = (self.only(part) for part in self.parted())
        return first, last

    def apart(self, index: np.ndarray) -> np.ndarray:
        """Of an index those from the first on that have no time step in common, in its order."""
        kept, free = list[int](), np.ones(len(self.series), bool)
        for number in index:
            part = free[self.starts[number] :][: self.window]
            if part.all():
                kept.append(int(number))
                part[:] = False
        return np.array(kept, dtype=int)

    def only(self, index: Any) -> "Windows":
        """The windows of an index or a slice."""
        return replace(self, starts=self.starts[index])

    @property
    def times(self) -> list[str]:
        """The time stamp of each step, as text."""
        return _texts(np.arange(len(self.series)) if self.stamps is None else self.stamps)

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The first and the last time stamp of each window, as text."""
        times = np.array(self.times)
        return times[self.starts], times[self.starts + self.window - 1]

    @property
    def notes(self) -> list[str]:
        """A sentence on the gaps, and one on steps that are in no window."""
        told, lost = list[str](), int((self.covered == 0).sum())
        if self.gaps:
            gaps = "1 gap" if len(self.gaps) == 1 else f"{len(self.gaps)} gaps, the first"
            last = self.times[max(self.gaps[0] - 1, 0)]
            told = [f"The series has {gaps} after {last}: no window goes across."]
        if lost:
            told.append(
                f"Of {len(self.series):,} time steps {lost:,} are in no window, and get no answer."
            )
        return told

    def _summed(self, values: np.ndarray) -> np.ndarray:
        """The sum of values (N, W, ...), or (N,), over the windows that cover a step, float64."""
        each = values.ndim == 1
        found = np.zeros((len(self.series), *values.shape[2:]))
        for start, value in zip(self.starts, values, strict=True):
            found[start : start + self.window] += value if not each else float(value)
        return found


def _texts(stamps: np.ndarray) -> list[str]:
    """Time stamps as they are read."""
    if stamps.dtype.kind != "M":
        return [f"{stamp:.9g}" for stamp in stamps]
    seconds = stamps.astype("datetime64[s]")
    exact = seconds if (seconds == stamps).all() else stamps.astype("datetime64[ms]")
    return [text.replace("T", " ") for text in np.datetime_as_string(exact)]


def _check_steps(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"The {name} is a number of time steps, at least 1, but is {value!r}.")


def _never_zero(counts: np.ndarray) -> np.ndarray:
    return np.where(counts, counts, np.nan)


def _pieces(values: np.ndarray, stamps: np.ndarray | None) -> tuple[list[int], list[range]]:
    """The steps before which gaps are, and the pieces between them."""
    there = np.ones(len(values), bool)
    if values.dtype.kind == "f":
        there = np.isfinite(values.reshape(len(values), -1)).all(1)
    breaks = np.zeros(len(values), bool)
    if stamps is not None and len(values) > 1:
        breaks[1:] = _jumps(stamps, len(values))
    changes = np.flatnonzero(np.r_[False, there[1:] != there[:-1]] | breaks)
    bounds = pairwise([0, *changes.tolist(), len(values)])
    pieces = [range(first, stop) for first, stop in bounds if there[first]]
    gaps = np.flatnonzero(breaks | (~there & np.r_[True, there[:-1]]))
    return gaps.tolist(), pieces


def _jumps(stamps: np.ndarray, count: int) -> np.ndarray:
    """Where a time stamp is further from the one before than usual, (T - 1,)."""
    if stamps.shape != (count,):
        raise InputError(
            f"The stamps have shape {stamps.shape}, but the series has {count} time steps."
        )
    steps = np.diff(stamps.astype("datetime64[ns]") if stamps.dtype.kind == "M" else stamps)
    steps = steps.astype(np.float64)
    if not (steps > 0).all():
        place = int(np.flatnonzero(~(steps > 0))[0]) + 1
        before, after = _texts(stamps[place - 1 : place + 1])
        raise InputError(
            f"The time stamps do not rise: {after} comes after {before}, in row {place}; sort the"
            " rows by time, one for each."
        )
    found: np.ndarray = steps > JUMP * np.median(steps)
    return found


def _starts(pieces: list[range], window: int, step: int) -> np.ndarray:
    """Where windows begin: every `step`, and so that the last ends where its piece does."""
    found = list[int]()
    for piece in pieces:
        last = piece.stop - window
        if last >= piece.start:
            found += sorted({*range(piece.start, last + 1, step), last})
    if not found:
        raise InputError(
            f"No piece of the series between its gaps has the {window} time steps of a window:"
            " give a smaller window, or fill the gaps."
        )
    return np.array(found)


# ---- files


def read_series(
    source: str | Path,
    window: int,
    step: int | None,
    *,
    index: str | None = None,
    label: str | None = None,
    kinds: Mapping[str, ColumnKind] | None = None,
    limit: int | None = None,
) -> Samples:
    """The windows of one series, the first `limit` of them, with what puts them back.

    A table has a row for each time step; its column of time stamps (`index`, or dates, or numbers
    that rise under a name such as time) is kept aside. `.npy` and `.npz` are (T,) or (T, C),
    `.wav` a sound.
    """
    path = Path(source)
    kind = kind_by_name(path)
    if kind is None or not path.is_file() or (kind not in TABLES and kind not in FORMS):
        raise InputError(
            f"{source} is no series: with a window, give a table with a row for each time step,"
            " .npy or .npz of shape (T,) or (T, C), or .wav."
        )
    if kind not in TABLES and (index or label):
        raise InputError(f"{source} is no table: leave the names of its index and label out.")
    frame, stamps = None, None
    if kind in TABLES:
        frame = read_frame(path, index=index, label=label, kinds=kinds)
        frame, stamps = _timed(frame, path, kinds or ())
        values: np.ndarray = frame.array()
    else:
        values, stamps = FORMS[kind](path)
    try:
        windows = Windows(values, window, step, stamps)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    told = [*([] if frame is None else frame.notes), *windows.notes]
    windows = windows.only(slice(limit))
    return Samples(
        windows.array,
        [*windows.ends[0]],
        kind,
        columns=None if frame is None else frame.columns,
        frame=None if frame is None else replace(frame, notes=[]),
        told=told,
        framing={"window": window, "step": int(windows.step or 1)},
        series=windows,
    )


def _timed(frame: Frame, path: Path, known: Collection[str]) -> tuple[Frame, Any]:
    """A table with its time stamps aside, of columns that are known, and these if it has some."""
    name = frame.index
    if name is None:
        dates = [n for n in frame.columns if frame.kinds[n] == "date"]
        called = [n for n in frame.columns[:1] if n.strip().lower() in TIMES]
        name = next(iter([*dates, *called]), None)
    if name is None:
        stamps = None
    else:
        column = frame.aside[name] if name in frame.aside else frame.table[name]
        stamps = _stamps(column, name, path)
        frame = frame.only([n for n in frame.columns if n != name])
        told = f'Taken as the time stamps, and not learnt: "{name}".'
        notes = [note for note in frame.notes if not note.startswith("Taken as the index")]
        frame = replace(frame, notes=[*notes, told])
    frame = frame.like(known)
    odd = [n for n in frame.columns if frame.kinds[n] not in ("number", "boolean")]
    if odd or not frame.columns:
        words = f'its column "{odd[0]}" is none' if odd else "it has no other column"
        raise InputError(
            f"The series in {path} must be numbers, but {words}: drop it, or name the time stamps"
            " with --index."
        )
    return frame, stamps


def _stamps(column: Any, name: str, path: Path) -> np.ndarray:
    """Time stamps as dates or numbers (T,)."""
    if column.dtype.kind in "iufM":
        found: np.ndarray = column.to_numpy()
    else:
        pandas: Any = import_module("pandas")
        with quietly():
            parsed = pandas.to_datetime(column, errors="coerce", utc=True).dt.tz_localize(None)
        found = parsed.to_numpy()
    odd = np.flatnonzero(np.isnat(found) if found.dtype.kind == "M" else np.isnan(found))
    if odd.size:
        raise InputError(
            f'The time stamps "{name}" of {path} are none in row {odd[0]}: correct them, or name'
            " others with --index."
        )
    return found


def _numpy(path: Path) -> tuple[np.ndarray, None]:
    found = read_npy(path) if path.suffix.lower() == ".npy" else read_npz(path)[0]
    return found.astype(found.dtype.newbyteorder("="), copy=False), None


def _sound(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The samples (T,) or (T, C) of a sound, and their times in seconds."""
    from scipy.io import wavfile

    try:
        with quietly():
            rate, values = wavfile.read(path)
    except Exception as error:  # a damaged one raises errors of many kinds
        raise InputError(f"{path} is no sound that can be read: {why(error)}") from error
    return np.array(values), np.arange(len(values)) / rate


FORMS: dict[Kind | None, Callable[[Path], tuple[np.ndarray, np.ndarray | None]]] = {
    "npy": _numpy,
    "npz": _numpy,
    "wav": _sound,
}
