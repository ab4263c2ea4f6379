"""Samples on the wire: a picture of an image, of a table's row its cells.

A cell is a number, text for a category or a date, or nothing in a gap. Inside the service rows
are the stored values (N, D) that a model has of a table, whatever its columns are.
"""

from importlib import import_module
from typing import Annotated, Any

import numpy as np
from annotated_types import Len
from pydantic import BaseModel

from diabolo import columns as tables
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.studio.pictures import Picture, pictures, stored
from diabolo.tasks.oddness import column_names

Cell = float | str | None
Row = Annotated[list[Cell], Len(1, 100_000)]
Sample = Picture | Row


class Column(BaseModel):
    """A column of a table, as the page needs it.

    `scale`: how much of a number is a step of 1 for the network; `choices`: the categories;
    `gaps`: whether a cell may be empty.
    """

    name: str
    kind: tables.ColumnKind
    scale: float
    choices: list[str] | None
    gaps: bool


def columns(model: Estimator) -> list[Column] | None:
    """The columns of a model of tables, None of images."""
    if model.image_shape_ is not None:
        return None
    known, gaps = _known(model), model.fitted_.intake.table is not None
    first = np.cumsum([0, *(column.width for column in known)])[:-1]
    scales = np.broadcast_to(model.net_.scaling.scale.cpu().numpy(), sum(c.width for c in known))
    return [
        Column(
            name=str(name),
            kind=column.kind,
            scale=1.0 if column.categories is not None else float(scales[place]),
            choices=None if column.categories is None else [*map(str, column.categories)],
            gaps=gaps,
        )
        for name, column, place in zip(column_names(model), known, first, strict=True)
    ]


def rows(model: Estimator, X: Any) -> np.ndarray:
    """What a model takes or makes, as an array: of a table with named columns its values."""
    table = model.fitted_.intake.table
    return np.asarray(X) if table is None or not tables.is_frame(X) else table.values(X)


def given(model: Estimator, values: np.ndarray) -> Any:
    """What `rows` gave, as the model takes it."""
    table = model.fitted_.intake.table
    return values if table is None or not table.names else table.frame(values)


def sent(model: Estimator, values: np.ndarray) -> list[Sample]:
    """Samples of a model, from `rows`, as the page is sent them."""
    if model.image_shape_ is not None:
        return [*pictures(model, values)]
    values = np.asarray(values, np.float32).reshape(len(values), -1)
    by_column = [_cells(c, v) for c, v in zip(_known(model), values.T, strict=True)]
    return [list(row) for row in zip(*by_column, strict=True)]


def taken(model: Estimator, sample: Sample) -> np.ndarray:
    """What the page sent, as `rows` gives it, (1, ...)."""
    if model.image_shape_ is not None:
        if not isinstance(sample, Picture):
            raise InputError("This model takes images, not rows of a table.")
        return stored(model, sample)
    names = column_names(model)
    if isinstance(sample, Picture) or len(sample) != len(names):
        found = "a picture" if isinstance(sample, Picture) else f"{len(sample)} cells"
        raise InputError(f"The model takes rows of {len(names)} cells, not {found}.")
    gaps = model.fitted_.intake.table is not None
    cells = zip(names, _known(model), sample, strict=True)
    values = [_value(str(name), column, cell, gaps=gaps) for name, column, cell in cells]
    return np.array([values], model.dtype_)


def _known(model: Estimator) -> list[tables.Column]:
    """The columns that a model has learnt, or numbers of its type."""
    table = model.fitted_.intake.table
    plain = tables.Column(None, dtype=model.dtype_)
    return [plain] * model.n_features_in_ if table is None else [*table]


def _cells(column: tables.Column, values: np.ndarray) -> list[Cell]:
    """The cells of the stored values (N,) of a column."""
    there = np.isfinite(values)
    if column.categories is not None:
        names = [*map(str, column.categories)]
        places = np.where(there, values, -1).astype(int).tolist()
        return [names[place] if place >= 0 else None for place in places]
    if column.kind == "date":
        return [column.words(v) if ok else None for v, ok in zip(values, there, strict=True)]
    whole = "int" in column.dtype.lower()
    numbers = (np.rint(values) if whole else values).astype(str).astype(float).tolist()
    return [v if ok else None for v, ok in zip(numbers, there, strict=True)]


def _value(name: str, column: tables.Column, cell: Cell, *, gaps: bool) -> float:
    """The stored value of a cell, of which numbers may be text with a decimal comma."""
    if cell is None or cell == "":
        if gaps:
            return np.nan
        raise InputError(f"The column {name!r} is empty: give a number.")
    if column.categories is not None:
        names = [*map(str, column.categories)]
        if str(cell) in names:
            return names.index(str(cell))
        raise InputError(f"The column {name!r} takes one of {', '.join(names)}, not {cell!r}.")
    value = _date(column, cell) if column.kind == "date" else _number(cell)
    whole = np.iinfo(column.dtype) if column.dtype.startswith("uint") and not gaps else None
    if not np.isfinite(value) or (whole and not (value % 1 == 0 and 0 <= value <= whole.max)):
        wanted = f"a {column.kind}" if whole is None else f"whole numbers up to {whole.max}"
        raise InputError(f"The column {name!r} takes {wanted}, not {cell!r}.")
    return value


def _number(cell: float | str) -> float:
    try:
        return float(cell.replace(",", ".") if isinstance(cell, str) else cell)
    except ValueError:
        return np.nan


def _date(column: tables.Column, cell: float | str) -> float:
    pandas = import_module("pandas")
    return float(column.values(pandas.Series([str(cell)]))[0][0])
