"""The command line: `diabolo COMMAND ...`. It parses, calls `diabolo.commands`, and prints.

Nothing heavy is imported before it is known what is asked for. The flags of `fit` come from the
hyperparameters of the recipe's model.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from diabolo import __version__, recipes
from diabolo.errors import IncompleteError, InputError, unknown

if TYPE_CHECKING:
    from diabolo.params import Parameter

Arguments = argparse.Namespace
MODEL_HELP = "a .safetensors file or a run folder"
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
    except InputError as error:
        print(f"diabolo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("diabolo: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


class _Parser(argparse.ArgumentParser):
    """argparse, with a mistake as an `InputError`."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[0].upper()}{message[1:]}; see {self.prog} --help.")


def _parse(argv: list[str]) -> Arguments:
    parser = _Parser(
        prog="diabolo", description="Train autoencoders and put them to use.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"diabolo {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (add, run) in COMMANDS.items():
        words = run.__doc__ or ""
        command = commands.add_parser(
            name, help=words, description=words, allow_abbrev=False, formatter_class=_Help
        )
        command.set_defaults(run=run)
        add(command)
        if name == "fit" and argv[:1] == ["fit"]:
            _add_parameters(command, argv[1:])
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise unknown("command", argv[0], COMMANDS)
    arguments, rest = parser.parse_known_args([_dashed(word) for word in argv])
    if rest:
        flags = commands.choices[argv[0]]._option_string_actions
        if rest[0].startswith("-"):
            raise unknown("option", rest[0].split("=")[0], flags)
        raise InputError(f"{rest[0]!r} is one argument too many; see diabolo {argv[0]} --help.")
    return arguments


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
        "recipe", metavar="RECIPE", help="a name (see diabolo recipes) or a .toml file"
    )
    parser.add_argument("--data", help="mnist, or training samples: " + INPUT_HELP)
    parser.add_argument("--test", help="test samples; without it a tenth is held out")
    parser.add_argument("--limit", type=int, metavar="N", help="train on the first N samples")
    parser.add_argument("--out", metavar="DIR", help="run folder; default runs/RECIPE-DATE-N")
    parser.add_argument("--force", action="store_true", help="replace an earlier run in DIR")


def _add_parameters(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """A flag for every hyperparameter of the recipe's model."""
    named = [word for word in argv if not word.startswith("-")][:1]
    if not named:
        return
    kind = recipes.read(named[0]).model["kind"]
    group = parser.add_argument_group(f"parameters of {kind}")
    for parameter in _declared(kind):
        for name, part in [(parameter.name, parameter), *_nested(parameter)]:
            flag = "seed" if name == "random_state" else name.replace("_", "-")
            switch: dict[str, Any] = (
                {"nargs": "?", "const": "true"} if isinstance(part.default, bool) else {}
            )
            group.add_argument(
                f"--{flag}",
                dest=f"parameter:{name}",
                metavar="VALUE",
                help=part.help.replace("%", "%%"),
                **switch,
            )


def _declared(kind: str) -> "list[Parameter]":
    from diabolo.models import MODELS
    from diabolo.params import named

    hidden = {"verbose"}
    return [p for p in named("kind", kind, MODELS).declared() if p.name not in hidden]


def _nested(parameter: "Parameter") -> "list[tuple[str, Parameter]]":
    """The parameters of what can stand in a parameter: corruption.std, corruption.p."""
    inner = {p.name: p for kind in parameter.kinds.values() for p in kind.declared()}
    return [(f"{parameter.name}.{name}", p) for name, p in inner.items()]


def _given_parameters(arguments: Arguments) -> dict[str, Any]:
    """The flags that were given, as a recipe's [model] has them."""
    from diabolo.params import parse

    given: dict[str, Any] = {}
    for parameter in _declared(recipes.read(arguments.recipe).model["kind"]):
        text = getattr(arguments, f"parameter:{parameter.name}")
        if text is not None:
            value = parse(parameter, text)
            given[parameter.name] = {"kind": value.kind} if parameter.kinds and value else value
        for name, part in _nested(parameter):
            if (text := getattr(arguments, f"parameter:{name}")) is not None:
                inner = given.setdefault(parameter.name, {})
                inner[part.name] = parse(part, text)
    return given


def _fit(arguments: Arguments) -> None:
    """train a recipe into a run folder"""
    from diabolo.commands.training import fit

    fit(
        arguments.recipe,
        parameters=_given_parameters(arguments),
        data=arguments.data,
        test=arguments.test,
        limit=arguments.limit,
        out=arguments.out,
        force=arguments.force,
        say=print,
    )


# ---- recipes, summary, evaluate, report


def _add_recipes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this recipe")


def _recipes(arguments: Arguments) -> None:
    """what can be trained by name"""
    from diabolo.commands import inspecting

    if arguments.name:
        print(inspecting.show_recipe(arguments.name), end="")
        return
    for name, title in inspecting.list_recipes():
        print(f"{name:10}  {title}")


def _add_summary(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="MODEL|RECIPE", help=f"{MODEL_HELP}, or a recipe")


def _summary(arguments: Arguments) -> None:
    """layers, shapes and parameters of a model or a recipe"""
    from diabolo.commands import inspecting

    print(inspecting.summary(arguments.name))


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--data", metavar="INPUT", help=f"test samples: {INPUT_HELP}")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _evaluate(arguments: Arguments) -> None:
    """the numbers of metrics.json, computed again"""
    from diabolo.commands import inspecting

    numbers = inspecting.evaluate(arguments.model, source=arguments.data)
    if arguments.json:
        print(json.dumps(numbers, indent=2))
        return
    for group, values in numbers.items():
        for name, value in (values if isinstance(values, dict) else {"": values}).items():
            label = f"{group} {name}".strip()
            print(
                f"{label:22}  {value:.6g}" if isinstance(value, float) else f"{label:22}  {value}"
            )


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a run folder")


def _report(arguments: Arguments) -> None:
    """draw a run's figures and report again"""
    from diabolo.commands import inspecting

    print(inspecting.report(arguments.folder))


# ---- reconstruct, denoise, encode, decode


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)


def _add_out(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        "--out", required=True, metavar="PATH", help=f"where to, such as {example}"
    )
    parser.add_argument("--force", action="store_true", help="replace what is there")


def _add_apply(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("input", metavar="INPUT", help=INPUT_HELP)
    _add_out(parser, "a file or folder of the kind of INPUT")
    parser.add_argument("--corrupt", action="store_true", help="first corrupt as in training")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the corruption")


def _apply(arguments: Arguments, function: Callable[..., Any]) -> None:
    done = function(
        arguments.model,
        arguments.input,
        arguments.out,
        corrupt=arguments.corrupt,
        seed=arguments.seed,
        force=arguments.force,
    )
    _say_written(done)


def _say_written(done: Any) -> None:
    print(done.out)
    if done.picture:
        print(done.picture)


def _reconstruct(arguments: Arguments) -> None:
    """encode and decode images or rows"""
    from diabolo.commands import applying

    _apply(arguments, applying.reconstruct)


def _denoise(arguments: Arguments) -> None:
    """clean images or rows with a denoising model"""
    from diabolo.commands import applying

    _apply(arguments, applying.denoise)


def _add_encode(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("input", metavar="INPUT", help=INPUT_HELP)
    _add_out(parser, "codes.npy")


def _encode(arguments: Arguments) -> None:
    """write the codes of images or rows"""
    from diabolo.commands import applying

    _say_written(
        applying.encode(arguments.model, arguments.input, arguments.out, force=arguments.force)
    )


def _add_decode(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("codes", metavar="CODES", help="what encode wrote, such as codes.npy")
    _add_out(parser, "a folder, digits.npy, ...")


def _decode(arguments: Arguments) -> None:
    """write the images or rows of codes"""
    from diabolo.commands import applying

    _say_written(
        applying.decode(arguments.model, arguments.codes, arguments.out, force=arguments.force)
    )


# ---- generate, interpolate, traverse


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("-n", type=int, default=64, metavar="N", help="how many (64)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the codes")
    _add_out(parser, "grid.png (all in one), digits.npy, or a folder")


def _generate(arguments: Arguments) -> None:
    """new samples from the model's prior"""
    from diabolo.commands import generating

    print(
        generating.generate(
            arguments.model,
            arguments.out,
            n=arguments.n,
            seed=arguments.seed,
            force=arguments.force,
        )
    )


def _add_interpolate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("a", metavar="A", help="one image, such as a.png or mnist:test:3-3")
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="pictures (10)")
    _add_out(parser, "strip.png")


def _interpolate(arguments: Arguments) -> None:
    """the way from one image to another, through the codes"""
    from diabolo.commands import generating

    print(
        generating.interpolate(
            arguments.model,
            arguments.a,
            arguments.b,
            arguments.out,
            steps=arguments.steps,
            force=arguments.force,
        )
    )


def _add_traverse(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument(
        "input", metavar="INPUT", help="one image, such as a.png or mnist:test:3-3"
    )
    parser.add_argument("--steps", type=int, default=9, metavar="N", help="pictures a row (9)")
    _add_out(parser, "grid.png")


def _traverse(arguments: Arguments) -> None:
    """what each number of the code does to an image"""
    from diabolo.commands import generating

    print(
        generating.traverse(
            arguments.model,
            arguments.input,
            arguments.out,
            steps=arguments.steps,
            force=arguments.force,
        )
    )


COMMANDS: dict[
    str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[Arguments], None]]
] = {
    "recipes": (_add_recipes, _recipes),
    "fit": (_add_fit, _fit),
    "summary": (_add_summary, _summary),
    "evaluate": (_add_evaluate, _evaluate),
    "reconstruct": (_add_apply, _reconstruct),
    "denoise": (_add_apply, _denoise),
    "encode": (_add_encode, _encode),
    "decode": (_add_decode, _decode),
    "generate": (_add_generate, _generate),
    "interpolate": (_add_interpolate, _interpolate),
    "traverse": (_add_traverse, _traverse),
    "report": (_add_report, _report),
}
