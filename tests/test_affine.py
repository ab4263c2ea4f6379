"""The affine corruption: its law from ramps and blobs, which bilinear interpolation keeps."""

import math

import numpy as np
import pytest
import torch
from conftest import run
from scipy.stats import kstest

from diabolo import load
from diabolo.corruption import Affine
from diabolo.train import generator

ENDLESS = (-math.inf, math.inf)
N = 2000


def moved(corruption, x, bounds=ENDLESS, seed=0):
    return corruption.corrupt(x, generator(seed, "noise"), *bounds).x


def ramps(height, width):
    """Two channels, which tell every pixel's place from the middle, for N images."""
    rows = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1]).expand(N, -1, -1, -1)


def maps(corruption, height=20, width=31):
    """The matrices A, (N, 2, 2), and the shifts t, (N, 2), read off deformed ramps."""
    y = moved(corruption, ramps(height, width))[..., height // 2 - 3 : height // 2 + 3, 12:19]
    across = y[..., :, 1:] - y[..., :, :-1]
    down = y[..., 1:, :] - y[..., :-1, :]
    for steps in (across, down):
        assert (steps - steps[..., :1, :1]).abs().max() < 1e-9, "the map is affine"
    matrix = torch.stack([across[..., 0, 0], down[..., 0, 0]], 2)
    return matrix, y[:, :, 2:4, 3].mean(2)


def test_its_matrix_turns_slants_and_stretches_by_as_much_as_is_said():
    matrix, shift = maps(Affine(20, stretch=0.25, shear=0.3, shift=1.5))
    width = matrix[:, :, 0].norm(dim=1)
    height = matrix.det() / width
    across = matrix[:, :, 0] / width.unsqueeze(1)
    slant = (matrix[:, :, 1] * across).sum(1) / height
    angle = torch.atan2(across[:, 1], across[:, 0]).rad2deg()
    stretches = torch.stack([width, height]).log() / math.log(1.25)
    draws = torch.stack([angle / 20, slant / 0.3, *stretches, *(shift.T / 1.5)])
    for u in draws:
        assert kstest(u.numpy(), "uniform", (-1, 2)).pvalue > 0.001
    ties = torch.corrcoef(draws) - torch.eye(len(draws))
    assert ties.abs().max() < 4.5 / math.sqrt(N), "each is drawn by itself"


@pytest.mark.parametrize("shape", [(1, 15, 15), (3, 9, 22)])
def test_nothing_of_it_changes_nothing(shape):
    x = torch.rand(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(moved(Affine(0, stretch=0, shift=0), x), x)


def test_a_shift_moves_a_pixel_and_keeps_its_light_in_every_channel():
    x = torch.zeros(N, 2, 11, 13, dtype=torch.float64)
    x[:, :, 5, 6] = 1
    y = moved(Affine(0, stretch=0, shift=3), x, (0.0, 1.0))
    assert torch.equal(y[:, 0], y[:, 1])
    torch.testing.assert_close(y.sum((2, 3)), x.sum((2, 3)))
    row = (y[:, 0].sum(2) * torch.arange(11)).sum(1)
    column = (y[:, 0].sum(1) * torch.arange(13)).sum(1)
    for places, middle in ((row, 5), (column, 6)):
        assert kstest(places.numpy(), "uniform", (middle - 3, 6)).pvalue > 0.001


@pytest.mark.parametrize(("bounds", "ground"), [((0.0, 1.0), 0), ((-1.0, 1.0), -1), (ENDLESS, 0)])
def test_beyond_the_border_there_is_the_lowest_value(bounds, ground):
    x = torch.full((N, 1, 6, 6), 0.5)
    y = moved(Affine(0, stretch=0, shift=12), x, bounds)
    gone = (y == ground).flatten(1).all(1).double().mean().item()
    expected = 1 - (6 / 12) ** 2  # a shift by the whole side or more leaves nothing
    assert gone == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / N))
    assert y.min() == ground
    assert y.max().item() == pytest.approx(0.5)


def test_its_parameters_are_set_on_the_command_line(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    how = "embed-32 --epochs 1 --corruption.angle 10 --corruption.stretch 0.1"
    assert run("fit", *how.split(), "--data", tmp_path / "x.npy", "--out", tmp_path / "run") == 0
    corruption = load(tmp_path / "run" / "model.safetensors").corruption
    assert (corruption.angle, corruption.stretch) == (10, 0.1)
    assert (corruption.shear, corruption.shift) == (0.2, 1), "as in the recipe"
