"""The U-Net and the level of noise that it is given beside an image."""

import numpy as np
import pytest
import torch

from diabolo import Autoencoder, load
from diabolo.condition.level import Level
from diabolo.corruption import BlindGaussian
from diabolo.errors import InputError
from diabolo.networks import Sizes, build
from diabolo.networks.unet import UNet
from diabolo.train import generator


def pair(shape, given=0, seed=0):
    sizes = Sizes(shape, (4, 6), None, "relu", "identity", given=given)
    return build(UNet(blocks=(1, 1)), sizes, "glorot", generator(seed, "init"))


def drawn(shape, given=0):
    """An encoder whose last weights are not zero."""
    encoder = pair(shape, given)[0]
    with torch.no_grad():
        encoder[0].last.weight.normal_(std=0.1, generator=generator(1, "init"))
    return encoder


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 8), (2, 9, 4)])
@pytest.mark.parametrize("given", [0, 1])
def test_it_begins_as_the_identity_at_every_size(shape, given):
    encoder, decoder = pair(shape, given)
    x = torch.rand(2, shape[0] + given, *shape[1:], generator=generator(0, "x"))
    z = torch.cat([encoder(x), torch.ones(2, given)], 1)
    assert torch.equal(decoder(z), x[:, : shape[0]])


def test_it_is_homogeneous_in_image_and_level():
    encoder = drawn((3, 8, 8), 1)
    x = torch.rand(2, 4, 8, 8, generator=generator(0, "x"))
    torch.testing.assert_close(encoder(4 * x), 4 * encoder(x))
    assert not torch.allclose(encoder(x), encoder(x * torch.tensor([1, 1, 1, 2]).view(-1, 1, 1)))


def test_it_sees_whether_the_channels_are_those_of_a_gray_image():
    first = drawn((3, 8, 8), 1)[0].first
    seen = []
    encoder = drawn((3, 8, 8), 1)
    encoder[0].first.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    x = torch.rand(2, 4, 8, 8, generator=generator(0, "x"))
    x[0, :3] = x[0, :1]
    encoder(x)
    again = seen[0].unflatten(1, (5, 4))[:, 4]
    assert first.in_channels == 5 * 4
    assert (again[0] == 0).all()
    assert (again[1] > 0).all()


@pytest.mark.parametrize(("blocks", "counts"), [((2, 3, 4), [2, 3]), ((2,), [2, 2]), ((), [1, 1])])
def test_resolutions_without_a_number_of_blocks_have_the_last(blocks, counts):
    sizes = Sizes((1, 8, 8), (4, 6), None, "relu", "identity")
    encoder = build(UNet(blocks=blocks), sizes, "glorot", None)[0][0]
    assert [len(encoder.down[0]), len(encoder.middle)] == counts


def test_the_level_is_found_in_the_finest_details():
    x = 0.1 * torch.arange(4).view(-1, 1, 1, 1) * torch.randn(4, 3, 64, 64)
    smooth = torch.linspace(0, 1, 64).expand(4, 3, 64, 64)
    found = Level().stand_in(smooth + x, torch.zeros(1))
    torch.testing.assert_close(found[:, 0], 0.1 * torch.arange(4.0), rtol=0.05, atol=1e-6)
    assert Level().stand_in(torch.rand(2, 3, 1, 5), torch.zeros(1)).tolist() == [[0], [0]]


def test_noise_of_a_drawn_level_is_alike_in_the_channels_of_gray_alone():
    x = torch.rand(300, 3, 8, 8, generator=generator(0, "x"))
    x[::2] = x[::2, :1]
    noisy, _, level, _ = BlindGaussian((0.1, 0.3)).corrupt(x, generator(0, "noise"), 0, 1)
    assert level.min() >= 0.1
    assert level.max() <= 0.3
    assert (noisy[::2] == noisy[::2, :1]).all()
    spread = (noisy - x)[1::2].flatten(1).std(1)
    torch.testing.assert_close(spread, level[1::2], rtol=0.35, atol=0)
    with pytest.raises(InputError, match="level must go from low to high"):
        BlindGaussian((0.3, 0.1)).check((3, 8, 8), 0, 1)


@pytest.fixture(scope="module")
def fitted():
    X = (np.random.default_rng(0).random((32, 3, 16, 16)) * 255).astype(np.uint8)
    return Autoencoder(
        network=UNet(blocks=(1, 1)),
        hidden=(8, 8),
        latent_dim=None,
        condition="level",
        corruption=BlindGaussian((0.0, 0.2)),
        likelihood="laplace",
        activation="relu",
        epochs=1,
        learning_rate=1e-2,
        batch_size=4,
        random_state=0,
    ).fit(X), X


def test_a_model_is_told_the_level_or_finds_it(fitted, tmp_path):
    model, X = fitted
    blind, told = model.reconstruct(X[:3]), model.reconstruct(X[:3], condition=0.5)
    assert abs(blind - told).max() > 0.1
    scaled = torch.from_numpy(X[:3] / 255).float()
    found = Level().stand_in(scaled, torch.zeros(1))
    np.testing.assert_array_equal(model.reconstruct(X[:3], condition=found.numpy()), blind)
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(again.reconstruct(X[:3]), blind)


@pytest.mark.parametrize(("level", "words"), [(-1.0, "at least 0"), ("much", "one number")])
def test_a_level_that_is_none_is_refused(fitted, level, words):
    model, X = fitted
    with pytest.raises(InputError, match=words):
        model.reconstruct(X[:3], condition=level)
