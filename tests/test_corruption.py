"""Corruptions: rates within four sigma, ranges, seeds."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from diabolo import Autoencoder, load
from diabolo.corruption import (
    Affine,
    BlindGaussian,
    Blur,
    Corruption,
    GaussianNoise,
    Jpeg,
    Masking,
    Poisson,
    Recorrupted,
    SaltAndPepper,
    Scratches,
    Speckle,
    Watermark,
)
from diabolo.errors import InputError
from diabolo.train import generator

N = 200_000
RANGES = {"unit": (0.0, 1.0), "symmetric": (-1.0, 1.0)}
ENDLESS = (-math.inf, math.inf)
ALL = [
    GaussianNoise(0.5),
    BlindGaussian((0.1, 0.2)),
    Speckle(0.5),
    Poisson(20.0),
    SaltAndPepper(0.3),
    Masking(0.4),
    Masking(0.4, block=3),
    Affine(20.0),
    Blur((0.5, 2.0)),
    Watermark("NO"),
    Jpeg((20, 60)),
    Scratches((0.1, 0.3)),
    Recorrupted(0.1, gain=0.01),
]


def corrupt(corruption, value, bounds, seed=0):
    x = torch.full((N // 50, 50), value)
    return corruption.corrupt(x, generator(seed, "noise"), *bounds).x


def share(condition):
    return condition.double().mean().item()


def four_sigma(p):
    return 4 * math.sqrt(p * (1 - p) / N)


@pytest.mark.parametrize("bounds", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("p", [0.02, 0.3, 0.9])
def test_salt_and_pepper_replaces_its_share_half_and_half(bounds, p):
    low, high = bounds
    x = corrupt(SaltAndPepper(p), 0.25, bounds)
    assert share(x == high) == pytest.approx(p / 2, abs=four_sigma(p / 2))
    assert share(x == low) == pytest.approx(p / 2, abs=four_sigma(p / 2))
    assert share(x == 0.25) == pytest.approx(1 - p, abs=four_sigma(p))
    assert set(x.unique().tolist()) == {low, 0.25, high}


@pytest.mark.parametrize(
    ("bounds", "erased"), [((0, 1), 0), ((-1, 1), -1), ((-math.inf, math.inf), 0)]
)
@pytest.mark.parametrize("p", [0.02, 0.5, 0.9])
def test_masking_erases_its_share(bounds, erased, p):
    x = corrupt(Masking(p), 0.25, bounds)
    assert share(x == erased) == pytest.approx(p, abs=four_sigma(p))
    assert share(x == 0.25) == pytest.approx(1 - p, abs=four_sigma(p))


@pytest.mark.parametrize("std", [0.1, 0.5, 2.0])
def test_gaussian_noise_without_a_range_has_its_mean_and_deviation(std):
    noise = (corrupt(GaussianNoise(std), 0.25, (-math.inf, math.inf)) - 0.25).double() / std
    assert noise.mean().item() == pytest.approx(0, abs=4 / math.sqrt(N))
    assert noise.std().item() == pytest.approx(1, abs=4 / math.sqrt(2 * N))
    assert noise.pow(4).mean().item() == pytest.approx(3, abs=4 * math.sqrt(96 / N))


@pytest.mark.parametrize("bounds", RANGES.values(), ids=RANGES)
def test_gaussian_noise_is_clamped_to_the_range(bounds):
    low, high = bounds
    x = corrupt(GaussianNoise(0.5), 0.25, bounds)
    assert (x.min().item(), x.max().item()) == (low, high)
    for found, expected in (
        (share(x == low), norm.cdf((low - 0.25) / 0.5)),
        (share(x == high), norm.sf((high - 0.25) / 0.5)),
        (share(x < 0.25), 0.5),
    ):
        assert found == pytest.approx(expected, abs=four_sigma(expected))


@pytest.mark.parametrize("bounds", [*RANGES.values(), ENDLESS])
@pytest.mark.parametrize("value", [0.25, 0.75])
def test_speckle_is_proportional_to_the_distance_from_low(bounds, value):
    x = corrupt(Speckle(0.05), value, bounds).double()
    std = 0.05 * (value - bounds[0] if math.isfinite(bounds[0]) else value)
    assert x.mean().item() == pytest.approx(value, abs=4 * std / math.sqrt(N))
    assert x.std().item() == pytest.approx(std, abs=4 * std / math.sqrt(2 * N))


def test_speckle_leaves_the_lowest_value_and_keeps_the_range():
    assert (corrupt(Speckle(3.0), -1.0, (-1, 1)) == -1).all()
    x = corrupt(Speckle(3.0), 0.5, (-1, 1))
    assert (x.min().item(), x.max().item()) == (-1, 1)


@pytest.mark.parametrize("bounds", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("peak", [40.0, 400.0])
def test_photon_counts_have_the_mean_and_the_variance_of_theory(bounds, peak):
    low, high = bounds
    share_of_range = 0.25
    x = corrupt(Poisson(peak), low + share_of_range * (high - low), bounds).double()
    u = (x - low) / (high - low)
    variance = share_of_range / peak
    assert u.mean().item() == pytest.approx(share_of_range, abs=4 * math.sqrt(variance / N))
    spread = math.sqrt((2 + 1 / (peak * share_of_range)) / N)  # of a sample's variance
    assert u.var().item() == pytest.approx(variance, rel=4 * spread)
    counts = u * peak
    assert (counts - counts.round()).abs().max() < 1e-3


def test_there_are_no_photons_in_the_dark_and_none_above_the_range():
    assert (corrupt(Poisson(5.0), 0.0, (0, 1)) == 0).all()
    bright = corrupt(Poisson(5.0), 1.0, (0, 1))
    assert bright.max() == 1
    below = math.exp(-5) * sum(5**k / math.factorial(k) for k in range(5))
    assert share(bright < 1) == pytest.approx(below, abs=four_sigma(below))


@pytest.mark.parametrize("bounds", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize(("p", "block"), [(0.3, 2), (0.5, 5), (0.1, 40)])
def test_blocks_erase_their_share_of_every_pixel_in_all_channels(bounds, p, block):
    n = 4000
    x = torch.full((n, 3, 11, 7), 0.25)
    y = Masking(p, block=block).corrupt(x, generator(0, "noise"), *bounds).x
    erased = y == bounds[0]
    assert ((y == 0.25) | erased).all()
    assert torch.equal(erased, erased[:, :1].expand_as(erased))
    rates = erased[:, 0].double().mean(0)
    assert (rates - p).abs().max() < 5 * math.sqrt(p * (1 - p) / n)


def test_erased_blocks_are_squares():
    x = torch.ones(200, 1, 24, 24)
    y = Masking(0.2, block=4).corrupt(x, generator(0, "noise"), 0.0, 1.0).x
    for image in y[:, 0]:
        rows = [i for i in range(1, 24) if not torch.equal(image[i], image[i - 1])]
        columns = [j for j in range(1, 24) if not torch.equal(image[:, j], image[:, j - 1])]
        for edges in (rows, columns):
            assert len({edge % 4 for edge in edges}) <= 1


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(2, 1, 9, 6), (2, 3, 20, 31)])
def test_a_blur_is_scipys(sigma, shape):
    x = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    radius = math.ceil(4 * sigma)
    expected = gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=radius)
    y = Blur(sigma).corrupt(x, generator(0, "noise"), 0.0, 1.0).x
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)


def test_each_image_is_blurred_by_its_own_sigma_of_the_range():
    x = torch.zeros(500, 1, 1, 41, dtype=torch.float64)
    x[..., 20] = 1
    y = Blur((0.8, 2.0)).corrupt(x, generator(0, "noise"), 0.0, 1.0).x
    distance = torch.arange(41) - 20
    sigmas = (y[:, 0, 0] * distance**2).sum(1).sqrt()
    assert 0.79 < sigmas.min() < 0.83
    assert 1.97 < sigmas.max() < 2.01
    assert sigmas.mean().item() == pytest.approx(1.4, abs=4 * 1.2 / math.sqrt(12 * 500))


def test_a_blur_of_a_single_row_or_pixel_is_itself():
    x = torch.rand(3, 2, 1, 1)
    assert torch.allclose(Blur(2.0).corrupt(x, generator(0, "noise"), 0, 1).x, x)


@pytest.mark.parametrize(
    "corruption", [GaussianNoise(0), SaltAndPepper(0), Masking(0), Speckle(0)], ids=str
)
def test_nothing_of_it_changes_nothing(corruption):
    assert (corrupt(corruption, 0.25, (0, 1)) == 0.25).all()


@pytest.mark.parametrize(
    ("corruption", "values"), [(SaltAndPepper(1), {0.0, 1.0}), (Masking(1), {0.0})]
)
def test_all_of_it_leaves_nothing(corruption, values):
    assert set(corrupt(corruption, 0.25, (0, 1)).unique().tolist()) == values


def test_every_corruption_is_tested_here():
    shipped = {c for c in Corruption.kinds().values() if c.__module__.startswith("diabolo")}
    assert shipped == {type(c) for c in ALL}


@pytest.mark.parametrize("corruption", ALL, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_corruption_is_a_new_tensor_decided_by_its_generator(corruption, dtype, untouched):
    x = torch.rand(40, 2, 12, 14, dtype=dtype, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    with untouched():
        first, again, other = (
            corruption.corrupt(x, generator(seed, "noise"), 0.0, 1.0).x.nan_to_num(-1)
            for seed in (0, 0, 1)
        )
    assert torch.equal(x, before)
    assert first.shape == x.shape
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0] - x[0], first[1] - x[1])


@pytest.mark.parametrize(
    ("corruption", "what"),
    [
        (SaltAndPepper(0.3), "Salt and pepper need"),
        (Poisson(20.0), "Photon counts need"),
        (Watermark("NO"), "A watermark needs"),
        (Jpeg(), "A codec needs"),
        (Scratches(), "Scratches need"),
    ],
    ids=str,
)
def test_some_need_a_range(corruption, what):
    with pytest.raises(InputError, match=f"{what} a range.*scaling='unit' or 'symmetric'"):
        corruption.corrupt(torch.full((4, 1, 8, 8), 0.25), generator(0, "noise"), *ENDLESS)
    X = np.random.default_rng(0).normal(size=(20, 8, 8))
    model = Autoencoder(epochs=1, scaling="standard", corruption=corruption, device="cpu")
    with pytest.raises(InputError, match=f"{what} a range"):
        model.fit(X)


@pytest.mark.parametrize(
    ("corruption", "instead"),
    [
        (Masking(0.3, block=2), "a block of 1"),
        (Affine(), "'gaussian' or 'masking'"),
        (Blur(1.0), "'gaussian' or 'masking'"),
        (Watermark("NO"), "'gaussian' or 'masking'"),
    ],
    ids=str,
)
def test_some_need_images(corruption, instead):
    X = np.random.default_rng(0).random((20, 16), dtype=np.float32)
    with pytest.raises(InputError, match=f"needs images: .*image_shape; for tables use {instead}"):
        denoiser(X, corruption=corruption)
    model = denoiser(X, corruption=corruption, image_shape=(1, 4, 4))
    assert model.corrupt(X, random_state=0).shape == X.shape


def test_a_range_goes_from_low_to_high(digits):
    with pytest.raises(InputError, match=r"sigma must go from low to high, but is 2,1\."):
        denoiser(digits, corruption=Blur((2, 1)))


# ---- on an estimator


def denoiser(X, **parameters):
    plain = {"latent_dim": 2, "hidden": (), "epochs": 1, "random_state": 0, "device": "cpu"}
    return Autoencoder(**plain | parameters).fit(X)


@pytest.mark.parametrize(("scaling", "spread"), [("unit", 0.2 * 255), ("symmetric", 0.1 * 255)])
def test_half_of_the_unit_range_is_a_quarter_of_the_symmetric_one(scaling, spread):
    X = np.full((200, 10, 10), 128, np.uint8)
    noisy = denoiser(X, scaling=scaling, corruption=GaussianNoise(0.2)).corrupt(X, random_state=0)
    assert noisy.dtype == np.float32
    assert noisy.std() == pytest.approx(spread, rel=0.05)
    assert noisy.min() >= 0
    assert noisy.max() <= 255


@pytest.mark.parametrize("corruption", ALL, ids=str)
@pytest.mark.parametrize("scaling", ["unit", pytest.param("symmetric", marks=pytest.mark.stress)])
def test_corrupt_answers_in_the_units_and_shape_of_the_input(digits, corruption, scaling):
    model = denoiser(digits, scaling=scaling, corruption=corruption)
    noisy, again, other = (model.corrupt(digits, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(noisy, again)
    assert not np.array_equal(noisy, other, equal_nan=True)
    same = np.abs(noisy - digits) <= 0.01  # a gap is none of it
    noisy = np.nan_to_num(noisy)
    assert noisy.shape == digits.shape
    assert noisy.min() >= 0
    assert 100 < noisy.max() <= 255
    assert not np.array_equal(noisy[0] - digits[0], noisy[1] - digits[1])
    changed = (~same).mean(axis=(1, 2))
    assert changed.min() > 0.005, "each image is corrupted, also those of later blocks"


@pytest.mark.parametrize("corruption", [GaussianNoise(0.5), SaltAndPepper(0.3), Masking(0.4)])
def test_the_noise_of_a_value_does_not_depend_on_the_shape_of_its_sample(corruption):
    x = torch.rand(20, 3 * 4 * 5, generator=torch.Generator().manual_seed(0))
    flat = corruption.corrupt(x, generator(0, "noise"), 0.0, 1.0).x
    shaped = corruption.corrupt(x.view(20, 3, 4, 5), generator(0, "noise"), 0.0, 1.0).x
    assert torch.equal(flat, shaped.flatten(1))


@pytest.mark.parametrize("corruption", ALL, ids=str)
def test_a_saved_model_corrupts_as_before(tmp_path, digits, corruption):
    model = denoiser(digits, corruption=corruption)
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        read.corrupt(digits, random_state=1), model.corrupt(digits, random_state=1)
    )


def test_corrupt_without_a_corruption_says_so(digits):
    with pytest.raises(InputError, match="without a corruption"):
        denoiser(digits).corrupt(digits)


def test_a_fitted_model_keeps_the_corruption_it_was_trained_with(digits):
    noise = GaussianNoise(0.1)
    model = denoiser(digits, corruption=noise)
    before = model.corrupt(digits, random_state=0)
    noise.std = 5.0
    np.testing.assert_array_equal(model.corrupt(digits, random_state=0), before)


def test_a_blur_far_beyond_the_image_is_its_mean_and_takes_no_more():
    x = torch.rand(2, 1, 6, 9, generator=torch.Generator().manual_seed(0))
    widest, wide = (Blur(s).corrupt(x, torch.Generator(), 0, 1).x for s in (1e30, 40.0))
    assert float(widest.std((2, 3)).max()) < 2e-3
    torch.testing.assert_close(widest, wide, atol=1e-6, rtol=0)


def test_a_thin_mark_is_no_higher_than_the_largest(tmp_path):
    Image.fromarray(np.full((9000, 3), 255, np.uint8)).save(tmp_path / "thin.png")
    mark = Watermark(image=str(tmp_path / "thin.png"))._rendered(4096)
    assert max(mark.shape) <= 4096
