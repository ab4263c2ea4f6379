"""Hyperparameters, each declared once.

A hyperparameter is an annotated field that carries its range and its one-line help::

    class Example(Parameters):
        epochs: Annotated[int, Ge(1), "Passes over the training data."] = 10

From that line come the constructor, `get_params` and `clone`, the class documentation, the check
at `fit` (`validated`), the JSON or TOML form (`to_config`, `from_config`) and the command-line
flag (`parse`).
"""

import inspect
import math
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, dataclass_transform

import numpy as np
from annotated_types import Ge, Le
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import core_schema
from sklearn.base import BaseEstimator

from diabolo.arguments import in_words
from diabolo.errors import InputError, unknown

T = TypeVar("T")

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
LONGEST = 2**31  # what is not bounded is less
LARGEST = float(np.finfo(np.float32).max)
STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class UnknownKindError(InputError):
    """A part of a kind that no class has: `what` it should be, and its `name`."""

    def __init__(self, message: str, what: str, name: str) -> None:
        super().__init__(message)
        self.what, self.name = what, name

    def __reduce__(self) -> Any:
        return type(self), (str(self), self.what, self.name)


class _ByName:
    """The mark of a type whose values may also be given as the plain name of their kind."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        def checked(value: Any) -> Any:
            if isinstance(value, source) or (isinstance(value, str) and value in source.kinds()):
                return value
            raise ValueError

        return core_schema.no_info_plain_validator_function(checked)


BY_NAME = _ByName()
if TYPE_CHECKING:
    Part = Annotated[T | str, BY_NAME]
else:
    Part = Annotated[T, BY_NAME]  # Part[Network]: a network, or the plain name of one


@dataclass(frozen=True)
class Parameter:
    """One declared hyperparameter: its name, type with range, default and help."""

    name: str
    hint: Any
    default: Any
    help: str

    @property
    def kinds(self) -> "dict[str, type[Parameters]]":
        """The parts (corruptions, ...) that can stand here, by name; empty for plain values."""
        return {
            name: kind
            for alternative in map(bare, alternatives(self.hint))
            if inspect.isclass(alternative) and issubclass(alternative, Parameters)
            for name, kind in alternative.kinds().items()
        }

    @property
    def by_name(self) -> bool:
        """Whether a plain name can stand for a part."""
        return any(map(_by_name, alternatives(self.hint)))

    @cached_property
    def _adapter(self) -> "TypeAdapter[list[Any]]":
        one: Any = types.GenericAlias(list, (self.hint,))  # one of a dataclass takes no config
        return TypeAdapter(one, config=STRICT)

    def check(self, value: Any) -> Any:
        """`value` as the type in `hint`, or an `InputError` that says what `name` should be."""
        try:
            found = self._adapter.validate_python([_plain(value)])[0]
            long = isinstance(found, int) and found >= LONGEST
            if long and "at most" not in describe(self.hint):
                raise InputError(f"{self.name} is {found}, too large a number.")
            return found
        except ValidationError:
            what = describe(self.hint)
            raise InputError(f"{self.name} must be {what}, but is {value!r}.") from None


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class Parameters(BaseEstimator):
    """Base of everything that has hyperparameters; a subclass is a keyword-only dataclass."""

    kind: ClassVar[str] = ""
    synonyms: ClassVar[tuple[str, ...]] = ()
    _declared: "ClassVar[tuple[Parameter, ...]]"

    def __init_subclass__(
        cls, kind: str = "", synonyms: tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        annotated = inspect.get_annotations(cls)
        bases = [base for base in cls.__mro__[1:] if is_dataclass(base)]
        inherited = {f.name for base in bases for f in fields(base)}
        if bare := [name for name in vars(cls) if name in inherited and name not in annotated]:
            raise TypeError(f"{cls.__name__}.{bare[0]} overrides a parameter: annotate it.")
        cls.kind, cls.synonyms = kind or cls.__name__, synonyms
        dataclass(cls, kw_only=True, eq=False, repr=False)
        cls.__doc__ = f"{inspect.getdoc(cls)}\n\n{_documentation(cls)}".rstrip() + "\n"

    @classmethod
    def declared(cls) -> "list[Parameter]":
        """The hyperparameters of this class, in order of declaration."""
        if "_declared" not in vars(cls):
            hints = typing.get_type_hints(cls, include_extras=True)
            cls._declared = tuple(
                Parameter(f.name, hints[f.name], f.default, _help(hints[f.name]))
                for f in fields(cls)  # type: ignore[arg-type]
            )
        return list(cls._declared)

    @classmethod
    def kinds(cls) -> "dict[str, type[Parameters]]":
        """Every concrete subclass by its name in files and on the command line; then synonyms."""
        found = list(_descendants(cls))
        synonyms = {name: kind for kind in found for name in kind.synonyms}
        return {kind.kind: kind for kind in found} | synonyms

    def validated(self) -> types.SimpleNamespace:
        """A checked copy of the parameters, with the parts that plain names stand for.

        Raises `InputError` with one sentence for the first that has a wrong type or is out of
        range. The object itself stays as it was given, which `sklearn.base.clone` relies on.
        """
        checked = {}
        for p in self.declared():
            value = p.check(getattr(self, p.name))
            if p.by_name and isinstance(value, str):
                value = p.kinds[value]()
            if isinstance(value, Parameters):
                value.validated()
            checked[p.name] = value
        return types.SimpleNamespace(**checked)


def check(name: str, hint: Any, value: Any) -> Any:
    """`value` as the type in `hint`, or an `InputError` that says what `name` should be."""
    return Parameter(name, hint, MISSING, "").check(value)


def parse(parameter: Parameter, text: str) -> Any:
    """The value that `text` means for `parameter`; lists are written `128,64` or `[]`."""
    if text.lower() == "none" and _optional(parameter.hint):
        return parameter.check(None)
    if (kinds := parameter.kinds) and not parameter.by_name:
        return named(parameter.name, text, kinds)()
    for alternative in alternatives(parameter.hint):
        try:
            return parameter.check(_parsed(alternative, text))
        except ValidationError:
            continue
    raise InputError(
        f"{parameter.name} must be {describe_written(parameter.hint)}, but is {text!r}."
    )


def _optional(hint: Any) -> bool:
    """Whether None is among the values of a type."""
    return types.NoneType in map(bare, alternatives(hint))


def _has_text(hint: Any) -> bool:
    """Whether values of a type can be written as text: no modules, no generators."""
    if _by_name(hint):
        return True
    inner = bare(hint)
    items = typing.get_args(inner) if typing.get_origin(inner) is tuple else (inner,)
    plain = (int, float, bool, str, types.NoneType)
    return all(not inspect.isclass(item) or item in plain for item in map(bare, items))


def _by_name(hint: Any) -> bool:
    """Whether a type is a `Part`."""
    return BY_NAME in getattr(hint, "__metadata__", ())


def _parsed(hint: Any, text: str) -> Any:
    if _by_name(hint):
        return TypeAdapter(hint).validate_python(text)
    if typing.get_origin(bare(hint)) is tuple:
        item = typing.get_args(bare(hint))[0]
        return tuple(_parsed(item, part) for part in text.split(",")) if text != "[]" else ()
    return TypeAdapter(hint, config=STRICT).validate_strings(text)


def to_config(obj: Parameters) -> dict[str, Any]:
    """`obj` as plain values for JSON or TOML: its kind and its parameters.

    None is written "none" (TOML has no null); what has no plain form (a pair of modules, a
    random generator) is left out.
    """
    config: dict[str, Any] = {"kind": obj.kind}
    for p in obj.declared():
        value = _plain(getattr(obj, p.name))
        if isinstance(value, Parameters):
            config[p.name] = to_config(value)
        elif value is None:
            config[p.name] = "none"
        elif isinstance(value, tuple) and all(isinstance(v, int | float | str) for v in value):
            config[p.name] = list(value)
        elif isinstance(value, int | float | str):
            config[p.name] = value
    return config


def from_config(config: dict[str, Any], kinds: dict[str, type[Parameters]]) -> Parameters:
    """The object that `to_config` wrote, one of `kinds`; `InputError` on what is unknown."""
    values = dict(config)
    cls = named("kind", values.pop("kind", "missing"), kinds)
    declared = {p.name: p for p in cls.declared()}
    for name, value in values.items():
        parameter = named("parameter", name, declared)
        try:
            values[name] = _configured(parameter, value)
        except InputError as error:
            if kind := _missing_kind(parameter, value):
                raise UnknownKindError(str(error), name, kind) from None
            raise
    return cls(**values)


def _configured(parameter: Parameter, value: Any) -> Any:
    """The value of a parameter that `to_config` wrote as `value`."""
    if isinstance(value, dict) and parameter.kinds:
        value = from_config(value, parameter.kinds)
    elif value == "none" and _optional(parameter.hint):
        value = None
    parameter.check(value)
    return value


def _missing_kind(parameter: Parameter, value: Any) -> str | None:
    """The name of the kind of part that `value` asks for, if there is none of that name."""
    kind = value.get("kind") if isinstance(value, dict) else value if parameter.by_name else None
    return kind if isinstance(kind, str) and kind not in parameter.kinds else None


def named(what: str, name: Any, known: dict[str, T]) -> T:
    """`known[name]`, or an `InputError` with the nearest names."""
    if not isinstance(name, str) or name not in known:
        raise unknown(what, name, known)
    return known[name]


def describe(hint: Any) -> str:
    """A type with its range in words: "an integer of at least 1"."""
    return " or ".join(map(_describe_one, alternatives(hint)))


def describe_written(hint: Any) -> str:
    """As `describe`, without what cannot be written as text."""
    return " or ".join(map(_describe_one, filter(_has_text, alternatives(hint))))


def _describe_one(hint: Any) -> str:
    base, bounds = hint, ""
    if _by_name(hint):
        return f"one of {', '.join(map(repr, bare(hint).kinds()))}"
    if typing.get_origin(hint) is Annotated:
        base, *metadata = typing.get_args(hint)
        bounds = " and ".join(filter(None, map(in_words, metadata)))
    if typing.get_origin(base) is Literal:
        choices = typing.get_args(base)
        return f"{'one of ' if len(choices) > 1 else ''}{', '.join(map(repr, choices))}"
    if typing.get_origin(base) is tuple:
        items = [a for a in typing.get_args(base) if a is not Ellipsis]
        inner = _describe_one(items[0])
        many = "a list" if Ellipsis in typing.get_args(base) else f"{len(items)} values"
        return f"{many}, each {inner}"
    plain = {int: "an integer", float: "a number", bool: "True or False", str: "a text"}
    plain[types.NoneType] = "None"
    if inspect.isclass(base) and issubclass(base, Parameters):
        article = "an" if base.__name__[0] in "AEIOU" else "a"
        return f"{article} {base.__name__} ({', '.join(base.kinds())})"
    word = plain.get(base, f"of type {getattr(base, '__name__', base)}")
    return f"{word} {bounds}".strip()


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union, also of one inside `Annotated[A | B, ...]`; otherwise itself."""
    if typing.get_origin(hint) is Annotated:
        inner = alternatives(hint.__origin__)
        return inner if len(inner) > 1 else (hint,)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(a for member in typing.get_args(hint) for a in alternatives(member))
    return (hint,)


def bare(hint: Any) -> Any:
    """A type without its metadata."""
    return hint.__origin__ if typing.get_origin(hint) is Annotated else hint


def _help(hint: Any) -> str:
    metadata = getattr(hint, "__metadata__", ())
    return next((m for m in metadata if isinstance(m, str)), "")


def _plain(value: Any) -> Any:
    """numpy's scalars and lists as Python's own numbers and tuples."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    if isinstance(value, float) and abs(value) > LARGEST:
        return math.inf  # which torch would make of it, and no parameter may be
    return value


def _descendants(cls: type[Parameters]) -> Iterator[type[Parameters]]:
    for child in cls.__subclasses__():
        if not inspect.isabstract(child):
            yield child
        yield from _descendants(child)


def _documentation(cls: type[Parameters]) -> str:
    lines = []
    for p in cls.declared():
        default = "" if p.default is MISSING else f", default {p.default!r}"
        lines += [f"{p.name} : {describe(p.hint)}{default}", f"    {p.help}"]
    return "\n".join(["Parameters", "----------", *lines]) if lines else ""
