"""The command line: `diabolo COMMAND ...`. It parses, calls `diabolo.commands`, and prints.

Nothing heavy is imported before it is known what is asked for. The flags of `fit` come from the
hyperparameters of the recipe's model.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from diabolo import __version__, recipes
from diabolo.errors import IncompleteError, InputError, unknown

if TYPE_CHECKING:
    from diabolo.params import Parameter

Arguments = argparse.Namespace
MODEL_HELP = "a .safetensors file or a run folder"
RESUMED = "--resume goes on with the run as it was begun: give nothing else."
INPUT_HELP = (
    "an image, a folder of images, .npy/.npz, IDX (.gz or not), CSV/Parquet, or mnist:test,"
    " mnist:test:100 (the first hundred), mnist:test:3-7 (from number 3 to number 7)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0: done, 2: the user's mistake, 130: interrupted."""
    try:
        arguments = _parse(list(sys.argv[1:] if argv is None else argv))
        arguments.run(arguments)
        sys.stdout.flush()
    except IncompleteError as error:
        for sentence in str(error).splitlines():
            print(f"diabolo: {sentence}", file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"diabolo: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"diabolo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("diabolo: interrupted", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """argparse, with a mistake as an `InputError`."""

    def error(self, message: str) -> NoReturn:
        plain = re.sub(r"^argument (\S+): (must|needs)", r"\1 \2", message)
        plain = plain.replace("expected one argument", "a value is missing")
        raise InputError(f"{plain[0].upper()}{plain[1:]}; see {self.prog} --help.")


def _name(text: str) -> str:
    """A name of something, which has at least a letter."""
    if text:
        return text
    raise argparse.ArgumentTypeError("needs a name, but is empty")


def _integer(least: int) -> Callable[[str], int]:
    """What reads an integer of at least `least`."""

    def read(text: str) -> int:
        try:
            if (number := int(text)) >= least:
                return number
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(
            f"must be an integer of at least {least}, but is {text!r}"
        )

    return read


def _one_of(*names: str) -> Callable[[str], str]:
    """What reads one of some names."""

    def read(text: str) -> str:
        if text in names:
            return text
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, but is {text!r}")

    return read


def _number(words: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """What reads a number that fits; `words` say which do."""

    def read(text: str) -> float:
        try:
            if fits(number := float(text)):
                return number
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"must be a number {words}, but is {text!r}")

    return read


_temperature = _number("of at least 0", lambda number: 0 <= number < float("inf"))
_rate = _number("between 0 and 1, such as 0.05", lambda number: 0 < number < 1)


def _parse(argv: list[str]) -> Arguments:
    parser = _Parser(
        prog="diabolo",
        description="Train autoencoders and put them to use.",
        allow_abbrev=False,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"diabolo {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        _add_command(commands, name, command)
    if argv[:1] == ["fit"]:
        _add_parameters(commands.choices["fit"], argv[1:])
    named = _named(parser, argv)
    arguments, rest = parser.parse_known_args([_dashed(word) for word in argv])
    if rest and getattr(arguments, "resume", None) is not None:
        raise InputError(RESUMED)
    if rest:
        if rest[0].startswith("-"):
            raise unknown("option", rest[0].split("=")[0], named._option_string_actions)
        raise InputError(f"{rest[0]!r} is one argument too many; see {named.prog} --help.")
    return arguments


def _named(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.ArgumentParser:
    """The parser of the command that the first words name; refuses what names none."""
    for word in argv:
        choices = parser._subparsers and parser._subparsers._group_actions[0].choices
        if not isinstance(choices, dict) or word.startswith("-"):
            break
        if word not in choices:
            outer = parser.prog.split()[1:]
            known = [" ".join([*outer, choice]) for choice in choices]
            raise unknown("command", " ".join([*outer, word]), known)
        parser = choices[word]
    return parser


def _add_command(commands: Any, name: str, command: "Command") -> None:
    words, add, run = command
    parser = commands.add_parser(
        name, help=words, description=words, allow_abbrev=False, formatter_class=_Help
    )
    parser.set_defaults(run=run)
    add(parser)


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


def _dashed(word: str) -> str:
    """--latent_dim means --latent-dim."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word


# ---- fit


def _add_fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="a name (see diabolo recipes) or a .toml file"
    )
    parser.add_argument(
        "--resume", type=_name, metavar="DIR", help="go on with the run in DIR instead"
    )
    parser.add_argument("--data", type=_name, help="mnist, or training samples: " + INPUT_HELP)
    parser.add_argument("--test", type=_name, help="test samples; without it a tenth is held out")
    parser.add_argument(
        "--noisy",
        type=_name,
        metavar="INPUT",
        help="instead of --data: what to learn to clean, in pairs with --clean",
    )
    parser.add_argument(
        "--clean",
        type=_name,
        metavar="INPUT",
        help="what should come of it: images of the same names in folders, rows in files",
    )
    parser.add_argument(
        "--limit", type=_integer(1), metavar="N", help="train on the first N samples"
    )
    parser.add_argument(
        "--patches",
        type=_integer(1),
        metavar="N",
        help="train on N square pieces of the images, which may differ in size (20000)",
    )
    parser.add_argument(
        "--patch-size", type=_integer(1), metavar="S", help="train on such pieces of S x S (32)"
    )
    parser.add_argument(
        "--out", type=_name, metavar="DIR", help="run folder; default runs/RECIPE-DATE-N"
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier run in DIR")


def _add_parameters(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """A flag for every hyperparameter of the recipe's model."""
    if any(word.split("=")[0] == "--resume" for word in argv):
        return
    words = [word for word in argv if not word.startswith("-")]
    named = [w for w in words if w.endswith(".toml") or w in recipes.names()] or words
    if not named:
        return
    from diabolo.commands.parameters import declared, flag, nested

    model = recipes.read(named[0]).model
    group = parser.add_argument_group(f"parameters of {model['kind']}, and their value here")
    for parameter in declared(model["kind"]):
        value = model.get(parameter.name, parameter.default)
        _add_parameter(group, flag(parameter.name), parameter, value)
        inner = value if isinstance(value, dict) else {}
        for name, part in nested(parameter):
            _add_parameter(group, name, part, inner.get(part.name, part.default))


def _add_parameter(group: Any, name: str, parameter: "Parameter", value: Any) -> None:
    from diabolo.params import describe

    here = value.get("kind") if isinstance(value, dict) else value
    words = f"{parameter.help} ({describe(parameter.hint)}; {here})"
    switch: dict[str, Any] = {"nargs": "?", "const": "true"}
    group.add_argument(
        f"--{name.replace('_', '-')}",
        dest=f"parameter:{name}",
        metavar="VALUE",
        help=words.replace("%", "%%"),
        **(switch if isinstance(parameter.default, bool) else {}),
    )


def _given_parameters(arguments: Arguments) -> dict[str, Any]:
    """The flags that were given, as a recipe's [model] has them."""
    from diabolo.commands.parameters import given

    prefix = "parameter:"
    flags = {k.removeprefix(prefix): v for k, v in vars(arguments).items() if prefix in k}
    texts = {name: text for name, text in flags.items() if text is not None}
    return given(recipes.read(arguments.recipe).model, texts)


def _fit(arguments: Arguments) -> None:
    from diabolo.commands.training import fit, resume

    if arguments.resume is not None:
        given = (value for name, value in vars(arguments).items() if name not in ("run", "resume"))
        if any(given):
            raise InputError(RESUMED)
        resume(arguments.resume, say=print)
        return
    if arguments.recipe is None:
        raise InputError("Say which RECIPE to fit (see diabolo recipes), or --resume DIR.")
    fit(
        arguments.recipe,
        parameters=_given_parameters(arguments),
        data=arguments.data,
        test=arguments.test,
        noisy=arguments.noisy,
        clean=arguments.clean,
        limit=arguments.limit,
        patches=arguments.patches,
        patch_size=arguments.patch_size,
        out=arguments.out,
        force=arguments.force,
        say=print,
    )


# ---- the other commands


def _add_recipes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this recipe")


def _recipes(arguments: Arguments) -> None:
    if arguments.name is not None:
        print(recipes.read(arguments.name).text, end="")
        return
    names = recipes.names()
    for name in names:
        print(f"{name:{max(map(len, names))}}  {recipes.read(name).title}")


def _add_summary(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="MODEL|RECIPE", help=f"{MODEL_HELP}, or a recipe")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--data", type=_name, metavar="INPUT", help=f"test samples: {INPUT_HELP}")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _evaluate(arguments: Arguments) -> None:
    from diabolo.commands.inspecting import evaluate

    _shown(
        lambda: evaluate(arguments.model, source=arguments.data),
        _print_json if arguments.json else _print_numbers,
    )


def _shown(command: Callable[[], Any], show: Callable[[Any], None]) -> None:
    """Show what a command gave, also where some of it could not be done."""
    try:
        show(command())
    except IncompleteError as error:
        show(error.result)
        raise


def _print_json(numbers: Any) -> None:
    print(json.dumps(numbers, indent=2))


def _print_numbers(numbers: dict[str, Any]) -> None:
    for group, values in numbers.items():
        for name, value in (values if isinstance(values, dict) else {"": values}).items():
            shown = f"{value:.6g}" if isinstance(value, float) else value
            print(f"{f'{group} {name}':22}  {shown}")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a run folder")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)


def _add_out(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        "--out", required=True, type=_name, metavar="PATH", help=f"where to, such as {example}"
    )
    parser.add_argument("--force", action="store_true", help="replace what is there")


def _add_reconstruct(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("source", metavar="INPUT", help=INPUT_HELP)
    _add_out(parser, "a file or folder of the kind of INPUT")
    parser.add_argument("--corrupt", action="store_true", help="first corrupt as in training")
    parser.add_argument(
        "--seed", type=_integer(0), default=0, metavar="N", help="of the corruption"
    )


def _add_encode(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("source", metavar="INPUT", help=INPUT_HELP)
    _add_out(parser, "codes.csv (with names and labels), .parquet, .npz, .npy")


def _add_decode(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("codes", metavar="CODES", help="what encode wrote, such as codes.npy")
    _add_out(parser, "a folder, digits.npy, ...")


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("-n", type=_integer(1), default=64, metavar="N", help="how many (64)")
    parser.add_argument("--seed", type=_integer(0), default=0, metavar="N", help="of the codes")
    parser.add_argument(
        "--temperature", type=_temperature, default=1.0, metavar="T", help="scale of the codes (1)"
    )
    parser.add_argument(
        "--law",
        type=_one_of("prior", "gaussian", "mixture"),
        metavar="LAW",
        help="of the codes: prior, or a gaussian or mixture that is fitted; default: the model's"
        " prior, or a mixture where it has none",
    )
    parser.add_argument(
        "--components", type=_integer(1), metavar="N", help="Gaussians in a mixture (32)"
    )
    parser.add_argument(
        "--data",
        dest="source",
        type=_name,
        metavar="INPUT",
        help="samples to fit the law to; default: those that the run was trained on",
    )
    parser.add_argument(
        "--save", type=_name, metavar="FILE", help="keep the fitted law, to be given as MODEL"
    )
    parser.add_argument(
        "--nearest",
        action="store_true",
        help="also draw the nearest training samples, and say whether the new ones are copies",
    )
    _add_out(parser, "grid.png (all in one), digits.npy, or a folder")


def _add_interpolate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("a", metavar="A", help="one image, such as a.png or mnist:test:3-3")
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--steps", type=_integer(2), default=10, metavar="N", help="pictures (10)")
    parser.add_argument(
        "--spherical", action="store_true", help="along an arc around the code 0, not a line"
    )
    _add_out(parser, "strip.png")


def _add_arithmetic(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("a", metavar="A", help="one image, such as a.png or mnist:test:3-3")
    parser.add_argument("b", metavar="B", help="one whose code is taken from that of A")
    parser.add_argument("c", metavar="C", help="one whose code is added to it")
    _add_out(parser, "sum.png")


def _add_traverse(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("source", metavar="INPUT", help="one image, such as mnist:test:3-3")
    parser.add_argument(
        "--steps", type=_integer(2), default=9, metavar="N", help="pictures a row (9)"
    )
    _add_out(parser, "grid.png")


def _add_detect(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="fit|score", required=True)
    for name, command in DETECT.items():
        _add_command(commands, name, command)


def _add_detect_fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL|RECIPE", help=f"{MODEL_HELP}, or a recipe")
    parser.add_argument("source", metavar="DATA", help=f"normal samples only: {INPUT_HELP}")
    _add_out(parser, "detector.safetensors")
    parser.add_argument(
        "--false-alarm-rate",
        type=_rate,
        default=0.05,
        metavar="RATE",
        help="share of normal samples that may be flagged (0.05)",
    )
    parser.add_argument(
        "--criterion",
        default="reconstruction",
        metavar="SCORE",
        help="reconstruction (the default), shape (for images), latent, combined or elbo",
    )
    parser.add_argument("--seed", type=_integer(0), metavar="N", help="of split and training")
    parser.add_argument("--limit", type=_integer(1), metavar="N", help="use the first N samples")


def _add_detect_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a detector, as detect fit wrote it")
    parser.add_argument("source", metavar="INPUT", help=INPUT_HELP)
    parser.add_argument(
        "--out", required=True, type=_name, metavar="DIR", help="folder of the results"
    )
    parser.add_argument("--force", action="store_true", help="replace earlier results in DIR")
    parser.add_argument(
        "--worst", type=_integer(1), default=12, metavar="N", help="samples in the picture (12)"
    )


def _add_neighbours(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("image", metavar="IMAGE", help="one image, such as mnist:test:3-3")
    parser.add_argument(
        "--in", dest="among", required=True, type=_name, metavar="INPUT", help=INPUT_HELP
    )
    parser.add_argument("-n", type=_integer(1), default=10, metavar="N", help="how many (10)")
    parser.add_argument("--out", type=_name, metavar="PNG", help="draw them into this picture")
    parser.add_argument("--force", action="store_true", help="replace what is there")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _neighbours(arguments: Arguments) -> None:
    from diabolo.commands.embedding import neighbours

    options = {k: v for k, v in vars(arguments).items() if k not in ("run", "json")}
    show = _print_json if arguments.json else _print_neighbours
    _shown(lambda: neighbours(**options), show)


def _print_neighbours(rows: list[dict[str, Any]]) -> None:
    name = "file" if "file" in rows[0] else "number"
    wide = max(len(name), *(len(row[name]) for row in rows))
    labelled = "label" in rows[0]
    print(f"rank  {name:{wide}}{'  label' if labelled else ''}  distance")
    for row in rows:
        label = f"  {row['label']!s:>5}" if labelled else ""
        same = "  the image itself" if row["same"] else ""
        print(f"{row['rank']:4}  {row[name]:{wide}}{label}  {row['distance']:8.4g}{same}")


def _add_map(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("source", metavar="INPUT", help=INPUT_HELP)
    parser.add_argument(
        "--by",
        type=_one_of("label", "error"),
        metavar="WHAT",
        help="what the colours are, label or error; default: label if known",
    )
    parser.add_argument(
        "--method",
        type=_one_of("pca", "tsne"),
        metavar="METHOD",
        help="how codes get two dimensions, pca or tsne; default: pca, but two numbers as they"
        " are",
    )
    parser.add_argument("--seed", type=_integer(0), default=0, metavar="N", help="of tsne")
    _add_out(parser, "map.png")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="RECIPE", help="default: the articles'")
    parser.add_argument(
        "--limit", type=_integer(1), default=12_800, metavar="N", help="samples (12800)"
    )
    parser.add_argument(
        "--rounds", type=_integer(1), default=3, metavar="N", help="medians of N (3)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _bench(arguments: Arguments) -> None:
    from diabolo.commands.benching import bench

    rows = bench(arguments.names, limit=arguments.limit, rounds=arguments.rounds)
    if arguments.json:
        _print_json(list(rows))
        return
    for number, row in enumerate(rows):
        if number == 0:
            print(f"{'recipe':12}  {'samples/s':>10}  {'s an epoch':>10}  {'products':>10}  ratio")
        print(
            f"{row['recipe']:12}  {row['samples_per_second']:10,.0f}  {row['seconds']:10.3f}"
            f"  {row['products']:10.3f}  {row['ratio']:5.2f}",
            flush=True,
        )


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="DATA", help="mnist, or training samples: " + INPUT_HELP)
    parser.add_argument(
        "--out", required=True, type=_name, metavar="DIR", help="folder of the table and picture"
    )
    parser.add_argument("--force", action="store_true", help="replace those of an earlier one")
    parser.add_argument(
        "--recipe", type=_name, default="ae", metavar="RECIPE", help="what is trained (ae)"
    )
    parser.add_argument(
        "--sizes", type=_sizes, metavar="K,K,...", help="sizes of the code (powers of two)"
    )
    parser.add_argument(
        "--epochs", type=_integer(1), metavar="N", help="passes over the data (the recipe's)"
    )
    parser.add_argument(
        "--limit", type=_integer(1), metavar="N", help="train on the first N samples"
    )
    parser.add_argument("--test", type=_name, help="test samples; without it a tenth is held out")
    parser.add_argument(
        "--jobs", type=_integer(1), metavar="N", help="models trained at once (as many as cores)"
    )
    parser.add_argument("--seed", type=_integer(0), default=0, metavar="N", help="of all (0)")


def _add_studio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target",
        nargs="?",
        metavar="MODEL|DIR",
        help=f"{MODEL_HELP}, or a folder of them; default: the newest in this folder",
    )
    parser.add_argument(
        "--port", type=_port, metavar="N", help="default: the first free from 8642"
    )
    parser.add_argument(
        "--host",
        type=_name,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen for others, too: who asks needs the token in the printed address",
    )
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="do not open the page"
    )
    parser.add_argument(
        "--allow-uploads", dest="uploads", action="store_true", help="take model files over HTTP"
    )


def _studio(arguments: Arguments) -> None:
    from diabolo.studio.server import serve

    serve(**{name: value for name, value in vars(arguments).items() if name != "run"})


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < 1 << 16:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, but is {text!r}")


def _sizes(text: str) -> list[int]:
    """Integers of at least 1, between commas."""
    return [_integer(1)(word) for word in text.split(",")]


def _call(target: str) -> Callable[[Arguments], None]:
    """Call a function of `diabolo.commands` whose parameters are the arguments; print lines."""

    def run(arguments: Arguments) -> None:
        module, function = target.split(".")
        options = {name: value for name, value in vars(arguments).items() if name != "run"}
        command = getattr(import_module(f"diabolo.commands.{module}"), function)
        _shown(lambda: command(**options), _print_lines)

    return run


def _print_lines(result: Any) -> None:
    print(*(result if isinstance(result, list) else [result]), sep="\n")


class Command(NamedTuple):
    """A command: its line in the help, its arguments, and what it does."""

    words: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Arguments], None]


DETECT = {
    "fit": Command(
        "learn what is normal from normal samples", _add_detect_fit, _call("detecting.fit")
    ),
    "score": Command(
        "say which samples are anomalies, and draw the worst",
        _add_detect_score,
        _call("detecting.score"),
    ),
}
COMMANDS = {
    "recipes": Command("what can be trained by name", _add_recipes, _recipes),
    "fit": Command("train a recipe into a run folder", _add_fit, _fit),
    "summary": Command(
        "layers, shapes and parameters of a model or a recipe",
        _add_summary,
        _call("inspecting.summary"),
    ),
    "evaluate": Command("the numbers of metrics.json, computed again", _add_evaluate, _evaluate),
    "reconstruct": Command(
        "encode and decode images or rows", _add_reconstruct, _call("applying.reconstruct")
    ),
    "denoise": Command(
        "clean images of any size, or rows, with a denoising model",
        _add_reconstruct,
        _call("denoising.denoise"),
    ),
    "encode": Command("write the codes of images or rows", _add_encode, _call("applying.encode")),
    "decode": Command("write the images or rows of codes", _add_decode, _call("applying.decode")),
    "generate": Command(
        "new samples from the model's prior, or a law of its codes",
        _add_generate,
        _call("generating.generate"),
    ),
    "interpolate": Command(
        "the way from one image to another, through the codes",
        _add_interpolate,
        _call("generating.interpolate"),
    ),
    "arithmetic": Command(
        "the image whose code is A - B + C, of three images",
        _add_arithmetic,
        _call("generating.arithmetic"),
    ),
    "traverse": Command(
        "what each number of the code does to an image",
        _add_traverse,
        _call("generating.traverse"),
    ),
    "detect": Command("find anomalies at a known rate of false alarms", _add_detect, print),
    "neighbours": Command(
        "the images most like one, by the distance of their codes", _add_neighbours, _neighbours
    ),
    "map": Command(
        "a picture of all images where their codes are", _add_map, _call("embedding.draw_map")
    ),
    "report": Command(
        "draw a run's figures and report again", _add_report, _call("inspecting.report")
    ),
    "size": Command(
        "how large the code should be: a model of each size, beside PCA",
        _add_size,
        _call("sizing.size"),
    ),
    "studio": Command("see a model think, in the browser; an HTTP service", _add_studio, _studio),
    "bench": Command(
        "how fast this machine trains, beside its matrix products alone", _add_bench, _bench
    ),
}
