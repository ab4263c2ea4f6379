"""A command is its signature: help, parsing, refusals and completion are made of it alone."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt
from conftest import failed, run
from test_architecture import HEAVY, modules_after

from diabolo import cli, commands, recipes
from diabolo.arguments import Usage, arguments
from diabolo.cli import COMMANDS
from diabolo.commands import Family
from diabolo.commands.completion import FILES, SCRIPTS, candidates
from diabolo.data import spec
from diabolo.errors import InputError

ALL = {
    one.name: one
    for node in COMMANDS.values()
    for one in (node.commands.values() if isinstance(node, Family) else [node])
}
THROW_AWAY = '''
"""A command that is only this file."""

from typing import Annotated, Literal

from annotated_types import Ge

from diabolo.arguments import Usage
from diabolo.commands import command


@command("use", "diabolo repeat hello -n 2")
def repeat(
    word: Annotated[str, Usage("WORD"), "what is said"],
    *,
    n: Annotated[int, Ge(1), Usage("-n N"), "how often"] = 3,
    ending: Annotated[Literal["dot", "mark"] | None, "what is put behind"] = None,
    very_loud: Annotated[bool, "in capitals"] = False,
) -> list[str]:
    """Say a word several times.

    And no more.
    """
    said = word.upper() if very_loud else word
    return [said + {"dot": ".", "mark": "!", None: ""}[ending]] * n
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package with one more file in `commands/`."""
    root = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(cli.__file__).parent, root / "diabolo", ignore=ignored)
    (root / "diabolo" / "commands" / "repeating.py").write_text(THROW_AWAY)
    return root


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("repeat a", 0, ["a"] * 3),
        ("repeat -n 2 --very-loud a --ending mark", 0, ["A!", "A!"]),
        ("repeat a --very_loud -n 1", 0, ["A"]),
        ("repeat", 2, "The following arguments are required: WORD; see diabolo repeat --help."),
        ("repeat a b", 2, "'b' is one argument too many; see diabolo repeat --help."),
        ("repeat a -n 0", 2, "-n must be an integer of at least 1, but is '0'; see diabolo rep"),
        ("repeat a --ending comma", 2, "--ending must be one of dot, mark, but is 'comma'; see"),
        ("repeat a --loud", 2, "There is no option '--loud'; did you mean '--very-loud'?"),
        ("repaet a", 2, "There is no command 'repaet'; did you mean 'repeat'?"),
        ("completion bash -- repeat a --en", 0, ["--ending"]),
        ("completion bash -- repeat a --ending ''", 0, ["dot", "mark"]),
    ],
)
def test_a_file_is_a_command(package, words, code, said):
    ended = subprocess.run(
        [sys.executable, "-m", "diabolo", *shlex.split(words)],
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    if code:
        assert ended.stderr.startswith(f"diabolo: {said}")
    else:
        assert ended.stdout.splitlines() == said


def test_a_new_command_is_in_every_help(package):
    def text(*words):
        environment = {**os.environ, "PYTHONPATH": str(package)}
        command = [sys.executable, "-m", "diabolo", *words, "--help"]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout

    used = text().partition("use a model:")[2].partition("\n\n")[0]
    assert "  repeat       say a word several times\n" in f"{used}\n"
    lines = text("repeat").splitlines()
    assert lines[0] == "usage: diabolo repeat WORD [options]"
    assert "say a word several times" in lines
    assert lines.index("required:") < lines.index("options:")
    for words in ("WORD what is said", "-n N how often (3)", "--very-loud in capitals"):
        assert words in [" ".join(line.split()) for line in lines]
    assert "And no more" not in "".join(lines)
    assert lines[-1] == "  diabolo repeat hello -n 2"


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_an_example_that_parses(name):
    program, *words = shlex.split(ALL[name].example)
    assert program == "diabolo"
    found, rest = commands.chosen(COMMANDS, words)
    assert found is ALL[name]
    given = cli._given(ALL[name], rest)
    assert {a.name for a in ALL[name].arguments if a.required} <= set(given)


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_argument_has_a_help(name):
    command = ALL[name]
    assert command.group in commands.GROUPS
    assert 10 < len(command.words) < 90
    declared = command.arguments
    assert all(argument.help for argument in declared)
    assert len({a.flag or a.name for a in declared}) == len(declared)


def test_helps_import_nothing_heavy():
    words = [["--help"], *([*name.split(), "--help"] for name in ALL), ["recipes"]]
    code = f"""
import contextlib, io, sys
from diabolo.cli import main
for words in {json.dumps(words)}:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(words)
"""
    assert not modules_after(code) & (HEAVY | {"numpy", "fastapi", "uvicorn"})


# ---- arguments


def example(
    a: Annotated[str, Usage("A"), "by its place"],
    out: Annotated[str | Path, Usage("--out PATH"), "by name, though it is positional"],
    *,
    share: Annotated[float, Gt(0), Lt(1), "a share"] = 0.5,
    port: Annotated[int | None, Ge(0), Le(9), "a port"] = None,
    sizes: Annotated[list[Annotated[int, Ge(2)]] | None, Usage("--sizes K,K"), "some"] = None,
    kind: Annotated[Literal["x", "y"] | None, "a kind"] = None,
    browser: Annotated[bool, "do not open"] = True,
    say: object = print,
    **options: int,
) -> None:
    """An example."""


KNOWN = {argument.name: argument for argument in arguments(example)}


def test_a_signature_is_read():
    flags = {name: (a.flag, a.metavar, a.required) for name, a in KNOWN.items()}
    assert flags == {
        "a": ("", "A", True),
        "out": ("--out", "PATH", True),
        "share": ("--share", "SHARE", False),
        "port": ("--port", "N", False),
        "sizes": ("--sizes", "K,K", False),
        "kind": ("--kind", "KIND", False),
        "browser": ("--no-browser", "", False),
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("a", "", ""),
        ("out", "x", "x"),
        ("share", "0.25", 0.25),
        ("port", "9", 9),
        ("sizes", "2,30", [2, 30]),
        ("kind", "y", "y"),
    ],
)
def test_values_are_read(name, text, value):
    assert KNOWN[name].read(text) == value


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("out", "", "needs a name, but is empty"),
        ("share", "1", "must be a number between 0 and 1, such as 0.5, but is '1'"),
        ("share", "nan", "must be a number between 0 and 1, such as 0.5, but is 'nan'"),
        ("port", "10", "must be a number from 0 to 9, but is '10'"),
        ("port", "1.5", "must be a number from 0 to 9, but is '1.5'"),
        ("sizes", "2,1", "must be an integer of at least 2, but is '1'"),
        ("sizes", "2,", "must be an integer of at least 2, but is ''"),
        ("kind", "z", "must be one of x, y, but is 'z'"),
    ],
)
def test_values_are_refused(name, text, sentence):
    with pytest.raises(InputError) as refused:
        KNOWN[name].read(text)
    assert str(refused.value) == sentence


# ---- the data options


def test_recipes_command_and_page_take_the_same_data_options():
    from diabolo.studio import forms
    from diabolo.studio.answers import Order

    names = set(spec.OPTIONS)
    assert {a.name for a in ALL["fit"].arguments} >= names
    assert {field.name for field in forms.data_fields(recipes.read("ae-32"))} == names
    assert set(Order.model_fields) == {"recipe", "parameters"} | names
    assert set(spec.KEYS) == (names - {"data"}) | {"source", "validation"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"limit": 0}, "limit must be an integer of at least 1, but is 0."),
        ({"patches": True}, "patches must be an integer of at least 1, but is True."),
        ({"noisy": "a"}, "--noisy and --clean go together: give both, or --data."),
        (
            {"data": "a", "turn": "all"},
            "Only patches are turned: give --patches as well, or leave --turn out.",
        ),
    ],
)
def test_data_options_are_checked(options, sentence):
    with pytest.raises(InputError) as refused:
        spec.table(options)
    assert str(refused.value) == sentence


def test_paths_of_data_options_hold_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "a.npy").touch()
    found = spec.table({"data": "a.npy", "test": "mnist", "limit": None, "patches": 3})
    assert found == {"source": str(tmp_path / "a.npy"), "test": "mnist", "patches": 3}


# ---- completion

CANDIDATES = {
    "": [*COMMANDS],
    "de": ["decode", "decompress", "denoise", "detect"],
    "--": ["--help"],
    "detect ": ["fit", "score", "feedback"],
    "fti ": [],
    "fit dae-6": ["dae-64", "dae-64-fast", FILES],
    "fit ae-32 ": [],
    "fit ae-32 --pa": ["--patch-size", "--patches"],
    "fit --limit 3 dae-64-": ["dae-64-fast", FILES],
    "fit --force vae-": ["vae-conv", FILES],
    "summary vae-": ["vae-conv", FILES],
    "size mnist --recipe one": ["one-class", FILES],
    "bench ae-32 ae-36-": ["ae-36-fast", FILES],
    "denoise runs ": [FILES],
    "denoise runs x --out ": [FILES],
    "denoise runs x --seed ": [],
    "map runs x --by ": ["label", "error"],
    "generate runs --law g": ["gaussian"],
    "completion f": ["fish"],
}


@pytest.mark.parametrize("line", CANDIDATES)
def test_candidates(line):
    assert candidates(line.split(" ")) == CANDIDATES[line]


TYPED = {
    "bash": """
eval "$(diabolo completion bash)"
try() { COMP_WORDS=("$@") COMP_CWORD=$(($#-1)); _diabolo; (IFS=,; echo "${COMPREPLY[*]}"); }
try diabolo denoi; try diabolo fit dae-64-; try diabolo denoise a.safetensors ph
try diabolo map a b --by l
""",
    "fish": """
diabolo completion fish | source
for line in "denoi" "fit dae-64-" "denoise a.safetensors ph" "map a b --by l"
    complete -C "diabolo $line"
end
""",
    "zsh": """
compdef() { :; }
eval "$(diabolo completion zsh)"
compadd() { shift; print -r -- "$@"; }
_files() { print -r -- ph*; }
try() { words=("$@") CURRENT=$#; _diabolo | grep .; }
try diabolo denoi; try diabolo fit dae-64- | head -1; try diabolo denoise a.safetensors ph
try diabolo map a b --by l
""",
}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_shells_complete(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "photo.png").touch()
    program = tmp_path / "bin" / "diabolo"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m diabolo "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [shell, "-c", TYPED[shell]],
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    lines = [line.split("\t")[0] for line in ended.stdout.splitlines()]
    assert lines == ["denoise", "dae-64-fast", "photo.png", "label"]


def test_a_shell_that_is_none_is_refused(capsys):
    assert "must be one of bash, zsh, fish, but is 'sh'" in failed(capsys, "completion", "sh")
    assert run("completion", "zsh") == 0
    assert "compdef _diabolo diabolo" in capsys.readouterr().out
