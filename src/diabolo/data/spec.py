"""The data options: what a recipe's [data], the command line and the page's form can say.

Each is declared once, with its type, range and help, and so is what does not go together.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

from annotated_types import Ge

from diabolo.arguments import Argument, Usage, keys
from diabolo.data import framing
from diabolo.errors import InputError

INPUT = (
    "an image, a folder of images, .npy/.npz, IDX (.gz or not), a table (CSV, Excel, Parquet,"
    " Arrow), or mnist:test, mnist:test:100 (the first hundred), mnist:test:3-7 (from"
    " number 3 to number 7)"
)
PATCHES, PATCH_SIZE = 20_000, 32
HELD_OUT = "held out 10%"
HELD_OUT_FIRST = "held out 10% of the first"  # of what a limit needs; the rest is not read

SAMPLES = f"mnist, or training samples: {INPUT}"

Source = Annotated[str, Usage("DATA"), SAMPLES]
Test = Annotated[str | None, Usage("--test INPUT"), "test samples; without it a tenth is held out"]
Limit = Annotated[int | None, Ge(1), "train on the first N samples"]
Size = Annotated[
    str | None,
    Usage("--size S"),
    "bring images to S x S pixels, or as 64x48 to this width x height; without it images that"
    " differ in size, or are large, are brought to one that is chosen and said",
]
Window = Annotated[
    int | None,
    Ge(1),
    Usage("--window STEPS"),
    "the data are one long series, a table with a row for each time step, .npy (T,) or (T, C) or"
    " .wav, of which windows of so many steps are learnt",
]
Step = Annotated[
    int | None,
    Ge(1),
    Usage("--step STEPS"),
    "from the beginning of one window to that of the next (a sixth of the window)",
]
Index = Annotated[
    str | None, Usage("--index NAME"), "the column that numbers the rows of a table, or none"
]
Label = Annotated[
    str | None, Usage("--label NAME"), "the column of labels in a table, or none; not learnt"
]
Turn = Literal["none", "mirror", "all"]
Fit = Annotated[
    framing.Fit | None,
    Usage("--fit HOW"),
    "what becomes of other proportions: crop (the default), pad or stretch",
]


class Options(TypedDict, total=False):
    """What a model is trained on, and which part of it."""

    data: Annotated[str | None, Usage("--data INPUT"), SAMPLES]
    test: Test
    noisy: Annotated[
        str | None,
        Usage("--noisy INPUT"),
        "instead of --data: what to learn to clean, in pairs with --clean",
    ]
    clean: Annotated[
        str | None,
        Usage("--clean INPUT"),
        "what should come of it: images of the same names in folders, rows in files",
    ]
    without_clean: Annotated[
        bool | None,
        Usage("--without-clean"),
        "the images are noisy, and there are no clean ones: learn from these alone; of --noisy and"
        " --clean, which are two noisy shots of the same then, both are learnt from",
    ]
    limit: Limit
    window: Window
    step: Step
    size: Size
    fit: Fit
    index: Index
    label: Label
    patches: Annotated[
        int | None,
        Ge(1),
        f"train on N square pieces of the images, which may differ in size ({PATCHES})",
    ]
    patch_size: Annotated[
        int | None, Ge(1), Usage("--patch-size S"), f"train on such pieces of S x S ({PATCH_SIZE})"
    ]
    turn: Annotated[
        Turn | None,
        Usage("--turn HOW"),
        "how pieces to train on are turned, at random: none (the default), mirror (left and right"
        " exchanged or not) or all (the eight ways)",
    ]


class Rule(NamedTuple):
    """What does not go together, and how that is said of flags and of a recipe's keys."""

    broken: Callable[[set[str]], object]
    flags: str
    keys: str


PIECES, FRAME = {"patches", "patch_size"}, {"size", "fit"}
OF_PIECES = PIECES | {"turn"}
SERIES = ("window", "step")
ROLES = ("index", "label")  # of columns, which are recognised without these options
NOT_BOTH = "give noisy and clean, or source and test, not both."
RULES = (
    Rule(
        lambda given: len(given & {"noisy", "clean"}) == 1,
        "--noisy and --clean go together: give both, or --data.",
        "noisy and clean go together, give both or neither.",
    ),
    Rule(
        lambda given: given >= {"noisy", "source"},
        "Give --data, or --noisy and --clean, not both.",
        NOT_BOTH,
    ),
    Rule(
        lambda given: given >= {"noisy", "test"},
        "--test cannot be given with --noisy and --clean: a tenth of the pairs is held out.",
        NOT_BOTH,
    ),
    Rule(
        lambda given: "turn" in given and not given & PIECES,
        "Only patches are turned: give --patches as well, or leave --turn out.",
        "only patches are turned, give patches as well or leave turn out.",
    ),
    Rule(
        lambda given: "step" in given and "window" not in given,
        "A step is that of windows: give --window as well, or leave --step out.",
        "a step is that of windows, give window as well or leave step out.",
    ),
    Rule(
        lambda given: "window" in given and given & {"noisy", "without_clean", *OF_PIECES, *FRAME},
        "With --window the data are one series: leave out what is of images and of pairs.",
        "with window the data are one series, leave out what is of images and of pairs.",
    ),
    Rule(
        lambda given: given & FRAME and given & PIECES,
        "Patches are cut from images as they are: leave --size and --fit out.",
        "patches are cut from images as they are, leave size and fit out.",
    ),
    Rule(
        lambda given: "noisy" in given and given & set(ROLES),
        "Of pairs, index and label are found by themselves: leave --index and --label out.",
        "of pairs, index and label are found by themselves, leave them out.",
    ),
)
OPTIONS: dict[str, Argument] = {option.name: option for option in keys(Options)}
RENAMED = {"data": "source"}  # option: key in [data], where the names differ
KEYS: dict[str, type] = {
    RENAMED.get(name, name): str if option.choices else option.hint
    for name, option in OPTIONS.items()
}
KEYS["validation"] = str
SOURCES = {name for name, option in OPTIONS.items() if option.metavar == "INPUT"}
PATHS = {RENAMED.get(name, name) for name in SOURCES}


def check(given: Mapping[str, Any], where: str = "") -> None:
    """Refuse keys of [data] that do not go together, or mean no size and no fit.

    Of a recipe, `where` says which.
    """
    keys = {key for key, value in given.items() if value not in (HELD_OUT, HELD_OUT_FIRST)}
    for rule in RULES:
        if rule.broken(keys):
            raise InputError(f"{where}: {rule.keys}" if where else rule.flags)
    try:
        frame(given)
    except InputError as error:
        raise InputError(f"{where}: {error}" if where else str(error)) from None


def table(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as [data] has them, with paths that hold from anywhere."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        OPTIONS[name].check(value)
    found = {RENAMED.get(name, name): value for name, value in given.items()}
    check(found)
    return absolute(found)


def absolute(data: Mapping[str, Any]) -> dict[str, Any]:
    """A [data] that still holds when its recipe is fitted from elsewhere."""
    return {key: _absolute(value) if key in PATHS else value for key, value in data.items()}


def frame(data: Mapping[str, Any]) -> dict[str, Any]:
    """What of a [data] says to which size images are brought, as `read` takes it."""
    found = {key: data.get(key) for key in FRAME}
    framing.as_fit(found["fit"])
    if found["size"] is not None:
        framing.read_size(found["size"])
    return found


def is_mnist(source: str) -> bool:
    """Whether a source is of the shipped digits, so no path."""
    return source.partition(":")[0] == "mnist"


def _absolute(source: str) -> str:
    return source if is_mnist(source) or not Path(source).exists() else str(Path(source).resolve())
