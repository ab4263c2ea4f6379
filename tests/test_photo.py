"""Photographs: the residual network, patches of a folder, and the recipe that has both."""

import json
import tomllib

import numpy as np
import pytest
import torch
from conftest import drawing, failed, run
from PIL import Image
from test_damage import waves
from torch import nn

from diabolo import VAE, Autoencoder, data, load, metrics, recipes
from diabolo.commands.runs import load_split
from diabolo.commands.training import new_model
from diabolo.corruption import GaussianNoise, Masking
from diabolo.errors import InputError
from diabolo.networks import Sizes, build
from diabolo.networks.residual import Residual, WithoutNoise
from diabolo.tasks.denoising import corrupt, denoise
from diabolo.train import generator


def pair(shape, hidden=(4, 5), seed=0, init="glorot"):
    sizes = Sizes(shape, hidden, None, activation="relu", code_activation="identity")
    return build(Residual(), sizes, init, generator(seed, "init"))


def new(**parameters):
    given = {"network": "residual", "latent_dim": None, "hidden": (8, 8), "random_state": 0}
    given |= {"corruption": GaussianNoise(0.1), "batch_size": 8, "epochs": 1, "device": "cpu"}
    return Autoencoder(**given | parameters)


# ---- the network


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("init", ["glorot", "torch"])
def test_it_begins_as_the_identity_at_every_size(channels, init):
    for height in (1, 2, 5, 8):
        for width in (1, 4, 7):
            shape = (channels, height, width)
            encoder, decoder = pair(shape, init=init)
            x = torch.rand(3, *shape)
            assert torch.equal(decoder(encoder(x)), x)
            with torch.no_grad():
                nn.init.constant_(list(encoder.parameters())[-1], 0.25)
            torch.testing.assert_close(decoder(encoder(x)), x - 0.25)


def test_its_weights_come_from_the_generator_alone(untouched):
    with untouched():
        first, again, other = (
            [p for p in pair((1, 8, 8), seed=seed)[0].parameters() if p.ndim == 4]
            for seed in (0, 0, 1)
        )
    assert [p.shape[0] for p in first] == [4, 5, 4]
    for a, b, c in zip(first[:-1], again[:-1], other[:-1], strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
    assert not first[-1].any()


def test_all_convolutions_are_at_half_the_resolution():
    noise = pair((3, 10, 12))[0][0]
    seen = []
    for module in noise.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, x, y: seen.append(y.shape[1:]))
    noise(torch.rand(1, 3, 10, 12))
    assert seen == [(4, 5, 6), (5, 5, 6), (12, 5, 6)]


def test_a_gradient_reaches_every_parameter_once_the_last_layer_has_moved():
    noise = WithoutNoise((1, 8, 8), (4, 4), "elu")
    noise(torch.rand(8, 1, 8, 8)).square().sum().backward()
    assert all(p.grad.any() for p in noise.parameters())


def test_a_texture_that_a_code_loses_comes_back():
    """Every pixel has a value of its own, and a tenth of them are black: only these may change."""
    random = np.random.default_rng(0)
    train, test = random.integers(90, 256, (2, 256, 16, 16), dtype=np.uint8)
    found = {}
    for network in ("residual", "subpixel"):
        model = new(network=network, corruption=Masking(0.1), epochs=5, learning_rate=3e-3)
        model.fit(train)
        noisy = model.corrupt(test, random_state=0)
        output = model.reconstruct(noisy)
        found[network] = metrics.mse(output[noisy > 0] / 255, test[noisy > 0] / 255)
    assert found["residual"] < 0.5 * found["subpixel"]


def test_a_network_of_patches_cleans_photographs_in_colour_and_is_saved(tmp_path):
    model = new(epochs=8, learning_rate=3e-3).fit(waves(200, 1, 16, 16))
    photo = waves(1, 3, 45, 70, seed=2)
    noisy = corrupt(model, photo, random_state=0)
    clean = denoise(model, noisy)
    assert clean.shape == photo.shape
    assert metrics.mse(clean / 255, photo / 255) < 0.5 * metrics.mse(noisy / 255, photo / 255)
    by_channel = denoise(model, np.asarray(noisy)[:, 1])
    np.testing.assert_array_equal(clean[:, 1], by_channel)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", device="cpu")
    np.testing.assert_array_equal(denoise(again, noisy), clean)
    assert "encoder 1,172 + decoder 0 = 1,172 parameters" in again.summary()


IMPOSSIBLE = {
    "a narrow code": ({"latent_dim": 8}, "no narrow code: give latent_dim none, not 8"),
    "no layers": ({"hidden": ()}, "at least one number of channels in hidden"),
    "bernoulli": ({"likelihood": "bernoulli"}, "nothing may squash: use likelihood='gaussian'"),
    "a sigmoid": ({"output_activation": "sigmoid"}, "leave output_activation out"),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_it_cannot_be_combined_with(what):
    parameters, message = IMPOSSIBLE[what]
    with pytest.raises(InputError, match=message):
        new(**parameters).fit(waves(8, 8, 8))


def test_it_needs_images_and_is_no_vae():
    with pytest.raises(InputError, match="A residual network needs images"):
        new().fit(np.zeros((8, 9), np.uint8))
    with pytest.raises(InputError, match="A VAE needs a latent_dim"):
        VAE(network="residual", latent_dim=None).fit(waves(8, 8, 8))
    with pytest.raises(InputError, match="A residual network has no narrow code"):
        VAE(network="residual", latent_dim=4).fit(waves(8, 8, 8))


# ---- patches of a folder


def folder_of(path, images):
    path.mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(path / name)
    return str(path)


def gray(value, height=20, width=20):
    return np.full((height, width), value, np.uint8)


def test_photographs_are_held_out_whole(tmp_path):
    """Each has its own gray value, so that a patch tells where it is from."""
    photos = {f"{v}.png": gray(v, 12 + v, 30 - v) for v in range(1, 13)}
    source = folder_of(tmp_path / "photos", photos)
    train, test = data.split_patches(source, None, size=8, n=400, seed=0)
    assert (train.array.shape, test.array.shape) == ((400, 1, 8, 8), (40, 1, 8, 8))
    assert (train.array == train.array[:, :, :1, :1]).all()
    learnt, tested = set(train.array[:, 0, 0, 0]), set(test.array[:, 0, 0, 0])
    assert len(tested) == 1
    assert learnt == set(range(1, 13)) - tested
    again, _ = data.split_patches(source, None, size=8, n=400, seed=0)
    np.testing.assert_array_equal(again.array, train.array)
    other, _ = data.split_patches(source, None, size=8, n=400, seed=1)
    assert not np.array_equal(other.array, train.array)


@pytest.mark.parametrize("turned", [False, True])
def test_of_one_photograph_the_end_of_its_longer_side_is_held_out(tmp_path, turned):
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8), (24, 200))
    source = folder_of(tmp_path / "photos", {"a.png": ramp.T if turned else ramp})
    train, test = data.split_patches(source, None, size=8, n=3000, seed=0)
    assert (train.array.min(), train.array.max()) == (0, 179)
    assert (test.array.min(), test.array.max()) == (180, 199)


def test_a_folder_of_everything_becomes_patches_of_one_kind(tmp_path):
    colour = np.zeros((30, 40, 3), np.uint8)
    colour[:] = (10, 20, 30)
    images = {"c.png": colour, "g.jpg": gray(50), "deep.png": np.full((20, 20), 257 * 90, "u2")}
    source = folder_of(tmp_path / "photos", images | {"tiny.png": gray(0, 5, 90)})
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    test = folder_of(tmp_path / "test", {"t.png": gray(7)})
    train, tested = data.split_patches(source, test, size=16, n=300, seed=0)
    kinds = {tuple(int(v) for v in patch[:, 0, 0]) for patch in train.array}
    assert kinds == {(10, 20, 30), (50, 50, 50), (90, 90, 90)}
    assert (train.array.dtype, tested.array.shape) == (np.uint8, (30, 3, 16, 16))
    assert (tested.array == 7).all()
    assert train.failures == [
        "broken.png is not an image that can be read",
        "tiny.png is 90x5 (width x height), smaller than a patch of 16x16",
    ]
    assert not tested.failures


def test_arrays_and_digits_become_patches_too(tmp_path):
    np.save(tmp_path / "a.npy", waves(20, 2, 12, 12))
    train, test = data.split_patches(str(tmp_path / "a.npy"), "mnist:test:9", size=8, n=50, seed=0)
    assert (train.array.shape, test.array.shape) == ((50, 2, 8, 8), (5, 2, 8, 8))


# ---- the recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on three photographs of different sizes."""
    path = tmp_path_factory.mktemp("photo")
    sizes = {"a.png": (40, 60), "b.png": (50, 30), "c.jpg": (64, 48)}
    photos = {
        name: waves(1, 3, *size, seed=n)[0].transpose(1, 2, 0)
        for n, (name, size) in enumerate(sizes.items())
    }
    folder_of(path / "photos", photos)
    words = ("--patches", 240, "--patch-size", 16, "--hidden", "8,8")
    words += ("--epochs", 8, "--learning-rate", 0.01, "--batch-size", 8)
    words = ["--data", path / "photos", *words, "--out", path / "run"]
    with drawing():
        assert run("fit", "photo-dae", *words) == 0
    return path


def test_a_folder_of_photographs_is_enough(trained):
    config = tomllib.loads((trained / "run" / "config.toml").read_text())
    assert config["data"] == {
        "patches": 240,
        "patch_size": 16,
        "source": str(trained / "photos"),
        "test": "held out 10%",
    }
    numbers = json.loads((trained / "run" / "metrics.json").read_text())
    assert numbers["samples"] == 240
    assert numbers["test"]["mse"] < 0.7 * numbers["test"]["noisy_mse"]
    page = (trained / "run" / "report.html").read_text()
    assert "240 patches of 3 x 16 x 16 values from photos (tested on 24 others)" in page


def test_a_run_on_patches_is_repeated_by_its_config(trained, capsys):
    assert run("evaluate", trained / "run", "--json") == 0
    numbers = json.loads((trained / "run" / "metrics.json").read_text())
    again = json.loads(capsys.readouterr().out)
    assert again["test"] == numbers["test"]
    plan = recipes.read(trained / "run" / "config.toml")
    twin = new_model(plan).fit(load_split(plan, 0).train)
    model = load(trained / "run" / "model.safetensors")
    for a, b in zip(model.net_.parameters(), twin.net_.parameters(), strict=True):
        assert torch.equal(a, b)


def test_its_denoiser_takes_the_photographs_whole(trained, capsys):
    out = trained / "clean"
    words = ("--out", out, "--corrupt")
    assert run("denoise", trained / "run", trained / "photos", *words) == 0
    table = capsys.readouterr().out
    assert "the best on training images" in table
    assert {path.name for path in out.iterdir()} == {"a.png", "b.png", "c.png"}
    assert data.read(out / "c.png").array.shape == (1, 3, 64, 48)


def test_its_layers_are_known_without_data(capsys):
    assert run("summary", "photo-dae") == 0
    assert "3 x 32 x 32" in capsys.readouterr().out
    assert recipes.read("photo-dae").patches == {"n": 20_000, "size": 32}


MISTAKES = {
    "fit photo-dae": (
        "No image of mnist is as large as a patch of 32 x 32: give larger ones, or a smaller"
        " --patch-size."
    ),
    "fit photo-dae --data small": (
        "One image of 40 x 32 is too small to cut patches of 32 x 32 to train and to test on:"
        " give more, or --test."
    ),
    "fit photo-dae --data gray --test colour": (
        "colour has colours, but gray has none: give one kind."
    ),
    "fit photo-dae --data rows.csv": "rows.csv holds rows, and patches are cut from images.",
    "fit photo-dae --data gray --patches 0": (
        "--patches must be an integer of at least 1, but is '0'; see diabolo fit --help."
    ),
    "fit photo-dae --noisy gray --clean gray --patches 5": (
        "gray cannot be both the noisy and the clean samples."
    ),
    "fit photo-dae --noisy small --clean gray": (
        "None of the 1 pairs can be used; the first: small/a.png is 40x32 (width x height), its"
        " clean partner 90x90"
    ),
    "fit dae --data gray --turn all": (
        "Only patches are turned: give --patches as well, or leave --turn out."
    ),
    "fit pairs.toml": "gray cannot be both the noisy and the clean samples.",
    "fit photo-dae --data gray --latent-dim 8": (
        "A residual network has no narrow code: give latent_dim none, not 8."
    ),
    "fit photo-dae --data gray --likelihood bce": (
        "A residual network gives its input without the noise, which nothing may squash: use"
        " likelihood='gaussian' and leave output_activation out."
    ),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_with_photographs_are_said_in_a_sentence(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "small", {"a.png": gray(1, 32, 40)})
    folder_of(tmp_path / "gray", {"a.png": gray(1, 90, 90), "b.png": gray(1, 80, 80)})
    folder_of(tmp_path / "colour", {"a.png": np.zeros((90, 90, 3), np.uint8)})
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "pairs.toml").write_text(
        'base = "photo-dae"\n[data]\nnoisy = "gray"\nclean = "gray"\npatches = 5'
    )
    said = failed(capsys, *words.split(), "--out", "run").replace(f"{tmp_path}/", "")
    assert said == MISTAKES[words]
    assert not (tmp_path / "run").exists()
