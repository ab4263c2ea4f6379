"""Samples on disk: the same weights as from memory, and streams in bounded memory."""

import numpy as np
import pytest

from diabolo import VAE, Autoencoder
from diabolo.data import mapped
from diabolo.errors import InputError


@pytest.fixture
def stays(monkeypatch):
    """Arrays of any size in files stay there, and pages are let go of all the time."""
    monkeypatch.setattr(mapped, "LARGE", 1)
    monkeypatch.setattr(mapped, "WINDOW", 1000)
    monkeypatch.setattr(mapped, "GROUP", 4000)


def saved(path, array):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def samples(dtype, n=300):
    x = np.random.default_rng(0).random((n, 6, 5))
    return x.astype(dtype) if np.dtype(dtype).kind == "f" else (x * 255).astype(dtype)


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "bool", "float32", "float64", ">f4", "int32"]
)
def test_a_map_gives_the_weights_of_memory_to_the_bit(stays, tmp_path, dtype):
    x = samples(dtype)
    there = saved(tmp_path / "x.npy", x)
    options = {"latent_dim": 3, "epochs": 2, "batch_size": 32, "random_state": 0}
    a, b = (Autoencoder(**options).fit(given) for given in (x, there))
    assert isinstance(mapped.on_disk(there), mapped.OnDisk)
    assert a.history_["loss"] == b.history_["loss"]
    assert a.data_ == b.data_
    for name in ("transform", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(a, name)(x), getattr(b, name)(there))
    assert a.unlike(x) == b.unlike(there)


def test_pairs_and_conditions_on_disk(stays, tmp_path):
    x = samples("float32")
    noisy, y = x + 0.1, np.arange(len(x)) % 3
    options = {"epochs": 2, "random_state": 0, "hidden": (8,), "latent_dim": 3}
    there, beside = saved(tmp_path / "x.npy", x), saved(tmp_path / "noisy.npy", noisy)
    a = Autoencoder(**options).fit(x, X_noisy=noisy, X_val=(noisy[:50], x[:50]))
    b = Autoencoder(**options).fit(there, X_noisy=beside, X_val=(beside[:50], there[:50]))
    assert a.history_["val_loss"] == b.history_["val_loss"]
    a, b = (VAE(condition="labels", **options).fit(given, y) for given in (x, there))
    np.testing.assert_array_equal(a.transform(x, condition=y), b.transform(there, condition=y))


def test_a_slice_of_a_map_is_found_where_it_lies(stays, tmp_path):
    there = saved(tmp_path / "x.npy", samples("uint8"))[40:250]
    found = mapped.on_disk(there)
    np.testing.assert_array_equal(np.asarray(found), there)
    np.testing.assert_array_equal(np.asarray(found[::-3]), there[::-3])


def test_a_map_whose_changes_are_its_own_is_read(stays, tmp_path):
    saved(tmp_path / "x.npy", samples("uint8"))
    own = np.load(tmp_path / "x.npy", mmap_mode="c")
    own[0] = 7
    assert mapped.on_disk(own) is own


def test_training_on_a_map_goes_on_to_the_bit(stays, tmp_path):
    there = saved(tmp_path / "x.npy", samples("uint8"))
    options = {"latent_dim": 3, "epochs": 3, "batch_size": 32, "random_state": 0}
    whole = Autoencoder(**options).fit(there)

    def stop(model):
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        Autoencoder(**options).fit(there, checkpoint=tmp_path / "kept", callback=stop)
    again = Autoencoder(**options).fit(there, checkpoint=tmp_path / "kept")
    np.testing.assert_array_equal(whole.transform(there), again.transform(there))


def test_a_file_that_is_cut_off_while_it_trains_is_a_sentence(stays, tmp_path):
    path = tmp_path / "x.npy"
    there = saved(path, samples("uint8"))

    def cut(model):
        with path.open("r+b") as file:
            file.truncate(200)

    with pytest.raises(InputError, match="cannot be read any more"):
        Autoencoder(latent_dim=3, epochs=3).fit(there, callback=cut)


def test_what_is_not_finite_on_disk_is_a_sentence(stays, tmp_path):
    x = samples("float32")
    x[200, 3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        Autoencoder(latent_dim=3).fit(saved(tmp_path / "x.npy", x))
