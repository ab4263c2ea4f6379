"""Signals, images and volumes by the same networks; series in windows, and back in time."""

import numpy as np
import pytest
import torch
from conftest import SMALL, floats
from torch.nn import functional as F  # noqa: N812

from diabolo import Autoencoder, load
from diabolo.errors import InputError
from diabolo.networks import Network
from diabolo.networks.folding import fold, unfold
from diabolo.networks.subpixel import Subpixel

NETWORKS = ("dense", "conv", "subpixel", "residual", "unet")
NO_CODE = {"latent_dim": None, "hidden": (4, 4)}  # of those whose code is the output


def new(network="conv", **parameters):
    own = NO_CODE if network in ("residual", "unet") else {}
    return Autoencoder(**SMALL | {"network": network, "epochs": 1} | own | parameters)


def noise(*shape):
    return floats(shape[0], int(np.prod(shape[1:]))).reshape(shape)


# ---- one to three dimensions


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("shape", "dimensions"),
    [
        *(((7,), 1), ((3, 9), 1), ((1, 1), 1), ((5, 6), 2)),
        *(((2, 5, 6), None), ((1, 3, 5, 4), None), ((6, 5, 3), 3)),
    ],
)
def test_every_network_takes_signals_images_and_volumes(tmp_path, network, shape, dimensions):
    X = noise(12, *shape)
    model = new(network, dimensions=dimensions).fit(X)
    y = model.reconstruct(X)
    assert y.shape == X.shape
    assert model.transform(X).ndim == 2
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.grid_ == model.grid_
    assert np.array_equal(again.reconstruct(X), y)
    assert np.array_equal(again.reconstruct(X.reshape(12, -1)), y.reshape(12, -1))


def test_folding_is_torchs_along_two_sides_and_is_undone_along_all():
    for sides in ((6,), (4, 6), (2, 4, 6)):
        x = torch.arange(2 * 3 * np.prod(sides)).reshape(2, 3, *sides).float()
        folded = fold(x)
        assert folded.shape == (2, 3 * 2 ** len(sides), *(n // 2 for n in sides))
        assert torch.equal(unfold(folded), x)
    image = torch.rand(2, 3, 4, 6)  # as a volume of which each slice is doubled
    volume = image[:, :, None].repeat(1, 1, 2, 1, 1)
    slices = fold(volume)[:, :, 0].unflatten(1, (3, 2, 4))[:, :, 0].flatten(1, 2)
    assert torch.equal(slices, F.pixel_unshuffle(image, 2))


@pytest.mark.parametrize("network", ["conv", "subpixel", "unet"])
def test_what_does_not_change_along_an_axis_is_answered_like_without_it(network):
    """In the middle of a long signal a convolution knows no borders: shifted in, shifted out."""
    model = new(network, dimensions=1, latent_dim=None, hidden=(4, 4), linear=False)
    model.fit(noise(16, 64))
    x = torch.zeros(1, 1, 64)
    x[..., 30] = 1
    module = model.encoder_[0]
    here, there = (module(x.roll(4 * n, -1)).detach().view(1, -1, 16) for n in (0, 1))
    if network == "unet":
        here, there = (y.reshape(1, 1, 64) for y in (here, there))
        assert torch.allclose(here.roll(4, -1)[..., 20:44], there[..., 20:44], atol=1e-6)
    else:
        assert torch.allclose(here.roll(1, -1)[..., 4:12], there[..., 4:12], atol=1e-6)


WRONG = {
    "rows": (
        lambda: new().fit(noise(9, 6)),
        "A conv network needs images: give X as (N, C, H, W), dimensions=1 if rows are signals, or"
        " image_shape for 6 columns.",
    ),
    "axes": (
        lambda: new(dimensions=1).fit(noise(9, 2, 3, 4)),
        "With dimensions=1 X is (N, T) or (N, C, T), but its samples have shape (2, 3, 4).",
    ),
    "both": (
        lambda: new(dimensions=2, image_shape=(1, 2, 3)).fit(noise(9, 6)),
        "Give image_shape or dimensions, not both: an image has two.",
    ),
    "channels last": (
        lambda: new(dimensions=1).fit(noise(9, 60, 3)),
        "X has samples of shape (60, 3), channels last, but signals are (C, T): give"
        " np.moveaxis(X, -1, 1).",
    ),
    "another length": (
        lambda: new(dimensions=1).fit(noise(9, 2, 8)).reconstruct(noise(2, 2, 9)),
        "The model was fitted on samples of shape (2, 8), not (2, 9).",
    ),
}


def test_a_network_of_images_alone_says_so(monkeypatch):
    monkeypatch.setattr(Subpixel, "dimensions", Network.dimensions)
    with pytest.raises(InputError, match="A subpixel network works in 2 dimensions, not 1: use"):
        new("subpixel", dimensions=1).fit(noise(9, 60))


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_with_dimensions_are_one_sentence(what):
    make, message = WRONG[what]
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == message
