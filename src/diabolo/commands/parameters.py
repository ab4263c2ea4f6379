"""The hyperparameters of a recipe's model, by the names that a person gives them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from diabolo.errors import InputError, unknown
from diabolo.models import MODELS
from diabolo.params import Parameter, Parameters, named, parse

HIDDEN = {"verbose"}


def declared(kind: str) -> list[Parameter]:
    """The parameters of a kind of model, those that are not for runs left out."""
    return [p for p in named("kind", kind, MODELS).declared() if p.name not in HIDDEN]


def nested(parameter: Parameter) -> list[tuple[str, Parameter]]:
    """The parameters of what can stand in a parameter: corruption.std, corruption.p."""
    inner = {p.name: p for kind in parameter.kinds.values() for p in kind.declared()}
    return [(f"{parameter.name}.{name}", p) for name, p in inner.items()]


def given(model: dict[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Parameters given as text, {"epochs": "3", "corruption.std": "0.5"}, as a recipe has them.

    `model` is the recipe's [model]. "seed" is `random_state`. Raises `InputError` for names and
    values that are none.
    """
    found: dict[str, Any] = {}
    known = {flag(p.name): p for p in declared(model["kind"])}
    inner = {name: p for p in known.values() for name, p in nested(p)}
    for name in texts:
        if name not in known and name not in inner:
            raise unknown("parameter", name, [*known, *inner])
    for name, parameter in known.items():
        if name in texts:
            value = parse(replace(parameter, name=name), texts[name])
            kind = {"kind": value.kind} if isinstance(value, Parameters) else None
            found[parameter.name] = kind or value
    for name, part in inner.items():
        if name in texts:
            outer = name.partition(".")[0]
            values = found[outer] = as_part(found.get(outer))
            if "kind" not in (values | as_part(model.get(outer))):
                raise InputError(f"--{name} needs a kind: give --{outer} as well.")
            values[part.name] = parse(part, texts[name])
    return found


def as_part(value: Any) -> dict[str, Any]:
    """The configuration of a part, which may be a plain name, or none."""
    return {"kind": value} if isinstance(value, str) else value or {}


def flag(name: str) -> str:
    """The name that a parameter has for a person."""
    return "seed" if name == "random_state" else name
