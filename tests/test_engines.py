"""Engines give the answers of a single process; large tables stream; a device is checked."""

import copy
import os
import pickle
import sys

import numpy as np
import pytest
from conftest import failed, floats, run

from diabolo import Autoencoder, data, engines, trial
from diabolo.corruption import GaussianNoise
from diabolo.data import images, kept, mapped, outputs, outside
from diabolo.errors import InputError
from diabolo.tasks.anomaly import AnomalyDetector

TINY = {"latent_dim": 3, "hidden": (4,), "epochs": 1, "random_state": 0, "device": "cpu"}
IMAGES = np.random.default_rng(0).integers(0, 255, (200, 8, 8), dtype=np.uint8)


def elsewhere(function, parts):
    """Maps a function as another process would: all of it is sent there and back."""
    work = pickle.loads(pickle.dumps(function))
    for part in parts:
        yield pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(part)))))


@pytest.fixture
def sent(monkeypatch):
    """Ray's place is taken by this process, and blocks are small."""
    monkeypatch.setattr(engines, "_by_ray", elsewhere)
    monkeypatch.setattr(mapped, "ROWS", 64)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    noise = GaussianNoise(0.1)
    model = Autoencoder(corruption=noise, **TINY).fit(IMAGES)
    model.save(folder / "images.safetensors")
    AnomalyDetector(model, prefit=True).fit(IMAGES).save(folder / "detector.safetensors")
    np.save(folder / "images.npy", IMAGES)
    data.write(folder / "pictures", IMAGES[:70])
    table = data.read(written(folder / "table.csv"))
    model = Autoencoder(likelihood="mixed", corruption=noise, **TINY).fit(table)
    model.save(folder / "rows.safetensors")
    fitted = AnomalyDetector(model, prefit=True).fit(table.array)
    fitted.save(folder / "odd.safetensors")
    return folder


def written(path, n=150):
    kinds = np.array(["red", "green", "blue"])
    lines = [f"{v:.3f},{kinds[i % 3]},{i % 5}" for i, v in enumerate(floats(n, 1)[:, 0])]
    path.write_text("size,colour,count\n" + "\n".join(lines) + "\n")
    return path


USES = {
    "codes": "encode images.safetensors images.npy --out {}/codes.npy",
    "codes of a folder": "encode images.safetensors pictures --out {}/codes.csv",
    "images": "denoise images.safetensors images.npy --out {}/clean.npy",
    "pictures": "denoise images.safetensors pictures --out {}/clean",
    "rows": "denoise rows.safetensors table.csv --out {}/clean.csv",
    "scores": "detect score detector.safetensors images.npy --out {}/found",
    "odd cells": "detect score odd.safetensors table.csv --out {}/found",
}
SOME = ("codes of a folder", "pictures", "odd cells")


@pytest.mark.parametrize(
    "large", [pytest.param(False, marks=pytest.mark.stress), True], ids=["memory", "disk"]
)
@pytest.mark.parametrize(
    "use",
    [pytest.param(u, marks=() if u in SOME else pytest.mark.stress, id=u) for u in USES],
)
def test_an_engine_gives_the_answers_of_one_process(use, large, place, sent, monkeypatch):
    monkeypatch.chdir(place)
    if large:
        monkeypatch.setattr(mapped, "LARGE", 1)
    found = []
    for words in ("", " --engine ray"):
        out = place / f"{use}{large}{words}".replace(" ", "")
        out.mkdir()
        assert run(*USES[use].format(out).split(), *words.split()) == 0
        found.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert found[0] == found[1]
    assert len(found[0]) >= 1


def test_photographs_are_cleaned_by_an_engine(place, sent, monkeypatch):
    monkeypatch.chdir(place)
    data.write("few", IMAGES[:6])
    for words in ("", " --engine ray"):
        out = f"photos{len(words)}"
        assert run("denoise", "photo", "few", "--out", out, *words.split()) == 0
    made = [sorted((place / f"photos{n}").iterdir()) for n in (0, 13)]
    assert len(made[0]) == 6
    assert [p.read_bytes() for p in made[0]] == [p.read_bytes() for p in made[1]]


def test_a_mistake_in_a_process_is_a_sentence(place, sent, monkeypatch, capsys):
    monkeypatch.chdir(place)
    np.save("small.npy", IMAGES[:, :5])
    words = ["encode", "images.safetensors", "small.npy", "--out", "x.npy", "--engine", "ray"]
    assert "(8, 8)" in failed(capsys, *words)


def test_without_ray_it_is_said_what_to_install(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    model, images = place / "images.safetensors", place / "images.npy"
    words = ["encode", model, images, "--out", place / "none.npy", "--engine", "ray"]
    assert 'pip install "diabolo[ray]"' in failed(capsys, *words)
    assert not (place / "none.npy").exists()


@pytest.mark.stress
@pytest.mark.filterwarnings("ignore")
def test_ray_gives_the_codes_of_one_process(place, monkeypatch, capsys):
    pytest.importorskip("ray")
    monkeypatch.chdir(place)
    monkeypatch.setattr(mapped, "ROWS", 64)
    words = ["encode", "images.safetensors", "images.npy", "--out"]
    assert run(*words, "one.npy") == run(*words, "ray.npy", "--engine", "ray") == 0
    assert (place / "one.npy").read_bytes() == (place / "ray.npy").read_bytes()
    np.save("small.npy", IMAGES[:, :5])
    assert "(8, 8)" in failed(
        capsys, "encode", "images.safetensors", "small.npy", "--out", "x.npy", "--engine", "ray"
    )


@pytest.mark.stress
@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_ray_that_dies_again_and_again_ends_the_work():
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="A worker of Ray died, also when it was begun again"):
        list(engines.mapper("ray")(os._exit, [9, 9]))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_codes_are_written_in_parts(suffix, tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    codes = floats(100, 3)
    read = pandas.read_csv if suffix == ".csv" else pandas.read_parquet
    like = data.Samples(IMAGES[:100], [f"{i}.png" for i in range(100)], "folder", np.arange(100))
    data.write_codes(tmp_path / f"whole{suffix}", codes, like)
    monkeypatch.setattr(outputs, "PART", 32)
    data.write_codes(tmp_path / f"parts{suffix}", codes, like)
    whole, parts = (read(tmp_path / f"{name}{suffix}") for name in ("whole", "parts"))
    pandas.testing.assert_frame_equal(whole, parts)
    assert list(whole.columns) == ["file", "label", "code_0", "code_1", "code_2"]
    if suffix == ".csv":
        assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "parts.csv").read_bytes()


# ---- tables in files


def tables(folder, **columns):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame(rng.normal(size=(500, 3)), columns=["a", "b", "c"]).assign(
        n=rng.integers(0, 9, 500), label=np.arange(500) % 3, **columns
    )
    folder.mkdir()
    table.to_parquet(folder / "whole.parquet", row_group_size=70)
    table.to_feather(folder / "whole.arrow")
    (folder / "parts").mkdir()
    for part in range(2):
        half = table[part * 250 : part * 250 + 250].reset_index(drop=True)
        half.to_parquet(folder / "parts" / f"{part}.parquet")
    return table


@pytest.mark.parametrize("name", ["whole.parquet", "whole.arrow", "parts"])
def test_a_large_table_stays_on_disk_and_teaches_the_same(name, tmp_path, monkeypatch):
    tables(tmp_path / "t")
    small = data.read(tmp_path / "t" / name)
    a = Autoencoder(**TINY).fit(small)
    monkeypatch.setattr(mapped, "LARGE", 1000)
    large = data.read(tmp_path / "t" / name)
    assert isinstance(large.array, mapped.OnDisk)
    assert (large.columns, large.notes) == (small.columns, small.notes)
    assert np.array_equal(large.labels, small.labels)
    b = Autoencoder(**TINY).fit(large)
    assert a.history_["loss"] == b.history_["loss"]
    assert np.array_equal(a.transform(small.array), b.transform(large.array))


def test_a_large_table_with_gaps_or_words_is_read_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 1000)
    words = np.array(["red", "blue"])[np.arange(500) % 2]
    tables(tmp_path / "words", colour=words)
    assert "colour" in data.read(tmp_path / "words" / "parts").array.columns
    gaps = np.where(np.arange(500) == 499, np.nan, 1.5)
    tables(tmp_path / "gaps", gap=gaps)
    found = data.read(tmp_path / "gaps" / "whole.parquet")
    assert found.array["gap"].isna().sum() == 1
    assert len(data.read(tmp_path / "gaps" / "parts", limit=7).array) == 7
    for name, way in {"words": "COPIES", "gaps": "CELL"}.items():
        monkeypatch.setattr(outside, way, 2**40)
        with pytest.raises(InputError, match=r"has [\d,]+ cells, more than there is memory for"):
            data.read(tmp_path / name / "parts")


def test_what_is_drawn_to_test_from_a_large_file_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mapped, "LARGE", 1000)
    np.save(tmp_path / "x.npy", IMAGES)
    run("fit", "ae", "--data", tmp_path / "x.npy", "--out", tmp_path / "r", "--epochs", 1)
    said = "Of 200 samples 15, as many as 64 MiB have, are drawn to test on."
    assert said in capsys.readouterr().out


# ---- the device


def test_a_device_that_answers_otherwise_is_named(monkeypatch):
    X = floats(80)
    assert trial.on_cpu(Autoencoder(**TINY).fit(X).net_) is None

    def wrong(net):
        twin = copy.deepcopy(net)
        for weights in twin.parameters():
            weights.data *= 1.5
        return twin

    monkeypatch.setattr(trial, "on_cpu", copy.deepcopy)
    assert "wrong device" not in [f.name for f in Autoencoder(**TINY).fit(X).findings_]
    monkeypatch.setattr(trial, "on_cpu", wrong)
    with pytest.warns(match="wrong device: The answers of the device cpu are off by up to"):
        Autoencoder(**TINY).fit(X)


# ---- folders of many images


def test_a_folder_is_decoded_once_and_teaches_the_same(tmp_path, monkeypatch):
    data.write(tmp_path / "many", IMAGES)
    (tmp_path / "many" / "050.png").write_bytes(b"no image")
    bad = tmp_path / "many" / "060.png"
    bad.write_bytes(bad.read_bytes()[:60])
    small = data.read(tmp_path / "many")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mapped, "LARGE", 1000)
    monkeypatch.setattr(images, "BLOCK", 64 * 30)
    large = data.read(tmp_path / "many")
    assert isinstance(large.array, mapped.OnDisk)
    assert (large.names, large.failures) == (small.names, small.failures)
    a, b = (Autoencoder(**TINY).fit(samples) for samples in (small, large))
    assert (a.history_["loss"], a.data_) == (b.history_["loss"], b.data_)
    seen = a.corrupt(small.array, corruption=GaussianNoise(0.2), random_state=0)
    assert np.array_equal(
        seen, b.corrupt(large.array, corruption=GaussianNoise(0.2), random_state=0)
    )
    with monkeypatch.context() as patch:
        patch.setattr(images, "_fill", None)  # nothing is decoded again
        again = data.read(tmp_path / "many")
    assert np.array_equal(np.asarray(again.array), small.array)
    assert again.failures == small.failures
    data.write(tmp_path / "other", 255 - IMAGES[:1])
    (tmp_path / "other" / "0.png").replace(tmp_path / "many" / "000.png")
    assert np.asarray(data.read(tmp_path / "many").array)[0].sum() == (255 - IMAGES[0]).sum()


def test_the_cache_is_bounded_and_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mapped, "LARGE", 1000)
    monkeypatch.setattr(kept, "MOST", 15_000)
    for name in "ab":
        data.write(tmp_path / name, IMAGES)
        assert data.read(tmp_path / name).on_disk
    assert len(list(kept.place().glob("*.npy"))) == len(list(kept.place().glob("*.json"))) == 1
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert np.array_equal(data.read(tmp_path / "a").array, IMAGES)
