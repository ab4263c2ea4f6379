"""The cheap random numbers: their law, and that a seed decides them."""

import math

import pytest
import torch
from scipy.stats import kstest

from diabolo.draw import normal, uniform
from diabolo.train import generator

N = 200_000
KINDS = {normal: "norm", uniform: "uniform"}


def drawn(draw, *shape, seed=0, dtype=torch.float32):
    return draw(torch.empty(shape, dtype=dtype), generator(seed, "noise"))


@pytest.mark.parametrize("draw", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_numbers_follow_their_law(draw, dtype):
    numbers = drawn(draw, N, dtype=dtype)
    assert numbers.dtype == dtype
    assert kstest(numbers.double().numpy(), KINDS[draw]).pvalue > 1e-3
    assert numbers.unique().numel() > 50_000
    centred = numbers.double() - numbers.double().mean()
    for lag in (1, 2, 3, 4, 784):
        correlation = (centred[lag:] * centred[:-lag]).mean() / centred.square().mean()
        assert abs(correlation) < 4 / math.sqrt(N), f"neighbours at {lag} are correlated"


def test_the_normal_numbers_have_its_moments():
    numbers = drawn(normal, N).double()
    moments = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}
    for power, (expected, variance) in moments.items():
        mean = numbers.pow(power).mean().item()
        assert mean == pytest.approx(expected, abs=4 * math.sqrt(variance / N))


def test_the_uniform_numbers_are_within_their_range():
    numbers = drawn(uniform, N)
    assert numbers.min() >= 0
    assert numbers.max() < 1


@pytest.mark.parametrize("draw", KINDS)
@pytest.mark.parametrize("shape", [(0,), (1,), (3,), (5, 7), (2, 3, 5)])
def test_any_shape_is_decided_by_the_generator_alone(draw, shape, untouched):
    with untouched():
        first, again, other = (drawn(draw, *shape, seed=seed) for seed in (0, 0, 1))
    assert first.shape == shape
    assert torch.equal(first, again)
    assert not first.numel() or not torch.equal(first, other)


@pytest.mark.parametrize("draw", KINDS)
def test_a_generator_goes_on(draw):
    source = generator(0, "noise")
    like = torch.empty(100)
    assert not torch.equal(draw(like, source), draw(like, source))
