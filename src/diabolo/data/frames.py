"""A table as it was read: what is learnt of it, what is set aside, and how it was written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from diabolo.columns import ColumnKind, kind_of
from diabolo.data.cells import FEW, MANY, Written, is_free
from diabolo.data.sniff import Form
from diabolo.errors import unknown

KEPT = ("bool", "uint8", "uint16", "float16", "float32", "float64")
NONE = "none"  # asks for no index or label
NAMED = 10  # rows from which on a first column of different texts is an index
INDICES = (
    *("id", "index", "idx", "no", "no.", "nr", "nr.", "#", "key", "row"),
    *("番号", "번호", "순번"),
)
LABELS = (
    *("label", "labels", "class", "target", "y", "species", "klasse", "classe"),
    *("ラベル", "分類", "クラス", "라벨", "레이블", "분류"),
)
SHOWN = 5  # of the rows, cells or columns that are named


@dataclass(frozen=True, eq=False)
class Frame:
    """A table, the columns that cannot be learnt apart, and how it was written.

    `table` (a DataFrame) has the columns to learn from, `kinds` says what they are; `aside` has
    the others, row by row as they were: the `index`, the `label`, what is empty or free text.
    `order` are all columns as they stood. `notes` has a sentence for each thing that was
    recognised. `form` is how a file of text is written, None of others, and `written` how its
    columns are; `renamed` are names that were given for those of the file.
    """

    table: Any
    aside: Any
    order: list[str]
    kinds: dict[str, ColumnKind] = field(default_factory=dict)
    index: str | None = None
    label: str | None = None
    notes: list[str] = field(default_factory=list)
    form: Form | None = None
    written: dict[str, Written] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def columns(self) -> list[str]:
        """The names of the columns to learn from."""
        return list(self.table.columns)

    @property
    def numeric(self) -> bool:
        """Whether there are only numbers and booleans."""
        return set(self.kinds.values()) <= {"number", "boolean"}

    @property
    def labels(self) -> np.ndarray | None:
        """The labels (N,), as numbers or texts, if there is a column of them."""
        if self.label is None:
            return None
        found = self.aside[self.label]
        kind = kind_of(found)
        if kind == "number" and not found.isna().any():
            return found.to_numpy(dtype="int64")
        if kind in ("number", "boolean"):
            return found.to_numpy(dtype="float64", na_value=np.nan)
        return found.astype(object).where(found.notna(), "").to_numpy().astype(str)

    def array(self) -> np.ndarray:
        """The table as an array (N, D): numbers, gaps NaN, if it is numeric; else of objects.

        Columns of a binary file that share one type of `KEPT` have it, all others are float64.
        """
        if not self.numeric:
            return self.table.to_numpy(dtype=object)
        types = {str(dtype) for dtype in self.table.dtypes}
        kept = self.form is None and len(types) == 1 and types <= set(KEPT)
        dtype = types.pop() if kept else "float64"
        missing: Any = {"na_value": np.nan} if dtype.startswith("float") else {}
        return self.table.to_numpy(dtype=dtype, **missing)

    def only(self, names: Collection[str]) -> "Frame":
        """The frame with the columns that have none of these names set aside."""
        apart = [name for name in self.columns if name not in names]
        aside = self.aside.assign(**{name: self.table[name] for name in apart})
        kinds = {name: kind for name, kind in self.kinds.items() if name in names}
        return replace(self, table=self.table.drop(columns=apart), aside=aside, kinds=kinds)

    def like(self, names: Collection[str]) -> "Frame":
        """The frame with the columns of these names in their order; as it is if it lacks some."""
        if not names or not {*names} <= {*self.columns}:
            return self
        found = self.only(names)
        return replace(found, table=found.table[[*names]])

    def rows(self, index: Any) -> "Frame":
        """The rows of an index or a slice."""
        return replace(self, table=self.table.iloc[index], aside=self.aside.iloc[index])


def named(raw: Any, form: Form | None, notes: Sequence[str]) -> Frame:
    """A table under names that are unique texts."""
    order, renamed = list[str](), dict[str, str]()
    for place, given in enumerate(map(str, raw.columns)):
        name = given or f"unnamed_{place + 1}"
        while name in order:
            name = f"{name}.2"
        order.append(name)
        if name != given:
            renamed[name] = given
    double = [f'"{name}"' for name, given in renamed.items() if given]
    told = [f"Names that came again are made different: {some(double)}."] if double else []
    table = raw.set_axis(order, axis=1)
    return Frame(table, table[[]], order, notes=[*notes, *told], form=form, renamed=renamed)


def set_aside(
    frame: Frame, index: str | None, label: str | None, known: Mapping[str, ColumnKind]
) -> Frame:
    """The frame with index, label and what cannot be learnt aside, and a note on each.

    Columns of `known` kinds stay, unless they are asked to be index or label.
    """
    table = frame.table
    for name in (index, label):
        if name not in (None, NONE, *table.columns):
            raise unknown("column", name, table.columns)
    kinds = {name: known.get(name) or kind_of(table[name]) for name in table.columns}
    free = [name for name in table.columns if name not in known]
    empty = [name for name in free if table[name].isna().all()]
    index = index or _first(_is_index(frame, name) for name in _without(free, empty))
    label = label or _find_label(table, _without(free, [*empty, index]), lenient=bool(known))
    index, label = (None if name == NONE else name for name in (index, label))
    rest = _without(free, [*empty, index, label])
    others = [name for name in rest if kinds[name] is None]
    texts = [name for name in rest if kinds[name] == "category" and is_free(table[name])]
    apart = [n for n in table.columns if n in {index, label, *empty, *others, *texts}]
    empty = [name for name in empty if frame.renamed.get(name) != ""]
    features = table.drop(columns=apart)
    return replace(
        frame,
        table=features,
        aside=table[apart],
        kinds={name: kind for name in features.columns if (kind := kinds[name]) is not None},
        index=index,
        label=label,
        notes=[*frame.notes, *_told(index, label, empty, others, texts), *_gaps(features)],
    )


def some(names: Sequence[object]) -> str:
    """The first of many names, and how many more there are."""
    shown = ", ".join(map(str, names[:SHOWN]))
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _told(
    index: str | None, label: str | None, empty: list[str], others: list[str], texts: list[str]
) -> list[str]:
    """A sentence for each reason to leave columns out."""
    notes: list[tuple[list[str], str]] = [
        ([index] if index else [], "Taken as the index, and not learnt"),
        ([label] if label else [], "Taken as the label, and not learnt"),
        (texts, "Left out, since nearly all its texts differ"),
        (empty, "Left out, since it is empty"),
        (others, "Left out, since it has no numbers, categories or dates"),
    ]
    return [f"{words}: {_quoted(names)}." for names, words in notes if names]


def _quoted(names: Sequence[object]) -> str:
    return some([f'"{name}"' for name in names])


def _gaps(table: Any) -> list[str]:
    """A sentence on the cells that are empty, if any are."""
    counts = table.isna().sum()
    if not counts.any():
        return []
    words = "1 cell is" if counts.sum() == 1 else f"{counts.sum()} cells are"
    return [f"{words} empty, in {_quoted(counts.index[counts > 0])}."]


def _without(names: Collection[str], other: Collection[str | None]) -> list[str]:
    return [name for name in names if name not in other]


def _first(found: Any) -> str | None:
    return next(filter(None, found), None)


def _is_index(frame: Frame, name: str) -> str | None:
    """The name of a column that numbers or names the rows, so that each of its values differs."""
    column, given = frame.table[name], frame.renamed.get(name, name).strip().lower()
    first = name == frame.order[0]
    called = given in (INDICES if first else INDICES[:2])
    unnamed = first and given in ("", "unnamed: 0")
    kind = kind_of(column) if len(frame.order) > 1 else None
    if kind == "number":
        likely = (called or unnamed) and bool((column % 1 == 0).all())
    else:
        likely = kind == "category" and (called or (first and len(column) >= NAMED))
    return name if likely and not column.isna().any() and column.is_unique else None


def _find_label(table: Any, free: list[str], *, lenient: bool) -> str | None:
    """The first or last column, if it is called like a label and has few different values."""
    ends = [name for name in (*table.columns[-1:], *free[:1], *free[-1:]) if name in free]
    return _first(_is_label(table, name, lenient=lenient) for name in ends)


def _is_label(table: Any, name: str, *, lenient: bool) -> str | None:
    column, given = table[name], name.strip().lower()
    others = {other.strip().lower() for other in table.columns}
    if given not in LABELS or len(others) < 2 or (given == "y" and "x" in others):
        return None
    kind, different, n = kind_of(column), column.nunique(), int(column.count())
    few = different <= max(FEW, min(n / 10, MANY))
    if kind == "number":
        few = few and bool((column.dropna() % 1 == 0).all()) and (different < n or n < 3)
    return name if lenient or (few and kind in ("number", "category", "boolean")) else None
