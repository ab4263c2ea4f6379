"""Tables by the names of their columns."""

from collections.abc import Sequence
from typing import Any

from diabolo.errors import InputError

SHOWN = 5  # names in a sentence


def is_frame(X: Any) -> bool:
    """Whether X is a table with named columns, such as a DataFrame."""
    return hasattr(X, "columns") and hasattr(X, "shape") and len(X.shape) == 2


def check_names(what: str, given: list[Any], wanted: list[Any]) -> None:
    """Refuse a table (`what`) that does not have the columns that are wanted, in any order."""
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    twice = sorted({str(name) for name in given if given.count(name) > 1})
    found = [f"lacks {some(missing)}"] if missing else []
    found += [f"has {some(extra)}, which the model does not know"] if extra else []
    found += [f"has {some(twice)} twice"] if twice else []
    if found:
        raise InputError(f"{what} {' and '.join(found)}: give the columns of the training.")


def some(names: Sequence[Any]) -> str:
    """The first of some names or values, in words."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
