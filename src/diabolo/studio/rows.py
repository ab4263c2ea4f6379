"""Samples on the wire: a picture of an image, of a table's row its cells."""

from typing import Annotated, Any

import numpy as np
from annotated_types import Len
from pydantic import BaseModel

from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.studio.pictures import Picture, pictures, stored
from diabolo.tasks.anomaly import column_names

Cell = float | str | None
Row = Annotated[list[Cell], Len(1, 100_000)]
Sample = Picture | Row


class Column(BaseModel):
    """A column of a table; `scale`: how much of it is a step of 1 for the network."""

    name: str
    scale: float


def columns(model: Estimator) -> list[Column] | None:
    """The columns of a model of tables, None of images."""
    if model.image_shape_ is not None:
        return None
    scales = np.broadcast_to(model.net_.scaling.scale.cpu().numpy(), model.n_features_in_)
    pairs = zip(column_names(model), scales.tolist(), strict=True)
    return [Column(name=str(name), scale=scale) for name, scale in pairs]


def sent(model: Estimator, X: Any) -> list[Sample]:
    """Samples of a model, stored or made, as the page is sent them."""
    if model.image_shape_ is not None:
        return [*pictures(model, X)]
    values = np.asarray(X, np.float32).reshape(len(X), -1)
    shortest = values.astype(str).astype(float)
    return [[_cell(value) for value in row] for row in shortest.tolist()]


def taken(model: Estimator, given: Sample) -> np.ndarray:
    """What the page sent, as a sample (1, ...) in the type and the units of the model."""
    if model.image_shape_ is not None:
        if not isinstance(given, Picture):
            raise InputError("This model takes images, not rows of a table.")
        return stored(model, given)
    names = column_names(model)
    if isinstance(given, Picture) or len(given) != len(names):
        found = "a picture" if isinstance(given, Picture) else f"{len(given)} cells"
        raise InputError(f"The model takes rows of {len(names)} cells, not {found}.")
    cells = zip(names, given, strict=True)
    return np.array([[_stored(str(name), cell, model.dtype_) for name, cell in cells]])


def _cell(value: float) -> Cell:
    return value if np.isfinite(value) else None


def _stored(name: str, cell: Cell, dtype: str) -> Any:
    """The number in a cell of a column: perhaps text, with a decimal point or comma."""
    if cell is None or cell == "":
        raise InputError(f"The column {name!r} is empty: give a number.")
    try:
        value = float(cell.replace(",", ".") if isinstance(cell, str) else cell)
    except ValueError:
        value = np.nan
    stored = np.float64(value) if dtype == "float32" else np.float64(value).astype(dtype)
    if not np.isfinite(value) or stored != value:
        wanted = "a number" if dtype == "float32" else f"numbers of the type {dtype}"
        raise InputError(f"The column {name!r} takes {wanted}, not {cell!r}.")
    return stored
