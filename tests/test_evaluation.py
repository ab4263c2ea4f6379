"""What one pass over test samples gives, beside the model's own answers, and that it is one."""

import numpy as np
import pytest
import torch
from conftest import SMALL, floats

from diabolo import VAE, Autoencoder, report
from diabolo.commands import results, runs
from diabolo.corruption import GaussianNoise
from diabolo.data import Samples
from diabolo.divergence import kl_standard_normal
from diabolo.infer import block_of, watched
from diabolo.recipes import Recipe
from diabolo.tasks.evaluation import evaluate, in_units, outcome
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
