"""Random numbers for batches: their law, alone and beside each other; a seed decides them."""

import math

import pytest
import torch
from scipy.stats import kstest

from diabolo.draw import POOL, normal, uniform
from diabolo.train import generator

KINDS = {normal: "norm", uniform: "uniform"}
ROWS, WIDTH = 2000, 100
N = ROWS * WIDTH


@pytest.fixture(params=["fresh", "pooled, at first", "pooled"])
def source(request):
    def make(seed=0):
        numbers = generator(seed, "noise", pooled=request.param != "fresh")
        if request.param == "pooled":
            numbers.drawn = POOL
        return numbers

    return make


@pytest.mark.parametrize("draw", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_numbers_follow_their_law(source, draw, dtype):
    numbers = draw(torch.empty(ROWS, WIDTH, dtype=dtype), source())
    assert numbers.dtype == dtype
    assert kstest(numbers.flatten().double().numpy(), KINDS[draw]).pvalue > 1e-3
    centred = (numbers - numbers.mean()).double() / numbers.std()
    for apart in (1, 2, 50):
        along = (centred[:, apart:] * centred[:, :-apart]).mean().item()
        between = (centred[apart:] * centred[:-apart]).mean().item()
        assert abs(along) < 4 / math.sqrt(N - apart * ROWS), "neighbours in a sample"
        assert abs(between) < 4 / math.sqrt(N - apart * WIDTH), "the same feature, two samples"


def test_the_normal_numbers_have_its_moments(source):
    numbers = normal(torch.empty(ROWS, WIDTH), source()).double()
    for power, (expected, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        mean = numbers.pow(power).mean().item()
        assert mean == pytest.approx(expected, abs=4 * math.sqrt(variance / N))


@pytest.mark.parametrize("draw", KINDS)
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 7), (2, 3, 5), (2, 3, 4, 4)])
def test_any_shape_is_decided_by_the_generator_alone(source, draw, shape, untouched):
    with untouched():
        first, again, other = (draw(torch.empty(shape), source(seed)) for seed in (0, 0, 1))
    assert first.shape == shape
    assert torch.equal(first, again)
    assert not first.numel() or not torch.equal(first, other)


@pytest.mark.parametrize("draw", KINDS)
def test_a_generator_goes_on(source, draw):
    numbers, like = source(), torch.empty(10, 4)
    assert not torch.equal(draw(like, numbers), draw(like, numbers))


def test_a_pool_serves_batches_of_several_widths():
    numbers = generator(0, "noise", pooled=True)
    numbers.drawn = POOL
    wide, narrow = (normal(torch.empty(50, width), numbers) for width in (30, 20))
    assert wide.unique().numel() > 50 * 25
    assert narrow.unique().numel() > 50 * 15
    places = len(normal(torch.empty(20_000, 1), numbers).unique())
    assert places > 0.98 * 20_000, f"the runs begin at few of {POOL} places"


def test_a_small_training_needs_no_pool():
    numbers = generator(0, "noise", pooled=True)
    for _ in range(10):
        normal(torch.empty(100, 1000), numbers)
    assert not numbers.pools
    normal(torch.empty(100, 1000), numbers)
    assert len(numbers.pools) == 1
