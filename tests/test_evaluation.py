"""What one pass over test samples gives, beside the model's own answers, and that it is one."""

import numpy as np
import pytest
import torch
from conftest import SMALL, floats
from scipy.stats import multivariate_normal

from diabolo import VAE, Autoencoder, report
from diabolo.commands import results, runs
from diabolo.corruption import GaussianNoise
from diabolo.data import Samples
from diabolo.data.mnist import read_split
from diabolo.divergence import kl_standard_normal
from diabolo.errors import InputError
from diabolo.infer import block_of, watched
from diabolo.models.iwae import IWAE
from diabolo.recipes import Recipe
from diabolo.tasks import judging
from diabolo.tasks.evaluation import evaluate, in_units, outcome
from diabolo.tasks.judging import judge, log_likelihood
from diabolo.train import generator

MODELS = {
    "plain": lambda: Autoencoder(**SMALL),
    "denoising": lambda: Autoencoder(**SMALL, corruption=GaussianNoise(0.3)),
    "bernoulli": lambda: Autoencoder(**SMALL, likelihood="bernoulli"),
    "conv": lambda: Autoencoder(**SMALL | {"network": "conv"}),
    "VAE": lambda: VAE(**SMALL),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_outcome_is_what_the_model_says(name, digits):
    model = MODELS[name]().fit(digits)
    found = outcome(model, digits, seed=3)
    seen = model.corrupt(digits, random_state=3) if name == "denoising" else digits
    output = model.reconstruct(seen)
    assert found.corrupted == (name == "denoising")
    np.testing.assert_array_equal(found.seen, in_units(model, seen))
    np.testing.assert_array_equal(found.clean, in_units(model, digits))
    np.testing.assert_array_equal(found.output, in_units(model, output))
    np.testing.assert_array_equal(found.codes, model.transform(seen))
    errors = ((output / 255.0 - digits / 255.0) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(found.errors, errors, rtol=1e-5)
    if name not in ("VAE", "denoising"):
        np.testing.assert_array_equal(found.nats["nll"], -model.score_samples(digits))
    assert list(found.nats) == (["nll", "kl", "elbo"] if name == "VAE" else ["nll"])


def test_the_nats_of_a_random_code_are_of_one_seeded_draw():
    X = floats(20)
    model = VAE(**SMALL).fit(X)
    net, nats = model.net_, outcome(model, X, seed=5).nats
    padded = torch.zeros(block_of(net), 6)
    padded[:20] = net.scaling(torch.from_numpy(X))
    with torch.inference_mode():
        mean, log_variance = net.encoder(padded).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator(5, "evaluate"))
        z = mean + (log_variance / 2).exp() * noise
        error = (net.likelihood.activation(net.decoder(z)) - padded).square().sum(dim=1) / 2
    np.testing.assert_allclose(nats["nll"], error[:20], rtol=1e-4)
    kl = kl_standard_normal(mean, log_variance)[:20]
    np.testing.assert_allclose(nats["kl"], kl, rtol=1e-4, atol=1e-6)
    test = evaluate(model, X, seed=5)["test"]
    assert test["elbo"] == pytest.approx(-(test["nll"] + test["kl"]), rel=1e-6)
    assert test["kl"] == pytest.approx(kl.double().mean().item(), rel=1e-4)


def test_units_of_a_table_leave_the_network_where_it_is(monkeypatch):
    model = Autoencoder(**SMALL).fit(X := floats(20))
    monkeypatch.setattr(torch.nn.Module, "to", lambda *_: pytest.fail("moved"))
    monkeypatch.setattr(torch.nn.Module, "cpu", lambda *_: pytest.fail("moved"))
    np.testing.assert_array_equal(in_units(model, X), model.net_.scaling(torch.from_numpy(X)))


@pytest.mark.usefixtures("drawn")
def test_metrics_figures_and_words_come_from_one_pass(tmp_path, digits):
    recipe = Recipe("one", "")
    model = Autoencoder(**SMALL, corruption=GaussianNoise(0.3)).fit(digits)
    samples = Samples(digits, [str(i) for i in range(len(digits))], "npy", np.arange(256) % 10)
    rows = []
    with watched([model.net_.encoder], lambda _, inputs, __: rows.append(len(inputs[0]))):
        numbers, found = results.measure(model, recipe, runs.Split(digits, None, samples))
        report.write(tmp_path, model, recipe, numbers, samples, outcome=found)
    few = (
        2 * block_of(model.net_) + 16 + len(digits)
    )  # a row of pictures, the layers, the measures
    assert len(digits) <= sum(rows) <= len(digits) + few
    assert (tmp_path / "figures" / "denoised.png").is_file()


@pytest.mark.parametrize("kind", [VAE, IWAE])
def test_the_likelihood_of_a_linear_model_is_that_of_its_gaussian(kind):
    """x = W z + b + e has N(b, W W' + I), whose constant the loss leaves out."""
    spread = np.array([1.5, 1.2, 0.5, 0.5, 0.5])
    X = (np.random.default_rng(0).normal(size=(300, 5)) * spread).astype(np.float32)
    model = kind(latent_dim=2, hidden=(), epochs=3, scaling=None, random_state=0).fit(X)
    bias = model.inverse_transform(np.zeros((1, 2), np.float32))[0]
    W = model.inverse_transform(np.eye(2, dtype=np.float32)) - bias
    law = multivariate_normal(bias, W.T @ W + np.eye(5))
    nats = log_likelihood(model, X, draws=4000)
    expected = law.logpdf(X) + 2.5 * np.log(2 * np.pi)
    assert nats.mean() == pytest.approx(expected.mean(), abs=0.02)
    assert np.median(np.abs(nats - expected)) < 0.02
    few = log_likelihood(model, X, draws=1)
    assert few.mean() < nats.mean()
    numbers = judge(model, X)
    assert numbers["likelihood"]["log_likelihood"] == pytest.approx(nats[:200].mean(), abs=0.02)
    assert len(numbers["kl"]) == 3


def test_what_codes_tell_of_labels_and_how_good_digits_are(digits, monkeypatch):
    monkeypatch.setattr(judging, "JUDGED", 10)
    labels = read_split("test")[1][:256]
    model = VAE(latent_dim=8, hidden=(64,), epochs=8, random_state=0).fit(digits)
    found = judge(model, digits, labels, digits, labels, of_digits=True)
    assert set(found) == {"likelihood", "kl", "labels", "generation"}
    assert found["labels"]["linear_probe"] > 0.5
    assert found["labels"]["nearest_neighbours"] > 0.4
    assert found["generation"]["samples"] == 256
    assert set(judge(Autoencoder(epochs=1).fit(digits), digits)) == set()
    with pytest.raises(InputError, match="no Gaussian codes"):
        log_likelihood(Autoencoder(epochs=1).fit(digits), digits)
