"""The closed forms against scikit-learn's PCA, least squares and random rivals."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.decomposition import PCA

from diabolo.data import load_mnist
from diabolo.denoiser import RIDGES, fit_denoiser
from diabolo.errors import InputError
from diabolo.linear import fit_linear, fit_principal


@pytest.fixture
def pairs():
    """Correlated targets far from the origin and noisy sources, 400 rows of 12."""
    random = np.random.default_rng(0)
    target = 50 + random.standard_normal((400, 6)) @ random.standard_normal((6, 12))
    return target + random.standard_normal(target.shape), target


def blocks(source, target, size=64):
    for start in range(0, len(source), size):
        yield source[start : start + size], target[start : start + size]


def same_blocks(x, size=64):
    return ((block, block) for block, _ in blocks(x, x, size))


def error(linear_map, source, target):
    return ((linear_map(source) - target) ** 2).mean()


@pytest.mark.parametrize("shared", [True, False], ids=["one object", "two objects"])
def test_with_source_as_target_it_is_pca(pairs, shared):
    x = pairs[0]
    ranks = [1, 3, 11]
    maps = fit_linear(same_blocks(x) if shared else blocks(x, x.copy()), ranks)
    for rank, linear_map in zip(ranks, maps, strict=True):
        pca = PCA(rank).fit(x)
        expected = pca.inverse_transform(pca.transform(x))
        np.testing.assert_allclose(linear_map(x), expected, atol=1e-9)
        assert [f.shape for f in linear_map.factors] == [(12, rank), (rank, 12)]


def test_blocks_of_both_kinds_may_be_mixed(pairs):
    x, y = pairs[0], np.concatenate([pairs[0][:100], pairs[1][100:]])
    first = x[:100]
    mixed = [(first, first), (x[100:], y[100:])]
    np.testing.assert_allclose(fit_linear(mixed, [3])[0](x), fit_linear([(x, y)], [3])[0](x))


def test_full_rank_is_least_squares(pairs):
    source, target = pairs
    design = np.column_stack([source, np.ones(len(source))])
    expected = design @ np.linalg.lstsq(design, target)[0]
    (linear_map,) = fit_linear(blocks(source, target), [None])
    np.testing.assert_allclose(linear_map(source), expected, atol=1e-8)


def test_ranks_that_bind_nothing_share_the_map_of_any_rank(pairs):
    source, target = pairs
    narrow, wide, full = fit_linear(blocks(source, target), [5, 12, None])
    assert wide is full
    assert error(full, source, target) < error(narrow, source, target)
    few = source[:5], target[:5]
    assert len(set(fit_linear([few], [4, 11, None]))) == 1


def test_source_and_target_may_differ_in_width(pairs):
    source, target = pairs[0], pairs[1][:, :5]
    narrow, full = fit_linear(blocks(source, target), [2, None])
    assert narrow(source).shape == full(source).shape == (400, 5)
    assert error(full, source, target) < error(narrow, source, target)


def test_no_rival_of_the_same_rank_is_better(pairs):
    source, target = pairs
    (best,) = fit_linear(blocks(source, target), [3])
    least = error(best, source, target)
    x, y = source - source.mean(axis=0), target - target.mean(axis=0)
    random = np.random.default_rng(1)
    for scale in [1e-3, 1e-2, 1e-1, 1]:
        for _ in range(20):
            encoder = best.factors[0] + scale * random.standard_normal((12, 3))
            decoder = np.linalg.lstsq(x @ encoder, y)[0]
            assert ((x @ encoder @ decoder - y) ** 2).mean() > least


def test_error_falls_with_the_rank(pairs):
    source, target = pairs
    maps = fit_linear(blocks(source, target), [*range(1, 13), None])
    errors = [error(m, source, target) for m in maps]
    assert all(b <= a + 1e-12 for a, b in pairwise(errors))
    assert errors[0] > 2 * errors[5]


def test_constant_and_doubled_columns_are_no_trouble(pairs):
    source, target = pairs
    source = np.column_stack([source, source[:, :2], np.full(400, 0.1)])
    small, full = fit_linear(blocks(source, target), [2, None])
    (plain,) = fit_linear(blocks(*pairs), [None])
    np.testing.assert_allclose(full(source), plain(pairs[0]), atol=1e-7)
    assert np.abs(full.factors[0]).max() < 10
    assert np.isfinite(small(source)).all()


def test_one_constant_row_gives_itself():
    x = np.full((3, 4), 0.1, np.float32)
    for linear_map in fit_linear([(x, x)], [2, None]):
        np.testing.assert_allclose(linear_map(x), x)


def test_answers_in_the_type_it_is_asked_in(pairs):
    x = pairs[0].astype(np.float32)
    linear_map, exact = fit_linear(same_blocks(x), [3])[0], fit_linear([(x, x)], [3])[0]
    assert linear_map(x).dtype == np.float32
    assert linear_map(x.astype(np.float64)).dtype == np.float64
    assert linear_map(np.uint8([[1] * 12])).dtype == np.float32
    np.testing.assert_allclose(linear_map(x), exact(x), rtol=1e-6)


def test_mistakes_are_named(pairs):
    with pytest.raises(InputError, match="at least one pair"):
        fit_linear([], [2])
    with pytest.raises(InputError, match="at least 1; this is 0"):
        fit_linear(blocks(*pairs), [0])
    with pytest.raises(InputError, match="equal length"):
        fit_linear([(np.zeros((3, 2)), np.zeros((4, 2)))], [1])


def test_noisy_digits_of_the_reference():
    """PCA and rank-limited denoisers of MNIST digits, from a tenth of the training images."""
    (train, _), (test, _) = load_mnist()
    clean, held_out = (x.reshape(len(x), 784)[:6000] / np.float32(255) for x in (train, test))
    (pca,) = fit_linear(same_blocks(clean, 2000), [32])
    assert error(pca, held_out, held_out) == pytest.approx(0.0168, rel=0.05)

    random = np.random.default_rng(0)
    noise = random.standard_normal((12000, 784), dtype=np.float32) / 2
    noisy = np.clip(np.concatenate([clean, held_out]) + noise, 0, 1)
    maps = fit_linear(blocks(noisy[:6000], clean, 2000), [32, None])
    errors = [error(m, noisy[6000:], held_out) for m in maps]
    assert errors[0] == pytest.approx(0.0241, rel=0.1)
    assert errors[1] == pytest.approx(0.0192, rel=0.15)
    shrunk = fit_denoiser(blocks(noisy[:6000], clean, 2000), [32, None])
    for best, plain in zip(shrunk, errors, strict=True):
        assert error(best, noisy[6000:], held_out) < plain


# ---- the denoiser


def test_a_denoiser_is_ridge_regression_of_what_is_missing(pairs):
    source, target = pairs
    (found,) = fit_denoiser(blocks(source, target), [None])
    x, missing = source - source.mean(0), target - source
    left = {}
    for ridge in RIDGES[:-1]:
        penalty = ridge * x.var(0).sum() / 12 * np.eye(12)
        weights = np.linalg.solve(x.T @ x / 400 + penalty, x.T @ missing / 400)
        left[ridge] = np.abs(found(source) - source - missing.mean(0) - x @ weights).max()
    assert min(left.values()) < 1e-9


def test_few_rows_and_many_have_one_denoiser(pairs):
    """Rows of more values than there are of them are worked on in their Gram matrix."""
    source, target = pairs
    wide = np.random.default_rng(2).standard_normal((12, 500))
    narrow, full = fit_denoiser(blocks(source, target), [3, None])
    turned = np.linalg.qr(wide.T)[0].T  # orthonormal rows: the same pairs in 500 dimensions
    few, any_rank = fit_denoiser(blocks(source @ turned, target @ turned), [3, None])
    assert len(any_rank.factors) == 2
    for one, other in ((narrow, few), (full, any_rank)):
        np.testing.assert_allclose(other(source @ turned), one(source) @ turned, atol=1e-7)


@pytest.mark.parametrize("rows", [1, 2, 15, 100, 400])
@pytest.mark.parametrize("width", [12, 900])
def test_a_denoiser_is_never_worse_than_doing_nothing(rows, width):
    random = np.random.default_rng(rows)
    spread = random.standard_normal((6, width))
    clean = (random.standard_normal((rows + 500, 6)) @ spread).astype(np.float32)
    for strength in (0.001, 3.0):
        noise = strength * random.standard_normal(clean.shape, dtype=np.float32)
        (best,) = fit_denoiser(blocks(clean[:rows] + noise[:rows], clean[:rows]), [None])
        x, y = (clean + noise)[rows:], clean[rows:]
        assert error(best, x, y) <= 1.0001 * ((x - y) ** 2).mean()


def test_principal_components_of_wide_rows():
    x = np.random.default_rng(0).standard_normal((60, 3)) @ np.ones((3, 1)) @ np.ones((1, 9000))
    x = x + np.random.default_rng(1).standard_normal(x.shape)
    for rank, found in zip([2, 5, None], fit_principal(same_blocks(x), [2, 5, None]), strict=True):
        pca = PCA(rank, random_state=0).fit(x)
        expected = pca.inverse_transform(pca.transform(x))
        assert error(found, x, x) == pytest.approx(((expected - x) ** 2).mean(), abs=0.02)
