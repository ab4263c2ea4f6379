"""The README is true: its examples run, its file tree is the tree."""

import re
import shlex
from pathlib import Path

import pytest
import uvicorn

from diabolo import data
from diabolo.cli import main
from diabolo.data import sources

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


SIZES = pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.stress)])


def fewer(train, test):
    """Reads MNIST as the package does, but only the first digits of each split."""
    kept = {"train": train, "test": test}

    def read(split, directory=None, limit=None):
        limit = kept[split] if limit is None else min(limit, kept[split])
        return data.mnist.read_split(split, directory, limit=limit)

    return read


@SIZES
def test_python_example_runs(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    if not whole:
        read = fewer(2000, 10_000)
        monkeypatch.setattr(data, "load_mnist", lambda: (read("train"), read("test")))
    (example,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["z"].shape == (10_000, 32)
    assert names["x_clean"].shape == names["x"].shape == (10_000, 28, 28)
    assert (tmp_path / "digits.safetensors").is_file()


def shortened(command):
    """A command that trains, with at most 500 samples and for one epoch."""
    for at, word in enumerate(command[:-1]):
        if word in ("--limit", "--epochs"):
            command[at + 1] = str(min(int(command[at + 1]), {"--limit": 500, "--epochs": 1}[word]))
    return command


@SIZES
def test_commands_run(tmp_path, monkeypatch, request, whole):
    monkeypatch.chdir(tmp_path)
    if not whole:
        request.getfixturevalue("quick")
        monkeypatch.setattr(sources, "read_split", fewer(2000, 2000))
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: None)  # would not end
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("diabolo")]
    assert len(commands) > 10
    for command in commands:
        assert main(command[1:] if whole else shortened(command[1:])) == 0, command
    assert (tmp_path / "decoded.npy").is_file()
    assert (tmp_path / "grid.png").is_file()


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE):
        assert f"\n{target}:" in f"\n{makefile}"


def test_file_tree_is_the_tree():
    listed = set(re.findall(r"^      ([a-z_]+(?:\.py|/)) ", README, flags=re.MULTILINE))
    package = ROOT / "src" / "diabolo"
    found = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in package.iterdir()
        if not path.name.startswith("__")
    }
    assert listed == found


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).is_file()
