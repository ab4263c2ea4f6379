"""Numbers against scikit-image, torch and their formulas."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from diabolo import metrics
from diabolo.errors import InputError


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    a = random.random((5, 3, 11, 17)).astype(np.float32)
    b = np.clip(a + 0.3 * random.standard_normal(a.shape), 0, 1).astype(np.float32)
    return a, b


def test_mse_is_the_mean_square_of_each_sample_and_of_all(images, monkeypatch):
    a, b = images
    monkeypatch.setattr(metrics, "BLOCK_VALUES", 2 * a[0].size)  # blocks of 2, 2 and 1
    expected = ((a.astype(float) - b) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(metrics.mse_per_sample(a, b), expected, rtol=1e-12)
    assert metrics.mse(a, b) == pytest.approx(expected.mean(), rel=1e-12)


def test_mse_of_bytes_does_not_wrap():
    assert metrics.mse(np.uint8([[0]]), np.uint8([[255]])) == 255**2


def test_psnr_of_the_pooled_error(images):
    a, b = images
    expected = peak_signal_noise_ratio(a.astype(float), b.astype(float), data_range=1)
    assert metrics.psnr(metrics.mse(a, b)) == pytest.approx(expected, rel=1e-9)
    assert metrics.psnr(0.1156) == pytest.approx(9.37, abs=0.005)
    assert metrics.psnr(0.0) == float("inf")


@pytest.mark.parametrize("block", [1, 1 << 18])
def test_ssim_is_scikit_images(images, monkeypatch, block):
    monkeypatch.setattr(metrics, "BLOCK_VALUES", block)
    a, b = (x.astype(np.float64) for x in images)
    pairs = zip(a, b, strict=True)
    colour = [structural_similarity(p, q, data_range=1, channel_axis=0) for p, q in pairs]
    assert metrics.ssim(a, b) == pytest.approx(np.mean(colour), rel=1e-9)
    gray = [structural_similarity(p[0], q[0], data_range=1) for p, q in zip(a, b, strict=True)]
    assert metrics.ssim(a[:, 0], b[:, 0]) == pytest.approx(np.mean(gray), rel=1e-9)
    assert metrics.ssim(a, a) == pytest.approx(1, abs=1e-12)


def test_ssim_needs_a_window_of_seven():
    assert metrics.ssim(np.zeros((2, 6, 28)), np.zeros((2, 6, 28))) is None
    assert metrics.ssim(np.zeros((2, 784)), np.zeros((2, 784))) is None
    assert metrics.ssim(np.zeros((2, 7, 7)), np.zeros((2, 7, 7))) == pytest.approx(1)


def test_bce_is_torchs(images):
    p, x = (torch.from_numpy(a.astype(np.float64)) for a in images)
    p[0, 0, 0, :4] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    x[0, 0, 0, :4] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    expected = torch.nn.functional.binary_cross_entropy(p, x).item()
    assert metrics.bce(p.numpy(), x.numpy()) == pytest.approx(expected, rel=1e-9)


def test_bce_is_least_at_the_data():
    x = np.array([[0.25]])
    entropy = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    assert metrics.bce(x, x) == pytest.approx(entropy)
    assert metrics.bce(x + 0.1, x) > entropy


def test_mistakes_are_named():
    with pytest.raises(InputError, match=r"\(2, 3\), \(3, 2\)"):
        metrics.mse(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(InputError, match="no values"):
        metrics.mse(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(InputError, match=r"in \[-1, 0\]"):
        metrics.bce(np.array([[-1.0, 0.0]]), np.zeros((1, 2)))
