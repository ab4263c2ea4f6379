"""How the command line behaves toward a shell: help, pipes, silence, devices."""

import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from diabolo import __version__, load
from diabolo.__main__ import run
from diabolo.arguments import Argument
from diabolo.cli import main
from diabolo.commands.piping import piped

MODEL = str(Path(__file__).parent / "files" / "format-2.safetensors")
X = (np.random.default_rng(0).random((20, 2, 3)) * 255).astype(np.uint8)


@pytest.fixture
def pipe(monkeypatch):
    """Runs a command on what comes by a pipe: its exit code, and the bytes that go out."""

    def run(content, *words):
        stdin = io.TextIOWrapper(io.BytesIO(content))
        out = io.TextIOWrapper(io.BytesIO(), write_through=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            patch.setattr(sys, "stdout", out)
            status = main([*words])
        return status, out.buffer.getvalue()

    return run


def as_npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_help_is_a_word_too(capsys):
    said = []
    for words in (["help", "detect", "score"], ["detect", "score", "--help"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "usage", ["decompress FILE [MODEL] --out PATH [options]", "compare MODEL ... [options]"]
)
def test_what_has_a_place_is_shown_in_it(capsys, usage):
    with pytest.raises(SystemExit):
        main([usage.split()[0], "--help"])
    assert capsys.readouterr().out.startswith(f"usage: diabolo {usage}\n")


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["-V"])
    assert capsys.readouterr().out == f"diabolo {__version__}\n"


def test_an_interrupt_while_it_is_imported_is_quiet(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    imported = types.ModuleType("diabolo.cli")
    imported.__getattr__ = interrupted
    monkeypatch.setitem(sys.modules, "diabolo.cli", imported)
    assert run() == 130
    assert capsys.readouterr().err == "diabolo: interrupted\n"


def test_help_of_fit_leads_to_the_parameters(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert "diabolo fit RECIPE --help" in capsys.readouterr().out


def test_arrays_go_through_pipes(pipe):
    status, out = pipe(as_npy(X), "encode", MODEL, "-", "--out", "-")
    assert status == 0
    np.testing.assert_array_equal(np.load(io.BytesIO(out)), load(MODEL).transform(X))


def test_a_suffix_is_the_form_of_what_goes_out(pipe, capfd):
    status, out = pipe(as_npy(X), "encode", MODEL, "-", "--out", "-.csv")
    assert status == 0
    assert "result.csv" not in capfd.readouterr().err, "which does not stay"
    assert out.decode().splitlines()[0].endswith("code_0,code_1")
    assert len(out.decode().splitlines()) == 21


def test_what_is_said_beside_a_pipe_is_said_at_once(capfd):
    with piped({"out": Argument("out", str, "", "--out")}, {"out": "-.txt"}) as given:
        print("first", end=" ")
        print("line")
        assert capfd.readouterr().err == "first line\n"
        print(given["out"])  # which does not stay
        print("last")
        Path(given["out"]).touch()
    assert capfd.readouterr().err == "last\n"


@pytest.mark.parametrize(
    ("content", "words", "sentence"),
    [
        (b"", ["encode", MODEL, "-", "--out", "-"], "Nothing came"),
        (as_npy(X), ["neighbours", MODEL, "-", "--in", "-", "--out", "x.png"], "read once"),
    ],
)
def test_what_cannot_go_through_a_pipe_is_refused(pipe, capfd, content, words, sentence):
    status, out = pipe(content, *words)
    assert (status, out) == (2, b"")
    assert sentence in capfd.readouterr().err


def test_where_nothing_came_of_it_nothing_is_shown(tmp_path, capfd):
    np.save(tmp_path / "x.npy", X[:1])
    assert main(["size", str(tmp_path / "x.npy"), "--out", str(tmp_path / "sizes")]) == 2
    said = capfd.readouterr()
    assert (said.out, said.err[:27]) == ("", "diabolo: One sample is too ")


def test_quiet_prints_nothing(tmp_path, capfd):
    np.save(tmp_path / "x.npy", X)
    words = ["encode", MODEL, str(tmp_path / "x.npy"), "--out", str(tmp_path / "codes.npy"), "-q"]
    assert main(words) == 0
    assert capfd.readouterr() == ("", "")
    assert main(words) == 2  # it is there already
    assert capfd.readouterr().err.startswith("diabolo: ")


def test_the_device_is_chosen(tmp_path, capfd):
    np.save(tmp_path / "x.npy", X)
    words = ["encode", MODEL, str(tmp_path / "x.npy"), "--out", str(tmp_path / "codes.npy")]
    assert main([*words, "--device", "nowhere"]) == 2
    assert "There is no device 'nowhere' here" in capfd.readouterr().err
    assert main([*words, "--device", "cpu"]) == 0


def test_numbers_come_as_json(capsys):
    assert main(["summary", MODEL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    model = load(MODEL)
    assert [layer["parameters"] for layer in found["layers"]] == [
        layer.parameters for layer in model.layers()
    ]
    assert sum(found["parameters"].values()) == sum(p.numel() for p in model.net_.parameters())
    assert main(["summary", MODEL]) == 0
    assert capsys.readouterr().out.rstrip() == model.summary()
