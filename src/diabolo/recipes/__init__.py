"""Recipes: what can be trained by name. A recipe is a TOML file; this module reads them.

A recipe has a `title`, the `article` it follows, `notes` on what that leaves open, the `[model]`
(its kind and parameters), the model whose weights it begins with (`start`), the `[data]`
(`diabolo.data.spec`, and `validation`) and a `[report]`.
With a `base`, the name of a recipe of the package, it says only what is different there, and how
it validates.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from diabolo.data import spec
from diabolo.errors import InputError, unknown

TABLES = {
    "name": str,
    "base": str,
    "title": str,
    "article": str,
    "notes": list,
    "start": str,
    "model": dict,
    "data": dict,
    "report": dict,
}
REPORT = {"columns": int}
FIRST = re.compile(r"first ([1-9]\d?)%")
NAME = re.compile(r"\w[\w.-]*")
DEEP = re.compile(r"(?:[\w\"'-]+[ \t]*\.[ \t]*){64}")  # keys that take long to read


@dataclass(frozen=True)
class Recipe:
    """A recipe as it was read; `text` is the file."""

    name: str
    text: str
    title: str = ""
    article: str = ""
    notes: list[str] = field(default_factory=list)
    start: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[str, str] | None:
        """Where the noisy and the clean samples come from, where it learns from pairs."""
        return (self.data["noisy"], self.data["clean"]) if "noisy" in self.data else None

    @property
    def source(self) -> str:
        """Where the training samples come from; of pairs, the clean ones."""
        return str(self.data.get("clean", self.data.get("source", "mnist")))

    @property
    def test(self) -> str:
        """Where the test samples come from, or how many of the others are held out."""
        own = self.source == "mnist" and not self.pairs
        return str(self.data.get("test", "mnist:test" if own else spec.HELD_OUT))

    @property
    def without_clean(self) -> bool:
        """Whether all samples are noisy, and of pairs both."""
        return bool(self.data.get("without_clean"))

    @property
    def patches(self) -> dict[str, Any] | None:
        """`n` pieces of the images that are trained on, their `size` and how they `turn`.

        None: whole images.
        """
        if not spec.PIECES & set(self.data):
            return None
        data = {"patches": spec.PATCHES, "patch_size": spec.PATCH_SIZE} | self.data
        turn = {"turn": data["turn"]} if "turn" in data else {}
        return {"n": data["patches"], "size": data["patch_size"]} | turn

    @property
    def validation_share(self) -> float | None:
        """The share of the training samples, from the first on, that validates; None: no such."""
        found = FIRST.fullmatch(str(self.data.get("validation", "")))
        return int(found[1]) / 100 if found else None


def names() -> list[str]:
    """The recipes that come with the package, in the order of their articles."""
    return sorted(_stems(), key=lambda name: (read(name).article, name))


def read(name: str | Path) -> Recipe:
    """The recipe of that name, or in that .toml file. Raises `InputError` where there is none."""
    path = Path(name)
    if path.suffix == ".toml":
        try:
            return _parse(path.stem, path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise InputError(f"{path} is not a text file.") from None
    file = _folder() / f"{name}.toml"
    if path.name != str(name) or not file.is_file():
        raise unknown("recipe", name, _stems())
    return _parse(str(name), file.read_text(encoding="utf-8"), f"recipe {name}")


def _parse(name: str, text: str, where: str) -> Recipe:
    nested = InputError(f"{where} is not valid TOML: it is too deeply nested.")
    if DEEP.search(text):
        raise nested
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not valid TOML: {error}.") from None
    except RecursionError:
        raise nested from None
    _check(content, TABLES, where)
    _check(content.get("data", {}), spec.KEYS, f"{where}, [data]")
    _check(content.get("report", {}), REPORT, f"{where}, [report]")
    spec.check(content.get("data", {}), where)
    content = _on_base(content)
    if "kind" not in content.get("model", {}):
        raise InputError(f'{where} needs a [model] with a kind, such as kind = "Autoencoder".')
    validation = content.get("data", {}).get("validation", "test")
    if validation != "test" and not FIRST.fullmatch(str(validation)):
        raise InputError(f'{where}: validation must be "test" or like "first 20%".')
    name = str(content.pop("name", name))
    if not NAME.fullmatch(name):
        raise InputError(f"{where}: the name {name!r} must be of letters, digits, -, _ and dots.")
    return Recipe(name, text, **content)


def _on_base(content: dict[str, Any]) -> dict[str, Any]:
    """The content with what it leaves to its base; pairs need no samples or corruption of it."""
    name = content.pop("base", None)
    if name is None:
        return content
    if name not in _stems():
        raise unknown("recipe", name, _stems())
    base = read(name)
    data = {key: value for key, value in base.data.items() if key != "validation"}
    model = dict(base.model)
    if "noisy" in content.get("data", {}):
        data = {}
        model.pop("corruption", None)
    inherited = {"article": base.article, "report": base.report}
    tables = {"model": model, "data": data}
    merged = {key: {**table, **content.get(key, {})} for key, table in tables.items()}
    return {**inherited, **content, **merged}


def _check(table: dict[str, Any], known: Mapping[str, type], where: str) -> None:
    words = {str: "a text", int: "an integer", list: "a list", dict: "a table"}
    words[bool] = "true or false"
    for key, value in table.items():
        if key not in known:
            raise unknown(f"key in {where}:", key, known)
        wrong = not isinstance(value, known[key]) or value == ""
        if wrong or isinstance(value, bool) != (known[key] is bool):
            raise InputError(f"{where}: {key} must be {words[known[key]]}, but is {value!r}.")
        if known[key] is int and value < 1:
            raise InputError(f"{where}: {key} must be at least 1, but is {value}.")


def _folder() -> Any:
    return resources.files(__name__)


def _stems() -> list[str]:
    """The names of the shipped recipes."""
    return [f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml")]
