"""The commands: typed functions on paths, which are the command line and what the page calls.

A command is a function in a module of this room (so a new one is one file)::

    @command("use", "diabolo encode runs/ae photos/ --out codes.csv")
    def encode(model: Model, source: Input, out: Out, *, force: Force = False) -> list[Path]:
        \"\"\"Write the codes of images or rows.\"\"\"

Its arguments are those that its signature declares (see `diabolo.arguments`), its help is the
first line of its docstring. What it returns is printed, line by line, or by `show`, and then, or
where it is `Told`, --json prints it as it is; a command with a parameter `say` tells all itself,
and `numbers` makes of what it returns what --json prints.
The modules are read for every help, so they import what is heavy inside their functions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from diabolo.arguments import Argument, Usage, arguments
from diabolo.data.spec import INPUT
from diabolo.errors import unknown

GROUPS = {
    "train": "train a model",
    "use": "use a model",
    "create": "make new samples",
    "measure": "measure and look",
    "more": "find your way",
}
MODEL = "a .safetensors file or a run folder"
Model = Annotated[str | Path, Usage("MODEL"), MODEL]
ModelOrRecipe = Annotated[str | Path, Usage("MODEL|RECIPE"), f"{MODEL}, or a recipe"]
Input = Annotated[str, Usage("INPUT"), INPUT]
Image = Annotated[str, Usage("INPUT"), "one image, such as mnist:test:3-3"]
Force = Annotated[bool, "replace what is there"]
Engine = Annotated[
    Literal["ray"] | None,
    "spread the work over the processors of this machine, or of the cluster at RAY_ADDRESS",
]
APPLIED = {"model", "detector"}  # what a command applies, if it does
device = ContextVar("device", default="auto")  # where models are opened
DEVICE = "where the model is applied: auto, cpu, cuda, cuda:1, ..."
F = TypeVar("F", bound=Callable[..., Any])


class Told(dict[str, Any]):
    """Numbers, which --json prints, and the lines in which they are said otherwise."""

    def __init__(self, lines: Sequence[str | Path], **numbers: Any) -> None:
        super().__init__(numbers)
        self.lines = lines


@contextmanager
def on(name: str | None) -> Iterator[None]:
    """Models that are opened meanwhile are on the device of that name; None: on the usual one."""
    token = device.set(name or device.get())
    try:
        yield
    finally:
        device.reset(token)


class Further(NamedTuple):
    """Arguments that depend on what is given: their title and themselves, for some words.

    Their texts are handed to the parameter `name` of the function, by their names.
    """

    name: str
    declared: Callable[[Sequence[str]], tuple[str, list[Argument]]]


class Command(NamedTuple):
    """A function that is a command."""

    name: str
    group: str
    example: str
    function: Callable[..., Any]
    show: Callable[[Any], None] | None = None
    further: Further | None = None
    numbers: Callable[[Any], Any] | None = None

    @property
    def words(self) -> str:
        """What it does, in a line."""
        return _in_a_line(str(self.function.__doc__))

    @property
    def arguments(self) -> list[Argument]:
        """Its arguments, the required first."""
        found = list(arguments(self.function))
        if APPLIED & {argument.name for argument in found}:
            found.append(Argument("device", str, DEVICE, "--device", "NAME", default=None))
        told = self.function.__annotations__.get("return") is Told
        if self.show or self.numbers or told:
            found.append(Argument("json", bool, "print JSON", "--json", default=False))
        return sorted(found, key=lambda argument: not argument.required)


@dataclass(frozen=True)
class Family:
    """Commands of two words, by the second."""

    name: str
    group: str
    words: str
    commands: "dict[str, Command]" = field(default_factory=dict)


COMMANDS: dict[str, Command | Family] = {}


def command(group: str, example: str, *, name: str = "", **more: Any) -> Callable[[F], F]:
    """Make a command of a function, by its own name or by `name`; `more`: the rest."""

    def declare(function: F) -> F:
        made = Command(name or function.__name__, group, example, function, **more)
        first, _, second = made.name.partition(" ")
        known = COMMANDS[first].commands if second else COMMANDS  # type: ignore[union-attr]
        known[second or first] = made
        return function

    return declare


def family(name: str, group: str, words: str) -> None:
    """Declare the first word of commands of two."""
    COMMANDS[name] = Family(name, group, words)


def found(others: Sequence[str] = ()) -> dict[str, Command | Family]:
    """Every command, by name, of all modules of this room and of some others."""
    own = [f"{__name__}.{module.name}" for module in iter_modules(__path__)]
    for name in [*own, *others]:
        import_module(name)
    return COMMANDS


def chosen(
    commands: Mapping[str, Command | Family], words: Sequence[str]
) -> tuple[Command | Family | None, list[str]]:
    """What the first words name, and the words after them; refuses what names no command."""
    node, known = None, commands
    for number, word in enumerate(words):
        if word.startswith("-"):
            return node, list(words[number:])
        if word not in known:
            outer = f"{node.name} " if node else ""
            raise unknown("command", outer + word, [outer + name for name in known])
        node = known[word]
        if isinstance(node, Command):
            return node, list(words[number + 1 :])
        known = node.commands
    return node, []


def _in_a_line(docstring: str) -> str:
    """The first line of a docstring as a help has it."""
    line = docstring.splitlines()[0].removesuffix(".")
    return line[:1].lower() + line[1:]
