"""Nothing is read that is not needed, a full memory is called that, and the page comes first."""

import resource
import subprocess
import sys
import threading
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from conftest import failed
from numpy.lib import format as npy
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from diabolo import recipes
from diabolo.commands.runs import load_split
from diabolo.commands.training import changed
from diabolo.data import read, read_pairs, spec, write_idx
from diabolo.errors import InputError, out_of_memory
from diabolo.studio.opening import FAILED, Opening

X = np.random.default_rng(0).integers(0, 256, (40, 6, 7), dtype=np.uint8)
ROWS = X.reshape(40, -1)


def write_all(folder):
    """The same samples as files of every kind."""
    labels = np.arange(40)
    np.save(folder / "c.npy", X)
    np.save(folder / "columns first.npy", np.asfortranarray(X))
    np.savez(folder / "c.npz", x=X, y=labels)
    np.savez_compressed(folder / "columns first.npz", x=np.asfortranarray(X), y=labels)
    write_idx(folder / "a.idx", X)
    write_idx(folder / "a.idx.gz", X)
    table = pd.DataFrame(ROWS, columns=[f"c{i}" for i in range(42)])
    table.to_csv(folder / "a.csv", index=False)
    table.to_parquet(folder / "a.parquet", index=False, row_group_size=3)
    (folder / "images").mkdir()
    for number, image in enumerate(X):
        Image.fromarray(image).save(folder / "images" / f"{number:02}.png")


def test_a_limit_gives_the_first_samples_of_every_source(tmp_path):
    write_all(tmp_path)
    for path in tmp_path.iterdir():
        whole, few = read(path), read(path, limit=5)
        np.testing.assert_array_equal(few.array, whole.array[:5], err_msg=path.name)
        np.testing.assert_array_equal(few.array.reshape(5, -1), ROWS[:5], err_msg=path.name)
        assert few.array.dtype == whole.array.dtype
        assert (few.names, few.columns) == (whole.names[:5], whole.columns)
        assert few.labels is None or few.labels.tolist() == [0, 1, 2, 3, 4]
        assert len(read(path, limit=99).array) == 40
    with pytest.raises(InputError, match="at least 1, but is 0"):
        read(tmp_path / "c.npy", limit=0)


def test_what_is_beyond_the_limit_is_not_read(tmp_path):
    write_all(tmp_path)
    packed = tmp_path / "a.idx.gz"
    noise = np.random.default_rng(1).integers(0, 256, (9000, 6, 7), dtype=np.uint8)
    write_idx(packed, noise)
    packed.write_bytes(packed.read_bytes()[:200_000])
    with pytest.raises(InputError):
        read(packed)
    np.testing.assert_array_equal(read(packed, limit=50).array, noise[:50])
    (tmp_path / "images" / "05.png").write_bytes(b"no image")
    assert read(tmp_path / "images").failures
    assert not read(tmp_path / "images", limit=5).failures
    pairs = read_pairs(tmp_path / "c.npy", tmp_path / "c.npz", limit=5)
    np.testing.assert_array_equal(pairs.noisy, X[:5])


def test_a_tenth_of_what_a_limit_needs_is_held_out(tmp_path):
    write_all(tmp_path)
    np.save(tmp_path / "noisy.npy", X)
    for limit, needed in ((1, 2), (9, 10), (18, 19), (19, 21), (36, 40), (40, 40)):
        data = {"source": str(tmp_path / "c.npy"), "limit": limit}
        plan = changed(recipes.read("ae"), {}, data)
        split = load_split(plan, 0)
        assert plan.data["test"] == spec.HELD_OUT_FIRST
        assert len(split.train) + len(split.validation.array if split.validation else []) <= limit
        both = {row.tobytes() for row in (*split.train, *split.test.array)}
        assert both <= {row.tobytes() for row in X[:needed]}
    earlier = load_split(replace(plan, data={**data, "limit": 9, "test": spec.HELD_OUT}), 0)
    assert len(earlier.test.array) == 4, "runs of before have a tenth of all"
    spec.check({"noisy": "a", "clean": "b", "limit": 3, "test": spec.HELD_OUT_FIRST})


CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 10 GiB"
CPU = "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"
SPOKEN = [
    (MemoryError(), "The memory is not enough: take fewer"),
    (RuntimeError(f"{CPU} to allocate 4000000000 bytes. Error code 12"), ", 4.00 GB more"),
    (type("OutOfMemoryError", (RuntimeError,), {})(CUDA), ", 20.00 GiB more was asked for: take"),
    (OSError(12, "Cannot allocate memory"), "not enough: take"),
    (RuntimeError("mat1 and mat2"), None),
    (OSError(2, "No such file"), None),
]


@pytest.mark.parametrize(("error", "words"), SPOKEN)
def test_what_ran_out_of_memory_is_told_in_a_sentence(error, words):
    told = out_of_memory(error)
    assert told is None if words is None else words in told


def test_running_out_of_memory_is_called_that(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr("diabolo.data.sources.read", lambda *_, **__: np.empty(1 << 46))
    told = failed(capsys, "fit", "ae", "--data", tmp_path / "x.npy", "--out", tmp_path / "run")
    assert told == (
        "The memory is not enough, 512. TiB more was asked for: take fewer samples (--limit N),"
        " smaller ones (--size), or a smaller batch_size or network."
    )
    assert not (tmp_path / "run").exists()


def test_a_header_that_promises_too_much_is_damage_and_a_full_memory_is_not(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", X)
    lie = BytesIO()
    npy.write_array_header_1_0(lie, {"descr": "|u1", "fortran_order": False, "shape": (1 << 50,)})
    with ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", lie.getvalue() + bytes(10))
    with pytest.raises(InputError, match=f"x.npy has 10 bytes of values, not {1 << 50}"):
        read(tmp_path / "x.npz")

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("diabolo.data.arrays.npy.open_memmap", full)
    with pytest.raises(MemoryError):
        read(tmp_path / "x.npy")


def test_the_page_is_there_before_the_rest_which_waits(monkeypatch):
    loaded, closed = threading.Event(), []
    app = Starlette(routes=[Route("/api/health", lambda request: PlainTextResponse("ready"))])
    app.state.service = SimpleNamespace(close=lambda: closed.append(True))

    def load():
        assert loaded.wait(20)
        return app

    with TestClient(Opening(load, failed=lambda: None).guarded(hosts=None, token=None)) as client:
        assert "diabolo studio" in client.get("/").text
        assert client.get("/page/main.js").status_code == 200
        assert client.get("/page/none.js").json() == {"error": "Not Found"}
        threading.Timer(0.1, loaded.set).start()
        assert client.get("/api/health").text == "ready"
        assert loaded.is_set()
    assert closed == [True]


def test_a_studio_that_cannot_open_ends(monkeypatch):
    ended = threading.Event()

    def load():
        raise InputError("It is damaged.")

    opening = Opening(load, failed=ended.set)
    with TestClient(opening.guarded(hosts=None, token="t")) as client:
        assert client.get("/api/models").status_code == 401
        answer = client.get("/api/models", headers={"authorization": "Bearer t"})
        assert (answer.status_code, answer.json()) == (503, {"error": FAILED})
    assert ended.is_set()
    assert str(opening.failure) == "It is damaged."


@pytest.mark.stress
def test_a_fit_on_a_part_of_a_large_map_is_small(tmp_path):
    path = tmp_path / "big.npy"
    large = np.lib.format.open_memmap(path, "w+", np.uint8, (1_000_000, 3072))
    large[:6000] = np.random.default_rng(0).integers(0, 256, (6000, 3072), dtype=np.uint8)
    del large
    words = [
        "fit",
        "ae",
        "--data",
        path,
        "--limit",
        5000,
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
    ]
    subprocess.run([sys.executable, "-m", "diabolo", *map(str, words)], check=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 800 * 1024
