"""Likelihoods of levels and normal ones: against scipy and torch, and in models."""

import math

import numpy as np
import pytest
import torch
from conftest import SMALL, floats
from scipy.stats import betabinom, norm

from diabolo import VAE, Autoencoder, load
from diabolo.errors import InputError
from diabolo.likelihood.betabinomial import BetaBinomial
from diabolo.likelihood.categorical import Categorical
from diabolo.likelihood.levels import Leveled, at_least
from diabolo.likelihood.logistic import Logistic
from diabolo.likelihood.normal import FixedNormal, Normal

LEVELED = [kind for kind in Leveled.kinds().values()]


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", LEVELED)
@pytest.mark.parametrize("size", [1.0, 6.0])
def test_the_levels_have_probabilities_that_add_up(kind, size):
    likelihood = kind(levels=7)
    output = size * draw(5, likelihood.per_value * 3)
    levels = torch.arange(7.0, dtype=torch.float64)
    chances = torch.stack([likelihood.logs(output, k.expand(5, 3)) for k in levels]).exp()
    torch.testing.assert_close(chances.sum(0), torch.ones(5, 3, dtype=torch.float64))
    value = (levels[[3, 0, 6]] / 6).expand(5, 3)
    expected = chances[[3, 0, 6], :, [0, 1, 2]].log().sum(0)
    torch.testing.assert_close(likelihood.law(output).log_prob(value), expected)
    if kind is not Logistic:
        mean = torch.einsum("lbd,l->bd", chances, levels / 6)
        torch.testing.assert_close(likelihood.mean(output), mean)


def test_the_laws_are_those_of_others():
    level, output = torch.tensor([[2.0, 5.0]]).double(), draw(1, 4)
    (a, b), n = at_least(output.view(2, 2), 1e-3).exp().numpy(), 6
    expected = betabinom(n, a, b).logpmf(level[0].numpy())
    np.testing.assert_allclose(BetaBinomial(levels=7).logs(output, level)[0], expected)
    output = draw(1, 14)
    law = torch.distributions.Categorical(logits=output.view(7, 2).t())
    torch.testing.assert_close(
        Categorical(levels=7).logs(output, level)[0], law.log_prob(level[0])
    )
    output, x = draw(1, 6), draw(1, 3)
    scale = at_least(output[:, 3:], 0.01).exp()
    expected = norm(output[:, :3], scale).logpdf(x).sum(1)
    np.testing.assert_allclose(-Normal().nll(output, x), expected)
    expected = norm(output[:, :3], 0.1).logpdf(x).sum(1)
    np.testing.assert_allclose(-FixedNormal().nll(output[:, :3], x), expected)


@pytest.mark.parametrize("kind", LEVELED)
def test_far_means_have_finite_gradients(kind):
    likelihood = kind(levels=256)
    output = torch.full((1, likelihood.per_value), 40.0).requires_grad_()
    for value in (0.0, 0.5, 1.0):
        nll = likelihood.nll(output, torch.tensor([[value]]))
        (gradient,) = torch.autograd.grad(nll.sum(), output)
        assert nll.isfinite().all()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", [*LEVELED, Normal, FixedNormal])
def test_a_model_learns_by_it_and_is_loaded(kind, digits, tmp_path):
    options = {"levels": 4} if kind is Categorical else {}
    X = np.ascontiguousarray(digits[:96, 7:21, 7:21])
    model = VAE(**SMALL | {"epochs": 6, "learning_rate": 3e-3}, likelihood=kind(**options)).fit(X)
    losses = model.history_["loss"]
    assert losses[-1] < losses[0]
    assert math.isfinite(model.score(X))
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(read.reconstruct(X), model.reconstruct(X))
    np.testing.assert_array_equal(read.score_samples(X), model.score_samples(X))


def test_data_beyond_the_levels_are_refused():
    with pytest.raises(InputError, match=r"needs data in \[0, 1\]"):
        Autoencoder(**SMALL | {"scaling": "standard"}, likelihood="logistic").fit(floats())
