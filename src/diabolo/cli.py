"""The command line: `diabolo COMMAND ...`. It reads what commands declare, calls, and prints.

Nothing heavy is imported before it is known what is asked for.
"""

import argparse
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from typing import Any, NoReturn

from diabolo import __version__, commands
from diabolo.arguments import Argument
from diabolo.commands import GROUPS, Command, Family, Told
from diabolo.commands.piping import PIPE, piped
from diabolo.errors import DoctorWarning, IncompleteError, InputError, out_of_memory, unknown

FACES = ("diabolo.studio.server",)  # commands of rooms above `commands`
COMMANDS = commands.found(FACES)
BEYOND = "\n\nthe parameters of a recipe:\n  diabolo {} RECIPE --help"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0: done, 2: the user's mistake, 130: interrupted."""
    try:
        with _warnings_said():
            _run(_plain(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("diabolo: interrupted", file=sys.stderr)
        return 130
    except (InputError, OSError, MemoryError, RuntimeError) as error:
        for sentence in _said(error):
            _print(f"diabolo: {sentence}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def _warnings_said() -> Iterator[None]:
    """What is warned of is said in a line, each once."""
    said, place = set[str](), sys.stderr

    def say(message: object, *where: object) -> None:
        if str(message) not in said:
            _print(f"Warning: {message}", file=place)
        said.add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", DoctorWarning)
        warnings.showwarning = say  # type: ignore[assignment]
        yield


def _said(error: Exception) -> list[str]:
    """What is said of a mistake, or of a machine that has not enough; anything else is raised."""
    if isinstance(error, IncompleteError):
        return str(error).splitlines()
    if isinstance(error, InputError):
        return [" ".join(str(error).split())]
    if full := out_of_memory(error):
        return [full]
    if not isinstance(error, OSError):
        raise error
    return [f"{error.filename}: {error.strerror}."]


def _run(words: list[str]) -> None:
    """Call the command that the first words name with what the others give, and show the result.

    Also where some of it could not be done.
    """
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    command, rest = commands.chosen(COMMANDS, words)
    if not isinstance(command, Command):
        parser = _overview(command)
        raise _refused(parser.parse_known_args(rest)[1], parser)
    given = _given(command, rest)
    quiet, device = given.pop("quiet", False), given.pop("device", None)
    declared = {argument.name: argument for argument in command.arguments}
    with (
        _silent() if quiet else nullcontext(),
        commands.on(device),
        piped(declared, given) as values,
    ):
        _call(command, values)


def _call(command: Command, given: dict[str, Any]) -> None:
    as_json = given.pop("json", False)
    show = _print_json if as_json else command.show or _print_lines
    if "say" in command.function.__annotations__:  # which leaves standard output to the numbers
        given["say"] = partial(_print, file=sys.stderr) if as_json else _print
        show = partial(_print_json, numbers=command.numbers) if as_json else lambda result: None
    try:
        show(command.function(**given))
    except IncompleteError as error:
        if error.result is not None:
            show(error.result)
        raise


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing is printed but warnings and mistakes."""
    nowhere = StringIO()
    with redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _print(*words: object, **how: Any) -> None:
    """print, of names and texts from elsewhere as well: without what moves a terminal's cursor."""
    print(*(CONTROL.sub("\ufffd", str(word)) for word in words), **how)


def _print_lines(result: Any) -> None:
    result = result.lines if isinstance(result, Told) else result
    _print(*(result if isinstance(result, list) else [result]), sep="\n")


def _print_json(result: Any, numbers: Callable[[Any], Any] | None = None) -> None:
    result = numbers(result) if numbers else result
    print(json.dumps(result if isinstance(result, dict) else list(result), indent=2))


# ---- words -> values


class _Parser(argparse.ArgumentParser):
    """argparse, with a mistake as an `InputError`."""

    def error(self, message: str) -> NoReturn:
        plain = message.replace("expected one argument", "a value is missing")
        raise InputError(f"{plain[0].upper()}{plain[1:]}; see {self.prog} --help.")


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


def _given(command: Command, words: list[str]) -> dict[str, Any]:
    """The values that words give to a command, by the names of its parameters."""
    declared = {argument.name: argument for argument in command.arguments}
    further = command.further
    title, more = further.declared(words) if further else ("", [])
    parser = _parser(command, [*declared.values()])
    if more:
        parser.epilog = _example(command)
    _add_all(parser.add_argument_group(title), {f"further:{a.name}": a for a in more})
    found, rest = parser.parse_known_args(words)
    texts = {name: text for name, text in vars(found).items() if text not in (None, [])}
    values = {n: _value(declared[n], t, parser.prog) for n, t in texts.items() if n in declared}
    values |= {"quiet": True} if "quiet" in texts else {}
    if rest:
        raise _refused(rest, parser)
    if further and more:
        named = {a.name: texts.get(f"further:{a.name}") for a in more}
        values[further.name] = {name: text for name, text in named.items() if text is not None}
    return values


def _refused(rest: list[str], parser: _Parser) -> InputError:
    """What is said of words that a parser has no use for."""
    if rest[0].startswith("-"):
        return unknown("option", rest[0].split("=")[0], parser._option_string_actions)
    return InputError(f"{rest[0]!r} is one argument too many; see {parser.prog} --help.")


def _value(argument: Argument, text: Any, prog: str) -> Any:
    """What a text means for an argument; of several words, each."""
    try:
        if isinstance(text, list):
            return [value for word in text for value in argument.read(word)]
        return argument.read(text) if isinstance(text, str) else text
    except InputError as error:
        name = argument.flag or argument.metavar
        raise InputError(f"{name} {error}; see {prog} --help.") from None


def _plain(words: Sequence[str]) -> list[str]:
    """Words as argparse takes them: --latent_dim means --latent-dim, and -.csv is no option."""
    plain = list[str]()
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith(f"{PIPE}.") and plain and plain[-1].startswith("--"):
            plain[-1] += f"={word}"
        else:
            dashed = name.replace("_", "-") if name.startswith("--") else name
            plain.append(dashed + equals + value)
    return plain


# ---- help


def _parser(command: Command, declared: list[Argument]) -> _Parser:
    """The parser of a command: first what it needs, then what it can be given, and an example."""
    prog = f"diabolo {command.name}"
    needed = [a for a in declared if a.required]
    named = [f"{a.flag} {a.metavar}" for a in needed if a.flag]
    placed = [f"{a.metavar} ..." if a.many else a.metavar for a in needed if not a.flag]
    placed += [f"[{a.metavar}]" for a in declared if not a.required and not a.flag]
    parser = _Parser(
        prog,
        " ".join([prog, *placed, *named, "[options]"]),
        command.words,
        _example(command) + (BEYOND.format(command.name) if command.further else ""),
        formatter_class=_Help,
        allow_abbrev=False,
        add_help=False,
    )
    _add_all(parser.add_argument_group("required"), {a.name: a for a in needed})
    options = parser.add_argument_group("options")
    _add_all(options, {a.name: a for a in declared if not a.required})
    words = "print warnings and mistakes alone"
    options.add_argument("-q", "--quiet", action="store_const", const=True, help=words)
    options.add_argument("-h", "--help", action="help", help="show this help and exit")
    return parser


def _example(command: Command) -> str:
    return f"example:\n  {command.example}"


def _add_all(group: Any, declared: Mapping[str, Argument]) -> None:
    for dest, argument in declared.items():
        words = argument.help.replace("%", "%%")
        if argument.hint in (int, float) and isinstance(argument.default, int | float):
            words += f" ({argument.default:g})"
        how: dict[str, Any] = {"help": words, "metavar": argument.metavar}
        if argument.switch:
            how = {"help": words, "action": "store_const", "const": not argument.default}
        elif argument.hint is bool:
            how |= {"nargs": "?", "const": "true"}
        if argument.flag:
            group.add_argument(argument.flag, dest=dest, required=argument.required, **how)
            continue
        if argument.many:
            how["nargs"] = "+" if argument.required else "*"
        elif not argument.required:
            how["nargs"] = "?"
        group.add_argument(dest, **how)


def _overview(family: Family | None) -> _Parser:
    """The parser of `diabolo` alone, or of the first word of two, whose help lists commands."""
    prog = f"diabolo {family.name}" if family else "diabolo"
    known = family.commands if family else COMMANDS
    title = family.words if family else "Train autoencoders and put them to use."
    what = "|".join(known) if family else "COMMAND"
    parser = _Parser(
        prog,
        f"{prog} {what} ...",
        f"{title}\n\n{_listed(known)}",
        f"{prog} {what} --help says more, and so does {prog} help {what}."
        if family is None
        else None,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    if family is None:
        version = f"diabolo {__version__}"
        parser.add_argument("-V", "--version", action="version", version=version)
    parser.add_argument("command", metavar=what, help=argparse.SUPPRESS)
    return parser


def _listed(known: Mapping[str, Command | Family]) -> str:
    """Commands with what they do, grouped by what one wants to do."""
    wide = max(map(len, known))
    groups: dict[str, list[str]] = {title: [] for title in GROUPS.values()}
    for name, one in known.items():
        title = GROUPS.get(one.group, one.group)
        groups.setdefault(title, []).append(f"  {name:{wide}}  {one.words}")
    return "\n\n".join(
        "\n".join([f"{title}:", *lines]) for title, lines in groups.items() if lines
    )
