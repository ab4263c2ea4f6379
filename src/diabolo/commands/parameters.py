"""The hyperparameters of a recipe's model, by the names that a person gives them.

`parameters.json` has them in words, so that a help needs no PyTorch: `make parameters` writes it,
and a test compares it with the classes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diabolo import recipes
from diabolo.arguments import Argument
from diabolo.errors import InputError, unknown

if TYPE_CHECKING:
    from diabolo.params import Parameter

HIDDEN = {"verbose"}
WRITTEN = Path(__file__).with_name("parameters.json")
Words = dict[str, Any]  # of a parameter: its help, default, whether it is a switch, those within


def declared(kind: str) -> "list[Parameter]":
    """The parameters of a kind of model, those that are not for runs left out."""
    from diabolo.models import kinds
    from diabolo.params import named

    return [p for p in named("kind", kind, kinds()).declared() if p.name not in HIDDEN]


def nested(parameter: "Parameter") -> "list[tuple[str, Parameter]]":
    """The parameters of what can stand in a parameter: corruption.std, corruption.p."""
    inner = {p.name: p for kind in parameter.kinds.values() for p in kind.declared()}
    return [(f"{parameter.name}.{name}", p) for name, p in inner.items()]


def given(model: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, {"epochs": "3", "corruption.std": "0.5"}, as a recipe has them.

    A text is what a person wrote and is parsed, all else is a value already. `model` is the
    recipe's [model]. "seed" is `random_state`. Raises `InputError` for names and values that are
    none.
    """
    from diabolo.params import Parameters, parse

    found: dict[str, Any] = {}
    texts = {flag(name): value for name, value in values.items()}
    known = {flag(p.name): p for p in declared(model["kind"])}
    inner = {name: p for p in known.values() for name, p in nested(p)}
    for name in texts:
        if name not in known and name not in inner:
            raise unknown("parameter", name, [*known, *inner])
    for name, parameter in known.items():
        if name in texts:
            value = texts[name]
            if isinstance(value, str):
                value = parse(replace(parameter, name=name), value)
                value = {"kind": value.kind} if isinstance(value, Parameters) else value
            found[parameter.name] = value
    for name, part in inner.items():
        if name in texts:
            outer = name.partition(".")[0]
            part_of = found[outer] = as_part(found.get(outer))
            kind = (as_part(model.get(outer)) | part_of).get("kind")
            if kind is None:
                raise InputError(f"--{name} needs a kind: give --{outer} as well.")
            kinds = known[outer].kinds
            own = {p.name: p for p in kinds[kind].declared()} if kind in kinds else {}
            part_of[part.name] = parse(own.get(part.name, part), texts[name])
    return found


def as_part(value: Any) -> dict[str, Any]:
    """The configuration of a part, which may be a plain name, or none."""
    return {"kind": value} if isinstance(value, str) else value or {}


def flag(name: str) -> str:
    """The name that a parameter has for a person."""
    return "seed" if name == "random_state" else name


def further(words: Sequence[str]) -> tuple[str, list[Argument]]:
    """An argument for every hyperparameter of the recipe that is among the words of `fit`."""
    plain = [word for word in words if not word.startswith("-")]
    shipped = recipes.names()
    named = [w for w in plain if w.endswith(".toml") or w in shipped]
    named = named or [  # what is no value of an option
        w for before, w in pairwise(["", *words]) if w in plain and not before.startswith("-")
    ]
    if not named:
        return "", []
    model = recipes.read(named[0]).model
    found = list[Argument]()
    for name, words_of in _in_words(model["kind"]).items():
        value = model.get(name, words_of["default"])
        found.append(_argument(flag(name), words_of, value))
        inner = value if isinstance(value, dict) else {}
        found += [
            _argument(f"{name}.{own}", part, inner.get(own, part["default"]))
            for own, part in words_of.get("inner", {}).items()
        ]
    return f"parameters of {model['kind']}, and their value here", found


def _argument(name: str, words: Words, value: Any) -> Argument:
    here = value.get("kind") if isinstance(value, dict) else value
    text = f"{words['help']}; {here})"
    kind = bool if "switch" in words else str
    return Argument(name, kind, text, f"--{name.replace('_', '-')}", "VALUE", default=None)


def _in_words(kind: str) -> dict[str, Words]:
    """The parameters of a kind of model, in words; of one that is not ours from its class."""
    known = _written()
    if kind not in known:
        return {p.name: _described(p) for p in declared(kind)}
    return known["Autoencoder"] | known[kind]


@cache
def _written() -> dict[str, dict[str, Words]]:
    found: dict[str, dict[str, Words]] = json.loads(WRITTEN.read_bytes())
    return found


def in_words() -> str:
    """What stands in `parameters.json`: by model what it has beyond `Autoencoder`."""
    from diabolo.models import kinds

    found = {kind: {p.name: _described(p) for p in declared(kind)} for kind in sorted(kinds())}
    shared = found["Autoencoder"]
    beyond = {
        kind: {name: words for name, words in own.items() if words != shared.get(name)}
        for kind, own in found.items()
    }
    return json.dumps(beyond | {"Autoencoder": shared}, indent=1) + "\n"


def _described(parameter: "Parameter") -> Words:
    from diabolo.params import describe

    words: Words = {
        "help": f"{parameter.help} ({describe(parameter.hint)}",
        "default": str(parameter.default),
    }
    if isinstance(parameter.default, bool):
        words["switch"] = True
    inner = {p.name: _described(p) for _, p in nested(parameter)}
    return words | ({"inner": inner} if inner else {})
