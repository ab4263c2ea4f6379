"""What a model takes: shape, stored type and column names of its samples, and their condition.

Whatever is given as X becomes rows (N, D) of a stored type: bool, uint8, uint16 or float32.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import Tensor

from diabolo import columns
from diabolo.columns import Columns
from diabolo.condition import Condition
from diabolo.data.mapped import Mapped, OnDisk
from diabolo.data.outside import brought
from diabolo.data.samples import Samples
from diabolo.data.source import Rows, Source
from diabolo.errors import InputError
from diabolo.inputs import (
    as_array,
    as_float32,
    as_rows,
    check_layout,
    in_a_sentence,
    like,
    stored_type,
)

TYPES = ("bool", "uint8", "uint16", "float32")  # that values are stored in
LAST, FEWEST = 4, 16  # so few steps for so many channels are channels and steps exchanged
LIMITS = {"bool": (0.0, 1.0), "uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}


@dataclass(frozen=True)
class Intake:
    """What samples are, as the first of them were.

    `sample_shape` is that of a sample as it was given. `grid` is (C, *sides) of what lies along
    one to three axes: (C, T) of signals, (C, H, W) of images, (C, D, H, W) of volumes; None of
    tables. `dtype` is the stored type, `names` those of the columns that a table had. `condition`
    has learnt what is given beside them. `table` describes the columns of one with categories or
    gaps.
    """

    sample_shape: tuple[int, ...]
    grid: tuple[int, ...] | None
    dtype: str
    names: tuple[str, ...] = ()
    condition: Condition | None = None
    table: Columns | None = None

    @property
    def features(self) -> int:
        """D, the number of values in a sample."""
        return math.prod(self.sample_shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a sample as the network has it: (E,) of a table, which may be wider."""
        if self.table is not None:
            return (self.table.width,)
        return self.grid or self.sample_shape

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(C, H, W) of images; None of all else."""
        if self.grid is None or len(self.grid) != 3:
            return None
        return self.grid[0], self.grid[1], self.grid[2]

    @property
    def what(self) -> str:
        """What samples are called."""
        return {0: "rows", 2: "signals", 3: "images", 4: "volumes"}[len(self.grid or ())]

    @property
    def pooled(self) -> bool:
        """Whether all values share one unit, as pixels do; columns and channels may not."""
        return self.grid is not None and len(self.grid) > 2

    @property
    def limits(self) -> tuple[float, float] | None:
        """The range of the stored type; None of floats."""
        return LIMITS.get(self.dtype)

    def rows(self, owner: Any, X: Any, peak: float = 0.0, *, gaps: bool = False) -> Tensor:
        """X as a tensor (N, D); `owner` is the estimator, and `peak` its largest stored value.

        Refuses samples of another shape, other columns, or obviously other units; images with
        NaN, unless `gaps` are allowed.
        """
        if self.table is not None:
            return _of_table(owner, X, self.table)
        alike = tuple(getattr(X, "shape", ())[1:]) == self.sample_shape
        array = as_rows(X, sure=alike)
        shape = tuple(array.shape[1:])
        if len(shape) > 1 and self.grid not in (shape, (1, *shape)):
            self._refuse(shape)
        rows, _ = _checked(owner, array, self, gaps=gaps)
        self.check_units(rows, peak)
        return _tensor(rows)

    def like(self, X: Any, rows: Tensor) -> Any:
        """Rows (N, D) in the form of X: its shape, or its columns in their order and types."""
        if self.table is not None and columns.is_frame(X):
            return self.table.frame(rows.numpy(), X)
        return like(X, rows.reshape(as_array(X).shape))

    def fill(self, X: Any, rows: Tensor) -> Any:
        """X with its gaps, and nothing else, from rows (N, D)."""
        found = self.like(X, rows)
        if columns.is_frame(X):
            return columns.filled(X, found)
        if isinstance(X, Tensor):
            return torch.where(X.isnan(), found.to(X), X)
        array = as_array(X)
        return np.where(np.isnan(array), found, array)

    def samples(self, rows: Tensor, beside: Any = None) -> Any:
        """New samples (N, *shape of a sample) of rows (N, D); a table as it was in training."""
        if self.table is not None and self.table.names:
            return self.table.frame(rows.numpy())
        return like(beside, rows.reshape(-1, *self.sample_shape))

    def source(
        self,
        owner: Any,
        X: Any,
        y: Any = None,
        X_noisy: Any = None,
        *,
        name: str = "X_noisy",
        peak: float = 0.0,
    ) -> Source:
        """The samples X as a source, with their conditions y and noisy partners if there are any.

        `name` is what the partners are called where they do not fit.
        """
        X, X_noisy = brought(X), brought(X_noisy)
        if isinstance(X, Source):
            if X.shape != self.sample_shape:
                self._refuse(X.shape)
            return self._beside(X, y)
        if isinstance(X, OnDisk):
            if X.sample != self.sample_shape or X.stored != self.dtype:
                self._refuse(X.sample, X.stored)
            return self._beside(Mapped(X, _partner_on_disk(X, X_noisy, name)), y)
        x = self.rows(owner, X, peak)
        rows = Rows(x, self.partner(owner, X, X_noisy, name), shape=self.sample_shape)
        return self._beside(rows, y)

    def validation(self, owner: Any, X_val: Any, *, paired: bool, peak: float) -> Source | None:
        """The validation set that was given: samples, (X, y), a pair (noisy, clean), or None."""
        y, noisy = None, None
        if isinstance(X_val, Samples):
            X_val, noisy, y = X_val.array, X_val.noisy, X_val.labels
        elif paired and X_val is not None:
            pair = isinstance(X_val, tuple | list) and len(X_val) == 2
            if not pair or any(part is None for part in X_val):
                raise InputError("With X_noisy, X_val must be a pair too: (noisy, clean).")
            noisy, X_val = X_val
        elif self.condition is not None and isinstance(X_val, tuple):
            X_val, y = X_val
        if X_val is None:
            return None
        return self.source(owner, X_val, y, noisy, name="The noisy part of X_val", peak=peak)

    def _beside(self, source: Source, y: Any) -> Source:
        """A source with the conditions y of its samples, where they are given and learnt."""
        if self.condition is None or self.condition.drawn or y is None:
            return source
        if not isinstance(source, Rows | Mapped):
            raise InputError("The conditions of a source of your own are not read: give arrays.")
        return replace(source, given=torch.from_numpy(self.condition.given(y, len(source))))

    def partner(self, owner: Any, X: Any, X_noisy: Any, name: str) -> Tensor | None:
        """The noisy partners of the samples X, which must be like them, as rows."""
        if X_noisy is None:
            return None
        try:
            for what, of in (("shape", lambda a: tuple(as_array(a).shape)), ("type", stored_type)):
                if of(X_noisy) != of(X):
                    raise InputError(f"its {what} is {of(X_noisy)}, that of the clean {of(X)}.")
            return self.rows(owner, X_noisy)
        except InputError as error:
            raise InputError(f"{name} does not fit: {error}") from None

    def _refuse(self, shape: tuple[int, ...], dtype: str | None = None) -> NoReturn:
        if shape == self.sample_shape:
            raise InputError(f"The model was fitted on {self.dtype}, not {dtype}: convert X.")
        raise InputError(
            f"The model was fitted on samples of shape {self.sample_shape}, not {shape}."
        )

    def check_units(self, rows: np.ndarray, peak: float) -> None:
        """Refuse values that are obviously in other units than those of the training data."""
        fitted, given = self.dtype, str(rows.dtype)
        if fitted == given or (fitted in ("bool", "float32") and rows.max() <= 1):
            return
        if fitted == "float32" and peak > 1:
            return
        if fitted == "float32":
            raise InputError(f"The model was fitted on floats, not {given}: scale X as for fit.")
        if given != "float32":
            raise InputError(f"The model was fitted on {fitted}, not {given}: convert X.")
        if fitted != "bool" and 0 < rows.max() <= 1:
            top = np.iinfo(fitted).max
            raise InputError(
                f"The model was fitted on {fitted} from 0 to {top}, but X is float within [0, 1]:"
                f" multiply it by {top}."
            )


def learn(
    owner: Any,
    X: Any,
    y: Any = None,
    X_noisy: Any = None,
    *,
    condition: Condition | None = None,
    image_shape: tuple[int, ...] | None = None,
    dimensions: int | None = None,
    table: bool = False,
) -> tuple[Intake, Source]:
    """What the samples X are, and X as a source; `image_shape` and `dimensions` as given.

    `table`: rows are those of a table that may have gaps, even if these have none.
    `condition` learns from y, one for each sample.
    """
    names: tuple[str, ...] = ()
    known, X, X_noisy = None, brought(X), brought(X_noisy)
    if isinstance(X, Source):
        shape, stored = X.shape, str(X.dtype).removeprefix("torch.")
        if stored not in TYPES:
            raise InputError(f"A source is of {', '.join(TYPES)}, not {stored}: convert it.")
        check_layout("X", shape)
        source: Source = X
    elif isinstance(X, OnDisk):
        if table:
            raise InputError("A table with categories or gaps is learnt from memory: give a part.")
        shape, stored = X.sample, X.stored
        check_layout("X", shape)
        source = Mapped(X, _partner_on_disk(X, X_noisy, "X_noisy"))
    else:
        known = None if image_shape or dimensions else _table(X, sure=table)
        array = as_rows(X, sure=dimensions == 3) if known is None else X
        shape = tuple(np.shape(array)[1:])
        if known is not None:
            rows = _of_table(owner, X, known).numpy()
            names = known.names if all(isinstance(n, str) for n in known.names) else ()
        else:
            rows, names = _checked(owner, array, None)
        source, stored = Rows(_tensor(rows), shape=shape), str(rows.dtype)
    learnt = _condition(owner, condition, y)
    grid = _grid(shape, image_shape, dimensions)
    taken = Intake(shape, grid, stored, names, learnt, known)
    if X_noisy is not None and isinstance(source, Rows):
        source = replace(source, noisy=taken.partner(owner, X, X_noisy, "X_noisy"))
    return taken, taken._beside(source, y)


def _partner_on_disk(X: OnDisk, X_noisy: Any, name: str) -> OnDisk | None:
    """The noisy partners of samples on disk, which must be like them."""
    if X_noisy is None:
        return None
    if not isinstance(X_noisy, OnDisk):
        raise InputError(f"{name} does not fit: X lies on disk, so map {name} from a file too.")
    if (X_noisy.shape, X_noisy.dtype) != (X.shape, X.dtype):
        found, wanted = (f"{a.shape} of {a.dtype}" for a in (X_noisy, X))
        raise InputError(f"{name} does not fit: it is {found}, the clean {wanted}.")
    return X_noisy


def _condition(owner: Any, condition: Condition | None, y: Any) -> Condition | None:
    """The condition, having learnt from y."""
    if condition is None:
        return None
    if condition.drawn:
        return condition.with_learnt({})
    if y is None:
        raise InputError(
            f"{owner.kind} with a condition requires y to be passed, but the target y is None:"
            " give fit(X, y), with a label or numbers for each sample."
        )
    return condition.learn(y)


def _table(X: Any, *, sure: bool) -> Columns | None:
    """What the columns of a table are, where it has categories or gaps, or is `sure` to be one."""
    array = X if columns.is_frame(X) else as_rows(X)
    if len(array.shape) != 2 or not (sure or columns.mixed(array)):
        return None
    return columns.learn(array)


def _of_table(owner: Any, X: Any, table: Columns) -> Tensor:
    """A table with such columns as a tensor (N, D)."""
    table.check_form(X)
    array = X if columns.is_frame(X) else as_rows(X)
    if len(array) == 0:
        raise InputError(
            f"Found array with 0 sample(s) (shape={tuple(array.shape)}) while a minimum of 1 is"
            f" required by {owner.kind}."
        )
    return _tensor(table.values(array))


def _checked(
    owner: Any, array: Any, known: Intake | None, *, gaps: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows (N, D) of a stored type, and the names of their columns, as scikit-learn checks them.

    In the name of the owner, but with what is known in the place of what it was fitted on.
    """
    images = len(array.shape) > 2
    if images:
        array = np.reshape(array, (len(array), math.prod(array.shape[1:])))
    blank = copy.copy(owner)
    blank.__dict__.pop("fitted_", None)
    if known is not None:
        blank.n_features_in_ = known.features
        if known.names:
            blank.feature_names_in_ = np.array(known.names, dtype=object)
    try:
        rows: np.ndarray = validate_data(
            blank,
            array,
            reset=known is None,
            dtype="numeric",
            ensure_all_finite="allow-nan" if gaps else True,
        )
    except ValueError as error:
        raise InputError(in_a_sentence(str(error))) from None
    names = tuple(getattr(blank, "feature_names_in_", ()))
    if rows.dtype.newbyteorder("=") == np.uint16:
        return rows.astype(np.uint16, copy=False), names
    if rows.dtype in (np.bool_, np.uint8):
        return rows, names
    return as_float32(rows, distinct=known is None and not images), names


def _tensor(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(rows, requirements=["C", "W"]))


def _grid(
    shape: tuple[int, ...], given: tuple[int, ...] | None, dimensions: int | None
) -> tuple[int, ...] | None:
    """(C, *sides) of samples of a shape, which an image shape that is given must fit."""
    if dimensions is not None:
        return _along(shape, dimensions, given)
    seen: Any = {1: None, 2: (1, *shape)}.get(len(shape), shape)
    if given is None:
        return seen
    found: Any = tuple(given)
    if math.prod(found) != math.prod(shape) or seen not in (None, found):
        raise InputError(f"image_shape {found} does not fit samples of shape {shape}.")
    return found


def _along(
    shape: tuple[int, ...], dimensions: int, image_shape: tuple[int, ...] | None
) -> tuple[int, ...]:
    """(C, *sides) of samples that extend along so many axes; a channel may be left out."""
    if image_shape is not None:
        raise InputError("Give image_shape or dimensions, not both: an image has two.")
    if len(shape) not in (dimensions, dimensions + 1):
        sides = ("T", "H, W", "D, H, W")[dimensions - 1]
        raise InputError(
            f"With dimensions={dimensions} X is (N, {sides}) or (N, C, {sides}), but its samples"
            f" have shape {shape}."
        )
    grid = (1, *shape) if len(shape) == dimensions else shape
    if dimensions == 1 and grid[1] <= LAST < FEWEST <= grid[0]:
        raise InputError(
            f"X has samples of shape {shape}, channels last, but signals are (C, T): give"
            " np.moveaxis(X, -1, 1)."
        )
    return grid
