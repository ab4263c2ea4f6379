"""Codes for rate and distortion: their nats, their tables, and images that come of their bytes."""

import math

import numpy as np
import pytest
import torch
from conftest import SMALL
from sklearn.datasets import load_sample_images
from torch import nn

from diabolo import Autoencoder, Codec, Compressive, load
from diabolo.codec import entropy, laws
from diabolo.codec.lossy import BESIDE, STRIP, Lossy, _noted, _taken
from diabolo.errors import InputError
from diabolo.exact import VALUE, exact
from diabolo.metrics import ms_ssim
from diabolo.networks.gdn import GDN
from diabolo.rate import Law, nats

PLAIN = {**SMALL, "linear": False, "output_activation": "identity", "scaling": "symmetric"}
PARTS = {
    "a map": {"network": "gdn", "hidden": (6, 8), "latent_dim": None, "context": 5},
    "a vector": {"network": "gdn", "hidden": (6, 8), "latent_dim": 5},
    "dense": {"network": "dense", "hidden": (12,), "latent_dim": 4, "activation": "relu"},
}


def images(n=12, shape=(3, 24, 20), seed=0):
    """Smooth images with some noise, uint8."""
    draw = np.random.default_rng(seed)
    waves = np.sin(np.arange(math.prod(shape)).reshape(shape) / 37 + 6 * draw.random((n, 1, 1, 1)))
    return (128 + 100 * waves + 6 * draw.normal(size=(n, *shape))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def models():
    X = images()
    return {
        name: Compressive(**PLAIN | {"qualities": 3, "rate_weight": 0.02} | parts).fit(X)
        for name, parts in PARTS.items()
    }


# ---- the law of a code


def test_the_nats_are_those_of_a_discretised_logistic_law():
    n, mean, scale = torch.arange(-6.0, 7.0).double(), 0.3, 1.7
    below = [((n + half - mean) / scale).sigmoid() for half in (0.5, -0.5)]
    found = nats(n, torch.tensor(mean), torch.tensor(scale).log())
    torch.testing.assert_close(found, -(below[0] - below[1]).log(), rtol=1e-6, atol=0)


def test_the_first_weights_are_those_of_the_generator_alone():
    before, found = torch.get_rng_state(), []
    for _ in range(2):
        law = Law(3, 4, 2, torch.Generator().manual_seed(0))
        found.append(torch.cat([parameter.flatten() for parameter in law.parameters()]))
    assert torch.equal(*found)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_number_depends_on_none_that_comes_later():
    law = Law(8, 6, 2, torch.Generator().manual_seed(0)).double()
    code = torch.randn(1, 8, 5, 7, dtype=torch.double).mul(3).round()
    order = law.order(5, 7)
    assert sorted(order.unique().tolist()) == [0, 1, 2, 3]
    quality = torch.tensor([0.5])
    for step in range(4):
        changed = torch.where(order >= step, code + 1, code)
        before = law.moments(code * (order < step), step, quality)
        torch.testing.assert_close(law.moments(changed * (order < step), step, quality), before)
        value = law(code, code, quality)[:, order == step]
        torch.testing.assert_close(law(changed, code, quality)[:, order == step], value)
        if step:
            other = law(code + 1, code, quality)[:, order == step]
            assert not torch.allclose(other, value), "and on some that came before"


def test_tables_are_whole_and_have_the_probabilities_of_the_law():
    for i, j in ((0, 0), (9, 3), (28, 7), (45, 5), (64, 1)):
        table, r, scale = laws.table(i, j), laws.reach(i), math.exp((i + laws.LOWEST) / laws.PARTS)
        assert table.sum() == entropy.TOTAL
        assert (table >= 1).all()
        assert (table == table.round()).all()
        numbers = np.arange(-r, r + 2)
        upper, lower = ((numbers + half - j / 8) / scale for half in (0.5, -0.5))
        inner = slice(1, -1)
        expected = (1 / (1 + np.exp(-upper)) - 1 / (1 + np.exp(-lower)))[inner]
        np.testing.assert_allclose(table[inner] / entropy.TOTAL, expected, atol=1e-6 * (1 + r))


# ---- the same everywhere


def test_an_exact_network_gives_the_same_bits_in_any_order_of_its_sums():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(30, 20, 3, padding=1), GDN(20, inverse=True), nn.LeakyReLU())
    x = torch.randn(2, 30, 6, 6)
    found = exact(layers)(x.double())
    shuffle = torch.randperm(30)
    layers[0].weight.data = layers[0].weight.data[:, shuffle]
    assert torch.equal(exact(layers)(x[:, shuffle].double()), found)
    assert torch.equal(found * VALUE, (found * VALUE).round())
    torch.testing.assert_close(found.float(), layers(x[:, shuffle]), rtol=2e-3, atol=2e-3)


def test_a_layer_that_cannot_be_exact_is_refused():
    with pytest.raises(InputError, match=r"Tanh is not the same on every machine: use"):
        exact(nn.Sequential(nn.Linear(3, 3), nn.Tanh()))


# ---- images


@pytest.mark.parametrize("name", PARTS)
def test_images_come_back_as_the_model_reconstructs_them(models, name):
    model, X = models[name], images(5, seed=1)
    codec = Lossy.of(model)
    content = codec.encode(X)
    (found,) = codec.decode([content], [len(X)], X.shape[1:])
    assert found.dtype == np.uint8
    assert np.abs(found - model.reconstruct(X).round()).max() <= 1
    assert Lossy.of(model).encode(X) == content
    bits = 8 * (len(content) - 5)
    net = model.net_
    rows = net.shaped(net.scaling(torch.from_numpy(X).flatten(1).float()))
    with torch.inference_mode():
        expected = 5 * net.bottleneck.measures(net.encoder, rows)["bits"]
    assert bits == pytest.approx(expected, rel=0.1, abs=80), "the file is as long as its nats say"


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 37, 21), (1, 24, 20), (3, 1, 1)])
def test_a_map_takes_images_of_any_size_and_gray_ones(models, shape):
    codec, X = Lossy.of(models["a map"]), images(2, shape)
    (found,) = codec.decode([codec.encode(X)], [2], shape)
    assert found.shape == X.shape


def test_a_tall_image_in_strips_is_that_in_one_piece(models, monkeypatch):
    codec, X = Lossy.of(models["a map"]), images(1, (3, 8 * STRIP + 100, 16))
    content = codec.encode(X)
    (found,) = codec.decode([content], [1], X.shape[1:])
    monkeypatch.setattr("diabolo.codec.lossy.STRIP", 10_000)
    assert np.array_equal(codec.decode([content], [1], X.shape[1:])[0], found)


def test_more_quality_is_more_bytes_and_less_error(models):
    X, sizes, errors = images(8), [], []
    for quality in (1, 2.5, 3):
        codec = Lossy.of(models["a map"], quality=quality)
        content = codec.encode(X)
        (found,) = codec.decode([content], [len(X)], X.shape[1:])
        sizes.append(len(content))
        errors.append(float(((found - X.astype(float)) ** 2).mean()))
    assert sizes == sorted(sizes)
    assert len({*sizes}) == 3
    assert errors[0] > errors[-1]
    target = 8 * (sizes[1] + BESIDE) / X[:, 0].size
    within = Lossy.of(models["a map"], bits_per_pixel=target).encode(X)
    assert sizes[0] < len(within) <= sizes[1]


def test_effort_makes_files_better_by_the_loss_of_the_model(models, monkeypatch):
    monkeypatch.setattr("diabolo.codec.lossy.PLACES", 8)
    flower = load_sample_images().images[1][150:215, 250:310].transpose(2, 0, 1)[None]
    vector, photo = models["a vector"], load("photo-codec", device="cpu")
    for model, X, share in ((vector, images(3), 1), (photo, flower, 0.99)):
        losses = []
        for effort in (0, 10):
            codec = Lossy.of(model, effort=effort)
            told = [0.0]
            content = codec.encode(X, told.append)
            assert told == sorted(told)
            assert told[-1] == bool(effort)
            (found,) = codec.decode([content], [len(X)], X.shape[1:])
            squared = (((found.astype(float) - X) / 127.5) ** 2).sum()
            losses.append(squared / 2 + model.rate_weight * 8 * len(content) * math.log(2))
        assert losses[1] < share * losses[0]
    room = 8 * (len(content) + BESIDE) / X[:, 0].size
    assert len(Lossy.of(model, bits_per_pixel=room, effort=1).encode(X)) <= len(content)


def test_numbers_beyond_a_table_come_back():
    steps, law = [], 8 * 28
    numbers = np.array([0, -14.0, 14, 15, -13, 300, -32000, 5])
    _noted(steps, law, numbers)
    stream = entropy.Decoder(entropy.encode_backwards(reversed(steps)))
    assert np.array_equal(_taken(stream, law, np.empty(8)), numbers)
    assert stream.empty


def test_a_file_of_images_of_several_sizes_comes_back(models):
    codec = Codec(models["a map"], quality=1)
    groups = [images(2), images(1, (1, 30, 9))[0]]
    content = codec.compress(groups)
    for found, group in zip(Codec(models["a map"]).decompress(content), groups, strict=True):
        assert found.shape == group.shape
        assert found.dtype == np.uint8
    assert len(content) < len(Codec(models["a map"], quality=3).compress(groups))


# ---- mistakes


def test_damaged_bytes_are_refused(models):
    codec, X = Lossy.of(models["a map"]), images(2)
    content, draw = codec.encode(X), np.random.default_rng(0)
    for _ in range(60):
        changed = bytearray(content)
        changed[draw.integers(1, len(changed))] ^= 1 << draw.integers(8)
        with pytest.raises(InputError):
            codec.decode([bytes(changed)], [2], X.shape[1:])
    for short in (b"", content[:3], content[:5], content[:-4], b"\xff" + content[1:]):
        with pytest.raises(InputError):
            codec.decode([short], [2], X.shape[1:])


def test_what_the_codec_does_not_take_is_said(models):
    plain = Autoencoder(**SMALL).fit(images())
    assert Lossy.of(plain) is None
    with pytest.raises(InputError, match="This model is no codec: train one"):
        Codec(plain)
    with pytest.raises(InputError, match="a quality or the bits per pixel, not both"):
        Codec(models["dense"], quality=2, bits_per_pixel=1)
    with pytest.raises(InputError, match="more than 0, not 0"):
        Codec(models["dense"], bits_per_pixel=0)
    with pytest.raises(InputError, match="a number of steps, 0 or more, not -1"):
        Codec(models["dense"], effort=-1)
    with pytest.raises(InputError, match=r"between 1 and 3 for this model, not 4\."):
        Lossy.of(models["dense"], quality=4)
    with pytest.raises(InputError, match=r"of 3 x 24 x 20, not \(3, 8, 8\)"):
        Lossy.of(models["a vector"]).check((3, 8, 8))
    with pytest.raises(InputError, match="3 channels, not 4"):
        Lossy.of(models["a map"]).check((4, 8, 8))
    with pytest.raises(InputError, match="takes no activation"):
        Compressive(**PLAIN | PARTS["dense"], code_activation="relu").fit(images())


# ---- MS-SSIM


def test_ms_ssim_is_one_of_the_same_and_falls_with_noise():
    a = images(1, (3, 180, 200)) / 255
    assert ms_ssim(a, a) == 1
    noise = np.random.default_rng(0).normal(size=a.shape)
    falling = [ms_ssim(a, (a + level * noise).clip(0, 1)) for level in (0.02, 0.1, 0.3)]
    assert falling == sorted(falling, reverse=True)
    assert 0 < falling[-1] < falling[0] < 1
    assert ms_ssim(a[:, :, :100], a[:, :, :100]) is None
