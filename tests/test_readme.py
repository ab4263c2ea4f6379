"""The README and the pages beside it are true: examples run, the file tree is the tree."""

import re
import shlex
from pathlib import Path

import pytest
import uvicorn

from diabolo import data
from diabolo.cli import main
from diabolo.data import sources

ROOT = Path(__file__).parents[1]
README = "README.md"
PAGES = [README, "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text(page), flags=re.DOTALL)


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
        read = fewer(1000, 10_000)
        monkeypatch.setattr(data, "load_mnist", lambda: (read("train"), read("test")))
    (example,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(example, README, "exec"), names)
    assert names["codes"].shape == (10_000, 32)
    assert names["rebuilt"].shape == (10_000, 28, 28)
    assert names["odd"].mean() < 0.08
    assert (tmp_path / "digits.safetensors").is_file()


def shortened(command):
    """A command that trains, with at most 500 samples and for one epoch."""
    command = [word.replace("mnist:train:2000", "mnist:train:300") for word in command]
    for at, word in enumerate(command[:-1]):
        if word in ("--limit", "--epochs"):
            command[at + 1] = str(min(int(command[at + 1]), {"--limit": 500, "--epochs": 1}[word]))
    return command


def commands(page):
    lines = [line for block in blocks("sh", page) for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("diabolo")]


@SIZES
def test_commands_run(tmp_path, monkeypatch, request, whole):
    monkeypatch.chdir(tmp_path)
    if whole:
        request.getfixturevalue("drawn")
    else:
        monkeypatch.setattr(sources, "read_split", fewer(1000, 300))
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: None)  # would not end
    listed = commands(README)
    assert len(listed) > 8
    if whole:
        listed += commands("docs/commands.md")
    for command in listed:
        given = command[1:] + ["--force"] * ("--out" in command)
        assert main(given if whole else shortened(given)) == 0, command
    assert (tmp_path / "grid.png").is_file()


def test_readme_is_a_door():
    assert len(text(README).splitlines()) <= 150


def test_make_targets_exist():
    makefile = text("Makefile")
    for target in re.findall(r"^make ([a-z-]+)", text(README), flags=re.MULTILINE):
        assert f"\n{target}:" in f"\n{makefile}"


def test_file_tree_is_the_tree():
    listed = set(re.findall(r"^      ([a-z_]+(?:\.py|/)) ", text("docs/code.md"), re.MULTILINE))
    package = ROOT / "src" / "diabolo"
    found = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in package.iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert listed == found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text(page)):
        if "://" not in link:
            assert (ROOT / page).parent.joinpath(link).is_file(), link


TOOLS = "docs/uses/tools.md"


@pytest.mark.stress
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", blocks("python", TOOLS)[1:-2])  # those of the Hub: test_hub.py
def test_other_tools_are_used_as_shown(block, tmp_path, monkeypatch):
    pytest.importorskip(re.search(r"(?:import|from) ([\w.]+)", block)[1])
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python", TOOLS)[0] + block, TOOLS, "exec"), {})


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.stress
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    done = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": tmp_path}}
    )
    done.execute()
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert not any(c.get("outputs") for c in nbformat.read(path, as_version=4).cells)
    assert sum("image/png" in output.get("data", {}) for output in outputs)
    nbformat.write(notebook, tmp_path / "done.ipynb")
