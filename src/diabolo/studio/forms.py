"""The fields of a form, made from the declarations of hyperparameters and data options."""

import types
from dataclasses import MISSING
from typing import Any, Literal, get_args, get_origin

import annotated_types as at
from pydantic import BaseModel

from diabolo.commands.parameters import declared, flag
from diabolo.data import spec
from diabolo.params import Parameter, Parameters, alternatives, bare, describe, describe_written
from diabolo.recipes import Recipe

BOUNDS = {
    at.Ge: ("minimum", "ge"),
    at.Le: ("maximum", "le"),
    at.Gt: ("exclusive_minimum", "gt"),
    at.Lt: ("exclusive_maximum", "lt"),
}
NUMBERS: dict[Any, Any] = {int: "integer", float: "number", bool: "boolean", str: "text"}


class Field(BaseModel):
    """A hyperparameter: what it is, what it may be, and what it is now, as text."""

    name: str
    help: str
    words: str
    type: Literal["integer", "number", "boolean", "choice", "list", "text", "part"]
    value: str
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    choices: list[str] | None = None
    parts: "dict[str, list[Field]] | None" = None


def fields(recipe: Recipe) -> list[Field]:
    """The form of a recipe's model, each with the recipe's value."""
    model = {"random_state": 0, **recipe.model}
    return [field(p, model.get(p.name, p.default)) for p in declared(model["kind"])]


def data_fields(recipe: Recipe) -> list[Field]:
    """The form of a recipe's data; without a source it is trained on the shipped digits."""
    values = {"source": recipe.source, **recipe.data}
    return [
        Field(
            name=name,
            help=option.help.replace("--", ""),
            words="",
            value=as_text(values.get(spec.RENAMED.get(name, name), [*option.choices, ""][0])),
            type="choice" if option.choices else NUMBERS[option.hint],
            choices=list(option.choices) or None,
            **_bounds(option.bounds),
        )
        for name, option in spec.OPTIONS.items()
    ]


def field(parameter: Parameter, value: Any, prefix: str = "") -> Field:
    """The field of a parameter that has a value, an object or its configuration."""
    name, hints = flag(parameter.name), alternatives(parameter.hint)
    inner = value if isinstance(value, dict) else {}
    parts = {
        kind: [field(p, inner.get(p.name, p.default), f"{name}.") for p in part.declared()]
        for kind, part in parameter.kinds.items()
    }
    if parameter.by_name and not any(parts.values()):
        parts = {}
    plain = parameter.by_name or not parts
    return Field(
        name=prefix + name,
        help=parameter.help,
        words=describe_written(parameter.hint) if plain else describe(parameter.hint),
        value=as_text(value),
        optional=types.NoneType in map(bare, hints),
        parts=parts or None,
        **_input(parameter, whole=bool(parts)),
    )


def _input(parameter: Parameter, *, whole: bool) -> dict[str, Any]:
    """What is put in: the type, and the choices or bounds; `whole`: a part with its own fields."""
    if parameter.kinds:
        return {"type": "part" if whole else "choice", "choices": [*parameter.kinds]}
    hints = alternatives(parameter.hint)
    literals = [bare(hint) for hint in hints if get_origin(bare(hint)) is Literal]
    if literals:
        return {"type": "choice", "choices": [c for hint in literals for c in get_args(hint)]}
    main = next(hint for hint in hints if bare(hint) in NUMBERS or get_origin(bare(hint)) is tuple)
    if get_origin(bare(main)) is tuple:
        return {"type": "list"}
    return {"type": NUMBERS[bare(main)], **_bounds(getattr(main, "__metadata__", ()))}


def _bounds(marks: tuple[Any, ...]) -> dict[str, Any]:
    """The bounds that are among the marks of a type."""
    return {
        BOUNDS[type(mark)][0]: getattr(mark, BOUNDS[type(mark)][1])
        for mark in marks
        if type(mark) in BOUNDS
    }


def as_text(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, dict):
        return str(value["kind"])
    if isinstance(value, Parameters):
        return value.kind
    if isinstance(value, list | tuple):
        return ",".join(map(as_text, value)) or "[]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else "" if value is MISSING else str(value)
