"""Likelihoods, divergences and the loss of a net against torch.distributions."""

import math

import numpy as np
import pytest
import torch
from conftest import PLAIN
from torch import nn
from torch.distributions import Bernoulli as BernoulliLaw
from torch.distributions import Normal, kl_divergence

from diabolo import VAE, Autoencoder
from diabolo.data.source import Batch
from diabolo.divergence import kl_standard_normal
from diabolo.likelihood import Bernoulli, Gaussian
from diabolo.likelihood.laplace import Laplace
from diabolo.networks import ACTIVATIONS
from diabolo.train import generator


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- divergences


def test_kl_of_gaussians_is_torchs():
    mean, log_variance = 3 * draw(50, 7), 2 * draw(50, 7, seed=1)
    law = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(law, Normal(torch.zeros(()), torch.ones(()))).sum(1)
    torch.testing.assert_close(
        kl_standard_normal(mean, log_variance), expected, rtol=1e-12, atol=1e-12
    )
    assert not kl_standard_normal(torch.zeros(3, 2), torch.zeros(3, 2)).any()


# ---- likelihoods


@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh"])
def test_gaussian_nll_is_that_of_unit_variance_without_its_constant(activation):
    output, target = 2 * draw(20, 9), draw(20, 9, seed=1)
    constant = 9 * 0.5 * math.log(2 * math.pi)
    expected = -Normal(ACTIVATIONS[activation]()(output), 1).log_prob(target).sum(1) - constant
    nll = Gaussian().after(activation).nll(output, target)
    torch.testing.assert_close(nll, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("features", [1, 9, 16, 50])
def test_bernoulli_nll_is_that_of_its_logits(features):
    logits = 5 * draw(20, features)
    law = BernoulliLaw(logits=logits, validate_args=False)
    for target in (
        draw(20, features, seed=1).sigmoid(),
        (draw(20, features, seed=2) > 0).double(),
    ):
        nll = Bernoulli().nll(logits, target)
        torch.testing.assert_close(nll, -law.log_prob(target).sum(1), rtol=1e-8, atol=1e-8)


def test_bernoulli_nll_of_many_even_chances_is_no_rounding_to_zero():
    logits, target = torch.zeros(2, 5000), torch.full((2, 5000), 0.5)
    nll = Bernoulli().nll(logits, target)
    torch.testing.assert_close(nll, torch.full((2,), 5000 * math.log(2)))


@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh"])
def test_the_law_of_a_gaussian_is_torchs_and_its_nll_lacks_the_constant(activation):
    likelihood = Gaussian().after(activation)
    output, target = 2 * draw(20, 9), draw(20, 9, seed=1)
    law = likelihood.law(output)
    expected = Normal(ACTIVATIONS[activation]()(output), 1.0).log_prob(target).sum(1)
    torch.testing.assert_close(law.log_prob(target), expected, rtol=1e-13, atol=0)
    constant = 9 / 2 * math.log(2 * math.pi)
    nll = likelihood.nll(output, target)
    torch.testing.assert_close(-nll - constant, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(law.mean, likelihood.mean(output), rtol=0, atol=0)


def test_the_law_of_a_bernoulli_is_torchs():
    logits, target = 3 * draw(20, 9), (draw(20, 9, seed=1) > 0).double()
    law = Bernoulli().law(logits)
    expected = BernoulliLaw(logits=logits).log_prob(target).sum(1)
    torch.testing.assert_close(law.log_prob(target), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(-Bernoulli().nll(logits, target), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(law.mean, Bernoulli().mean(logits), rtol=0, atol=0)


LOSSES = {
    Bernoulli: lambda p, x: nn.functional.binary_cross_entropy(p, x, reduction="none").sum(1),
    Laplace: lambda p, x: nn.functional.l1_loss(p, x, reduction="none").sum(1),
    Gaussian: lambda p, x: 0.5 * nn.functional.mse_loss(p, x, reduction="none").sum(1),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_value_and_gradient_are_those_of_the_plain_formula(kind):
    likelihood, weights = kind().after("sigmoid"), draw(6, seed=3)
    output, target = (3 * draw(6, 40)).requires_grad_(), draw(6, 40, seed=1).sigmoid()
    plain = LOSSES[kind](output.sigmoid(), target)
    found = likelihood.nll(output, target)
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)
    (expected,) = torch.autograd.grad((plain * weights).sum(), output)
    for _ in range(2):
        (gradient,) = torch.autograd.grad((found * weights).sum(), output, retain_graph=True)
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-10)
    assert torch.autograd.gradcheck(lambda x: likelihood.nll(x, target), output)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_nll_is_in_float32_where_the_products_are_not(kind):
    output, target = draw(6, 40).float(), draw(6, 40, seed=1).sigmoid().float()
    likelihood = kind().after("sigmoid")
    with torch.autocast("cpu", torch.bfloat16):
        found = likelihood.nll(output.bfloat16(), target)
    assert found.dtype == torch.float32
    assert torch.equal(found, likelihood.nll(output.bfloat16().float(), target))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_the_bernoulli_nll_is_finite_at_large_logits(logit, target, dtype):
    logits = torch.tensor([[logit]], dtype=dtype, requires_grad=True)
    nll = Bernoulli().nll(logits, torch.tensor([[target]], dtype=dtype))
    assert nll.item() == pytest.approx(max(logit, 0) - target * logit, rel=1e-6)
    nll.sum().backward()
    assert logits.grad.item() == pytest.approx(float(logit > 0) - target)


def test_the_loss_per_feature_is_the_fields_usual_one():
    output, target = draw(20, 9), draw(20, 9, seed=1).sigmoid()
    gaussian, bernoulli = Gaussian().after("sigmoid"), Bernoulli()
    mse = nn.functional.mse_loss(output.sigmoid(), target).item()
    bce = nn.functional.binary_cross_entropy_with_logits(output, target).item()
    assert gaussian.per_feature(gaussian.nll(output, target).mean().item(), 9) == pytest.approx(
        mse
    )
    nll = bernoulli.nll(output, target).mean().item()
    assert bernoulli.per_feature(nll, 9) == pytest.approx(bce)


# ---- the loss of a whole net


def fitted(kind, X, **parameters):
    small = {"latent_dim": 3, "hidden": (5,), "epochs": 1, "random_state": 0, "device": "cpu"}
    return kind(**PLAIN | small | parameters).fit(X)


@pytest.fixture
def X():  # noqa: N802
    return np.random.default_rng(0).random((64, 10), dtype=np.float32)


def test_binarised_grays_are_the_chances_of_what_is_trained_on(X):
    model = fitted(Autoencoder, X, likelihood=Bernoulli(binarised=True), scaling="unit")
    stored = torch.from_numpy(X)
    batch = Batch(stored, stored)
    noise = [generator(0, "noise", epoch) for epoch in range(400)]
    seen, clean = zip(*(model.net_.seen(batch, each) for each in noise), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(seen, clean, strict=True))
    drawn = torch.stack(clean)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(drawn[0], drawn[1])
    off = drawn.mean(0) - model.net_.scaling(stored)
    assert off.abs().max() < 5 * 0.5 / 400**0.5


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_score_samples_is_minus_the_nll_of_the_reconstruction(X, likelihood):
    model = fitted(Autoencoder, X, likelihood=likelihood)
    x, y = (model.net_.scaling(torch.from_numpy(a)).double() for a in (X, model.reconstruct(X)))
    if likelihood == "gaussian":
        expected = -0.5 * (x - y).square().sum(1)
    else:
        expected = -nn.functional.binary_cross_entropy(y, x, reduction="none").sum(1)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-5)
    assert model.score(X) == pytest.approx(expected.mean().item(), rel=1e-5)


def vae_moments(model, X):
    scaled = model.net_.scaling(torch.from_numpy(X))
    with torch.inference_mode():
        mean, log_variance = model.net_.encoder(scaled).chunk(2, dim=1)
    return scaled, mean, log_variance


def loss(model, X):
    x = torch.from_numpy(X)
    with torch.inference_mode():
        return model.net_.loss(Batch(x, x), generator(0, "noise"), 0).double()


def test_the_loss_of_a_vae_is_nll_plus_beta_kl(X):
    model = fitted(VAE, X)
    scaled, mean, log_variance = vae_moments(model, X)
    noise = torch.randn(mean.shape, generator=generator(0, "noise"))
    z = mean + (0.5 * log_variance).exp() * noise
    with torch.inference_mode():
        nll = 0.5 * (model.decoder_(z) - scaled).square().sum(1)
    kl = kl_standard_normal(mean, log_variance)
    for beta in (0.0, 1.0, 4.0):
        model.net_.bottleneck.beta = beta
        np.testing.assert_allclose(loss(model, X), nll + beta * kl, rtol=1e-5)


def test_without_beta_a_vae_is_trained_on_the_likelihood_alone(X):
    free = fitted(VAE, X, beta=0.0, epochs=300, learning_rate=1e-2)
    bound = fitted(VAE, X, beta=1.0, epochs=300, learning_rate=1e-2)
    kl = [kl_standard_normal(*vae_moments(m, X)[1:]).mean().item() for m in (free, bound)]
    mse = [np.mean((m.reconstruct(X) - X) ** 2) for m in (free, bound)]
    assert kl[0] > 10 * kl[1]
    assert mse[0] < mse[1]


def test_the_score_of_a_vae_is_an_evidence_lower_bound_with_the_whole_kl(X):
    model = fitted(VAE, X, beta=0.25)
    with torch.no_grad():
        model.net_.encoder[-1].bias[:3] = 2  # a KL of more than 6
    scaled, mean, log_variance = vae_moments(model, X)
    std, draws = (0.5 * log_variance).exp(), []
    noise = torch.randn(2000, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for e in noise:
            y = model.decoder_(mean + std * e)
            draws.append(-0.5 * (y - scaled).square().sum(1))
    samples = torch.stack(draws).double()
    elbo = samples.mean(0) - kl_standard_normal(mean, log_variance).double()
    tolerance = 4 * samples.std(0).max().item() / math.sqrt(8)
    np.testing.assert_allclose(model.score_samples(X), elbo, atol=tolerance)
    assert 0.75 * kl_standard_normal(mean, log_variance).min() > 2 * tolerance


def test_the_code_of_a_vae_is_drawn_from_its_gaussian(X):
    model = fitted(VAE, X)
    n, one = 20_000, torch.from_numpy(X[:1])
    _, mean, log_variance = vae_moments(model, X[:1])
    with torch.inference_mode():
        scaled = model.net_.scaling(one).expand(n, -1)
        code = model.net_.bottleneck(model.net_.encoder, scaled, generator(0, "noise"))
    std = (0.5 * log_variance[0]).exp()
    error = (code.z.mean(0) - mean[0]).abs() / (std / math.sqrt(n))
    assert error.max() < 4
    spread = (code.z.std(0) / std - 1).abs() * math.sqrt(2 * n)
    assert spread.max() < 4
    np.testing.assert_allclose(code.mean, mean.expand(n, -1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.transform(X[:1]), mean, rtol=1e-5, atol=1e-6)


def test_a_huge_log_variance_gives_a_finite_loss_and_gradient(X):
    model = fitted(VAE, X)
    for sign in (-1, 1):
        with torch.no_grad():
            model.net_.encoder[-1].bias[3:] = sign * 1e4
        x = torch.from_numpy(X)
        value = model.net_.loss(Batch(x, x), generator(0, "noise"), 0).mean()
        value.backward()
        assert torch.isfinite(value)
        assert all(torch.isfinite(p.grad).all() for p in model.net_.parameters())


def test_samples_of_a_vae_are_decoded_standard_normal_codes(X):
    model = fitted(VAE, X)
    z = model.net_.bottleneck.prior().sample(20_000, generator(0, "prior"))
    assert z.mean(0).abs().max() < 4 / math.sqrt(20_000)
    assert (z.std(0) - 1).abs().max() < 4 / math.sqrt(40_000)
    drawn = model.sample(5, random_state=0)
    assert drawn.shape == (5, 10)
    np.testing.assert_array_equal(drawn, model.sample(5, random_state=0))
    assert not np.array_equal(drawn, model.sample(5, random_state=1))
    assert not np.array_equal(drawn[0], drawn[1])
