"""Corruptions: rates within four sigma, ranges, seeds."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from diabolo import Autoencoder
from diabolo.corruption import Corruption, GaussianNoise, Masking, SaltAndPepper
from diabolo.errors import InputError
from diabolo.train import generator

N = 200_000
RANGES = {"unit": (0.0, 1.0), "symmetric": (-1.0, 1.0)}
ALL = [GaussianNoise(0.5), SaltAndPepper(0.3), Masking(0.4)]


def corrupt(corruption, value, bounds, seed=0):
    x = torch.full((N // 50, 50), value)
    return corruption.corrupt(x, generator(seed, "noise"), *bounds)


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


@pytest.mark.parametrize("corruption", [GaussianNoise(0), SaltAndPepper(0), Masking(0)], ids=str)
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
    x = torch.rand(40, 3, 5, dtype=dtype, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    with untouched():
        first, again, other = (
            corruption.corrupt(x, generator(seed, "noise"), 0.0, 1.0) for seed in (0, 0, 1)
        )
    assert torch.equal(x, before)
    assert first.shape == x.shape
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0] - x[0], first[1] - x[1])


def test_salt_needs_a_range():
    with pytest.raises(InputError, match="scaling='unit' or 'symmetric'"):
        corrupt(SaltAndPepper(0.3), 0.25, (-math.inf, math.inf))
    X = np.random.default_rng(0).normal(size=(20, 4))
    model = Autoencoder(epochs=1, scaling="standard", corruption=SaltAndPepper(0.3), device="cpu")
    with pytest.raises(InputError, match="scaling='unit' or 'symmetric'"):
        model.fit(X)


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
@pytest.mark.parametrize("scaling", ["unit", "symmetric"])
def test_corrupt_answers_in_the_units_and_shape_of_the_input(digits, corruption, scaling):
    model = denoiser(digits, scaling=scaling, corruption=corruption)
    noisy = model.corrupt(digits, random_state=0)
    assert noisy.shape == digits.shape
    assert noisy.min() == 0
    assert noisy.max() == 255
    np.testing.assert_array_equal(noisy, model.corrupt(digits, random_state=0))
    assert not np.array_equal(noisy, model.corrupt(digits, random_state=1))
    assert not np.array_equal(noisy[0] - digits[0], noisy[1] - digits[1])
    changed = (np.abs(noisy - digits) > 0.01).mean(axis=(1, 2))
    assert changed.min() > 0.005, "each image is corrupted, also those of later blocks"


def test_corrupt_without_a_corruption_says_so(digits):
    with pytest.raises(InputError, match="without a corruption"):
        denoiser(digits).corrupt(digits)


def test_a_fitted_model_keeps_the_corruption_it_was_trained_with(digits):
    noise = GaussianNoise(0.1)
    model = denoiser(digits, corruption=noise)
    before = model.corrupt(digits, random_state=0)
    noise.std = 5.0
    np.testing.assert_array_equal(model.corrupt(digits, random_state=0), before)
