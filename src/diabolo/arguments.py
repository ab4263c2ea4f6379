"""Arguments, each declared once, where a function takes it::

    def denoise(
        model: Annotated[str, Usage("MODEL"), "a .safetensors file or a run folder"],
        out: Annotated[str, Usage("--out PATH"), "where to"],
        *,
        seed: Annotated[int, Ge(0), "of the corruption"] = 0,
    )

What has a help text is an argument; `**options: Unpack[T]` stands for those of a `TypedDict`. The
command line, its help and completion, recipes and the page's forms are made of this. Nothing
heavy is imported here.
"""

import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Literal, Unpack, get_args, get_origin

import annotated_types as at

from diabolo.errors import InputError


class Usage(str):
    """How an argument is written: "INPUT" by its place, "--out PATH" by name."""

    __slots__ = ()


@dataclass(frozen=True)
class Argument:
    """An argument of a command: `hint` is its type without None, `flag` is empty by place.

    A boolean without a `metavar` is a switch.
    """

    name: str
    hint: Any
    help: str
    flag: str = ""
    metavar: str = ""
    default: Any = Parameter.empty
    bounds: tuple[Any, ...] = ()

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is Parameter.empty

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it can have, where these are few."""
        return get_args(self.hint) if get_origin(self.hint) is Literal else ()

    @property
    def switch(self) -> bool:
        """Whether it stands alone, without a value."""
        return self.hint is bool and not self.metavar

    @property
    def many(self) -> bool:
        """Whether it is a list: several words by place, with commas by name."""
        return get_origin(self.hint) in (list, Sequence)

    def read(self, text: str) -> Any:
        """The value that a text means; what it must be instead, as an `InputError`."""
        if self.many:
            return [self._one(word) for word in text.split(",")]
        return self._one(text)

    def check(self, value: Any) -> None:
        """Refuse a value that is out of range or of another type."""
        right = self._is_one(value)
        if not right or (self.bounds and not within(value, self.bounds)):
            kind = "a text" if self.hint is str else self._in_words(self.hint, self.bounds)
            raise InputError(f"{self.name} must be {kind}, but is {value!r}.")

    def _one(self, text: str) -> Any:
        kind, bounds = _parted(get_args(self.hint)[0]) if self.many else (self.hint, self.bounds)
        if self.choices and text not in self.choices:
            raise InputError(f"must be one of {', '.join(self.choices)}, but is {text!r}")
        if kind not in (int, float):
            if self.flag and not text:
                raise InputError("needs a name, but is empty")
            return text
        try:
            number = kind(text)
            if math.isfinite(number) and within(number, bounds):
                return number
        except ValueError:
            pass
        raise InputError(f"must be {self._in_words(kind, bounds)}, but is {text!r}")

    def _is_one(self, value: Any) -> bool:
        """Whether a value is of the type, or among the choices."""
        if self.choices:
            return value in self.choices
        return isinstance(value, self.hint) and isinstance(value, bool) == (self.hint is bool)

    def _in_words(self, kind: type, bounds: tuple[Any, ...]) -> str:
        match bounds:
            case (at.Gt(low), at.Lt(high)):
                such = "" if self.default is None else f", such as {self.default}"
                return f"a number between {low} and {high}{such}"
            case (at.Ge(low), at.Le(high)):
                return f"a number from {low} to {high}"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = "an integer" if kind is int else "a number"
        return " ".join([words, *map(in_words, bounds)])


def in_words(bound: Any) -> str:
    """A bound of a range in words; of anything else nothing."""
    match bound:
        case at.Ge(ge):
            return f"of at least {ge}"
        case at.Gt(gt):
            return f"above {gt}"
        case at.Le(le):
            return f"at most {le}"
        case at.Lt(lt):
            return f"below {lt}"
    return ""


def within(value: Any, bounds: tuple[Any, ...]) -> bool:
    """Whether a number keeps to its bounds."""
    holds = {
        at.Ge: lambda b: value >= b.ge,
        at.Gt: lambda b: value > b.gt,
        at.Le: lambda b: value <= b.le,
        at.Lt: lambda b: value < b.lt,
    }
    return all(holds[type(bound)](bound) for bound in bounds)


def arguments(function: Callable[..., Any]) -> Iterator[Argument]:
    """The arguments of a function, in their order; parameters without a help text are none."""
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in signature(function).parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD and get_origin(hints.get(name)) is Unpack:
            yield from keys(get_args(hints[name])[0])
        elif found := _declared(
            name,
            hints.get(name),
            parameter.default,
            by_name=parameter.kind is Parameter.KEYWORD_ONLY,
        ):
            yield found


def keys(table: Any) -> list[Argument]:
    """The arguments that are the keys of a `TypedDict`; all may be left out."""
    hints: Mapping[str, Any] = typing.get_type_hints(table, include_extras=True)
    found = (_declared(name, hint, None, by_name=True) for name, hint in hints.items())
    return [argument for argument in found if argument]


def _declared(name: str, hint: Any, default: Any, *, by_name: bool) -> Argument | None:
    """The argument that an annotation declares, if it does."""
    marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
    words = next((mark for mark in marks if type(mark) is str), None)
    if words is None:
        return None
    kind, bounds = _parted(hint)
    usage = next((mark for mark in marks if isinstance(mark, Usage)), "")
    flag, _, metavar = usage.partition(" ") if usage.startswith("-") else ("", "", usage)
    if by_name and not flag:
        flag = f"--{'no-' if default is True else ''}{name.replace('_', '-')}"
    if not metavar and kind is not bool:
        metavar = "N" if kind is int else name.upper()
    return Argument(name, kind, words, flag, metavar, default, bounds)


def _parted(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without None, of str | Path str, and its bounds."""
    marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
    kind = hint.__origin__ if marks else hint
    if get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [k for k in get_args(kind) if k not in (types.NoneType, Path)]
        kind = kinds[0]
    return kind, tuple(mark for mark in marks if isinstance(mark, at.Ge | at.Gt | at.Le | at.Lt))
