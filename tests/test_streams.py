"""Every use of a model on a file that stays on disk gives what it gives in memory."""

import numpy as np
import pytest

from diabolo import AnomalyDetector, Autoencoder, data
from diabolo.commands import applying, denoising, detecting, embedding, training
from diabolo.corruption import GaussianNoise
from diabolo.data import mapped
from diabolo.errors import InputError

X = np.random.default_rng(0).integers(0, 255, (300, 8, 8), dtype=np.uint8)
USES = {
    "encode": lambda model, x, out: applying.encode(model, x, out / "codes.npy"),
    "reconstruct": lambda model, x, out: applying.reconstruct(model, x, out / "made.npy"),
    "denoise": lambda model, x, out: denoising.denoise(model, x, out / "clean.npy"),
    "score": lambda model, x, out: detecting.score(model.with_name("d.safetensors"), x, out / "s"),
    "neighbours": lambda model, x, out: embedding.neighbours(model, out.parent / "one.npy", x),
    "map": lambda model, x, out: embedding.draw_map(model, x, out / "map.png", by="error"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    model = Autoencoder(latent_dim=3, epochs=1, corruption=GaussianNoise(0.1), random_state=0).fit(
        X
    )
    model.save(folder / "m.safetensors")
    AnomalyDetector(model, prefit=True).fit(X).save(folder / "d.safetensors")
    np.save(folder / "x.npy", X)
    np.save(folder / "one.npy", X[4:5])
    return folder


@pytest.mark.parametrize("use", USES)
def test_a_use_of_a_file_on_disk_is_that_of_memory(use, place, monkeypatch, capsys):
    results = []
    for way, large in {"memory": 2**40, "disk": 1}.items():
        monkeypatch.setattr(mapped, "LARGE", large)
        monkeypatch.setattr(mapped, "ROWS", 64)
        out = place / f"{use}-{way}"
        out.mkdir()
        told = USES[use](place / "m.safetensors", str(place / "x.npy"), out)
        files = {p.name: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
        if use == "denoise":  # whose picture on disk is that of reconstruct
            del files["clean.npy-comparison.png"]
        results.append(
            (files, told if use == "neighbours" else len(told) if type(told) is list else 0)
        )
    assert results[0] == results[1]
    assert results[0][0] or use == "neighbours"


@pytest.mark.usefixtures("drawn")
def test_fit_on_a_file_on_disk(place, monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 4000)
    run = training.fit(
        "ae", data=str(place / "x.npy"), out=place / "run", parameters={"epochs": 1}
    )
    assert (run / "report.html").is_file()


def test_an_array_of_several_is_named(place, monkeypatch):
    h5py = pytest.importorskip("h5py")
    with h5py.File(place / "two.h5", "w") as file:
        file["a"], file["b/c"] = X, X[:5]
    np.testing.assert_array_equal(data.read(f"{place}/two.h5:b/c").array, X[:5])
    assert data.read(f"{place}/two.h5:a", limit=7).array.shape == (7, 8, 8)
    with pytest.raises(InputError, match=r"two.h5:a, .*two.h5:b/c: give one of these"):
        data.read(place / "two.h5")
