"""One safe file: what is written is read, and what is not ours is refused in a sentence."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import limited
from safetensors.torch import load_file, save_file

from diabolo import VAE, Autoencoder, load, store
from diabolo.corruption import GaussianNoise
from diabolo.errors import InputError

CONFIG = {"name": "ä", "sizes": [1, 2], "nothing": None, "deep": {"a": 1.5}}
TENSORS = {
    "float": torch.arange(6.0).reshape(2, 3),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "bytes": torch.tensor([1, 2], dtype=torch.uint8),
    "number": torch.tensor(3.5),
    "empty": torch.empty(0),
}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "deep" / "model.safetensors"
    store.write(path, CONFIG, TENSORS)
    config, tensors = store.read(path)
    assert config == CONFIG
    assert store.read_config(path) == config
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_the_same_content_gives_the_same_bytes(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    store.write(a, CONFIG, TENSORS)
    store.write(
        b, dict(reversed(CONFIG.items())), {k: v.clone() for k, v in reversed(TENSORS.items())}
    )
    assert a.read_bytes() == b.read_bytes()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    store.write(path, CONFIG, TENSORS)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        store.write(path, {"bad": object()}, TENSORS)
    with pytest.raises(AttributeError):
        store.write(path, CONFIG, {"bad": [1, 2]})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def foreign(path, name):
    contents = {
        "empty": b"",
        "short": b"\x01\x02",
        "text": b"just a text, longer than eight bytes",
        "zeros": bytes(1000),
        "huge header": b"\xff" * 64,
        "list header": (2).to_bytes(8, "little") + b"[]",
        "deep header": (10**5).to_bytes(8, "little") + b"[" * 10**5,
        "pickle": pickle.dumps(Bomb()),
    }
    if name == "plain safetensors":
        save_file({"a": torch.zeros(3)}, path)
    elif name == "other metadata":
        save_file({"a": torch.zeros(3)}, path, metadata={"other": "{}"})
    elif name in METADATA:
        save_file({"a": torch.zeros(3)}, path, metadata={store.ENTRY: METADATA[name]})
    else:
        path.write_bytes(contents[name])


METADATA = {
    "no json": "{",
    "a list": "[1]",
    "no format": "{}",
    "a text for format": '{"format": "1"}',
}
FOREIGN = [
    *("empty", "short", "text", "zeros", "huge header", "list header", "deep header", "pickle"),
    *("plain safetensors", "other metadata"),
    *METADATA,
]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("read", [store.read, store.read_config, load])
def test_a_foreign_file_is_refused(tmp_path, monkeypatch, name, read):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    foreign(path, name)
    with pytest.raises(InputError, match=r"model\.safetensors") as error:
        read(path)
    assert "\n" not in str(error.value)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("read", [store.read, store.read_config, load])
def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path, read):
    with pytest.raises(InputError, match=r"cannot be read|does not exist"):
        read(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize("read", [store.read, store.read_config, load])
def test_a_newer_format_asks_for_a_newer_program(tmp_path, monkeypatch, read):
    path = tmp_path / "model.safetensors"
    with monkeypatch.context() as later:
        later.setattr(store, "FORMAT", store.FORMAT + 1)
        store.write(path, CONFIG, TENSORS)
    with pytest.raises(InputError, match=r"newer than \d+: install a newer diabolo"):
        read(path)


# ---- files of every format


@pytest.mark.parametrize("number", range(1, store.FORMAT + 1))
def test_a_file_of_every_format_is_read(number, tmp_path):
    """Each was written by the version that had the format, from the same seed and data."""
    X = (np.random.default_rng(0).random((20, 2, 3)) * 255).astype(np.uint8)
    model = load(Path(__file__).parent / "files" / f"format-{number}.safetensors", device="cpu")
    codes = [[0.01483187, 0.0423491], [-0.15234584, -0.06879061], [0.00567569, 0.00493648]]
    np.testing.assert_allclose(model.transform(X[:3]), codes, rtol=1e-5)
    np.testing.assert_allclose(
        model.score_samples(X[:3]), [-0.36089522, -0.4297375, -0.40521744], rtol=1e-5
    )
    assert model.history_["epoch"] == [1, 2]
    assert model.history_["loss"] == pytest.approx([0.3643447753041983, 0.392637725174427])
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path, device="cpu")  # as of a run folder
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


# ---- model files


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model, its file, the config in it and its tensors."""
    X = np.random.default_rng(0).random((20, 6), dtype=np.float32)
    model = VAE(latent_dim=2, hidden=(3,), epochs=2, random_state=0, device="cpu").fit(X)
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model.save(path)
    return model, path, store.read_config(path), load_file(path)


def test_a_file_cut_off_anywhere_is_refused(saved, tmp_path):
    _, path, *_ = saved
    whole, cut = path.read_bytes(), tmp_path / "cut.safetensors"
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        cut.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut off|damaged"):
            load(cut)


def test_a_model_file_holds_no_pickle(saved):
    _, path, *_ = saved
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    assert list(header["__metadata__"]) == [store.ENTRY]
    assert sum(t.numel() * t.element_size() for t in saved[3].values()) == len(whole) - 8 - size


REQUIRED = ["model", "custom_network", "sample_shape", "image_shape", "dtype", "seed", "history"]


def test_every_tensor_of_a_model_file_is_needed(saved, tmp_path):
    *_, config, tensors = saved
    path = tmp_path / "model.safetensors"
    for name in tensors:
        store.write(path, config, {k: v for k, v in tensors.items() if k != name})
        with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
            load(path)
    store.write(path, config, tensors | {"extra": torch.zeros(1)})
    with pytest.raises(InputError, match="is damaged"):
        load(path)


def test_every_tensor_of_a_model_file_has_its_shape(saved, tmp_path):
    *_, config, tensors = saved
    path, wrong = tmp_path / "model.safetensors", []
    for name in tensors:
        store.write(path, config, tensors | {name: torch.zeros(5, 4, 3)})
        try:
            load(path)
        except InputError:
            continue
        except Exception as error:
            wrong.append(f"{name}: {error!r:.80}")
        else:
            wrong.append(f"{name}: accepted")
    assert not wrong


@pytest.mark.parametrize("key", REQUIRED)
def test_every_entry_of_a_model_file_is_needed(saved, tmp_path, key):
    *_, config, tensors = saved
    path = tmp_path / "model.safetensors"
    store.write(path, {k: v for k, v in config.items() if k != key}, tensors)
    with pytest.raises(InputError, match="is damaged"):
        load(path)


WRONG = [None, 5, -1, 2.5, "x", [], [0], ["x"], {}, {"x": 1}, True, [7, 7, 7], 10**400]


@pytest.mark.parametrize("key", REQUIRED)
def test_a_wrong_entry_is_refused_or_harmless(saved, tmp_path, key):
    """No entry of a file, whatever it is, may end in anything but a model or an `InputError`."""
    model, _, config, tensors = saved
    path, wrong = tmp_path / "model.safetensors", []
    X = np.random.default_rng(0).random((20, 6), dtype=np.float32)
    for value in WRONG:
        store.write(path, config | {key: value}, tensors)
        try:
            read = load(path)
        except InputError as error:
            if "\n" in str(error):
                wrong.append(f"{value!r:.20}: more than a sentence")
            continue
        except Exception as error:
            wrong.append(f"{value!r:.20}: load raised {error!r:.80}")
            continue
        try:
            np.testing.assert_array_equal(read.transform(X), model.transform(X))
        except Exception as error:
            wrong.append(f"{value!r:.20}: accepted, then {error!r:.80}")
    assert not wrong


@pytest.mark.parametrize("name", ["latent_dim", "hidden", "activation", "network", "kind", "beta"])
@pytest.mark.parametrize("value", ["x", -3, [], {}, None], ids=repr)
def test_a_wrong_parameter_in_a_file_is_refused(saved, tmp_path, name, value):
    *_, config, tensors = saved
    path = tmp_path / "model.safetensors"
    if (name, value) == ("hidden", []):
        value = [9]
    store.write(path, config | {"model": config["model"] | {name: value}}, tensors)
    with pytest.raises(InputError):
        load(path)


@pytest.mark.parametrize("side", [2**13, 2**15])
def test_a_small_file_of_large_samples_is_refused_before_it_takes_memory(tmp_path, side):
    given = {"network": "unet", "latent_dim": None, "hidden": (2,), "epochs": 1}
    noise = GaussianNoise(0.1)
    Autoencoder(corruption=noise, **given).fit(np.zeros((4, 8, 8))).save(tmp_path / "m")
    config, tensors = store.read(tmp_path / "m")
    sizes = {"sample_shape": [side, side], "image_shape": [1, side, side]}
    store.write(tmp_path / "m", config | sizes, tensors)
    with (
        limited(0),
        pytest.raises(InputError, match=r"range of the codes|values, and"),
    ):
        load(tmp_path / "m")


def test_what_is_set_after_fit_does_not_spoil_the_file(tmp_path):
    X = np.random.default_rng(0).random((20, 6), dtype=np.float32)
    model = Autoencoder(latent_dim=2, hidden=(3,), epochs=1, random_state=0, device="cpu").fit(X)
    before = model.transform(X)
    model.set_params(latent_dim=4, hidden=(9, 9)).save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read.transform(X), before)
    assert read.latent_dim == 2


def test_an_unfitted_model_cannot_be_saved(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        Autoencoder().save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
