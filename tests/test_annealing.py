"""Schedules of a VAE and the Wasserstein autoencoder, against their papers' formulas."""

import copy

import numpy as np
import pytest
import torch
from conftest import PLAIN, SMALL, floats

from diabolo import VAE, WAE, InfoVAE, load
from diabolo.annealing import Annealing
from diabolo.data.source import Batch
from diabolo.divergence import kl_by_dimension, mmd_standard_normal
from diabolo.errors import InputError
from diabolo.posterior import moments
from diabolo.tasks.evaluation import evaluate
from diabolo.train import generator


def test_the_weight_rises_once_or_in_cycles():
    assert [Annealing(warmup=4).share(s) for s in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    assert [Annealing(cycle=8).share(s) for s in (0, 2, 4, 7, 8, 10)] == [0, 0.5, 1, 1, 0, 0.5]
    assert Annealing().share(0) == 1


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"warmup": 10}, lambda kl: 0.3 * 2 * kl.sum(1)),
        ({"free_bits": 2.0}, lambda kl: 2 * kl.mean(0).clamp(min=2.0).sum()),
        ({"warmup": 10, "capacity": 5.0}, lambda kl: 2 * (kl.sum(1) - 0.3 * 5).abs()),
    ],
)
def test_the_loss_in_training_is_the_papers(asked, expected):
    far = VAE(**SMALL | {"epochs": 10, "learning_rate": 0.01}, beta=0.01).fit(floats()).net_
    net, twin = (
        copy.deepcopy(VAE(**SMALL, beta=2.0, **given).fit(floats()).net_).double().train()
        for given in (asked, {})
    )
    for n in (net, twin):
        n.load_state_dict(far.state_dict())
    x = torch.from_numpy(floats()).double()
    kl = kl_by_dimension(*moments(net.encoder, net.scaling(x)))
    losses = [n.loss(Batch(x, x), generator(0, "noise"), 3).mean() for n in (net, twin)]
    change = expected(kl).mean() - 2 * kl.sum(1).mean()
    assert change.abs() > 1e-3
    torch.testing.assert_close(losses[0] - losses[1], change)
    for n in (net, twin):
        n.eval()
    same = [n.loss(Batch(x, x), generator(0, "noise"), 3) for n in (net, twin)]
    torch.testing.assert_close(*same)


def test_the_divergence_goes_to_the_capacity():
    X = floats(300)
    options = PLAIN | SMALL | {"scaling": "standard", "epochs": 60, "learning_rate": 5e-3}
    model = VAE(**options, beta=50.0, capacity=3.0, warmup=300).fit(X)
    assert evaluate(model, X)["test"]["kl"] == pytest.approx(3, rel=0.15)
    with pytest.raises(InputError, match="not both"):
        VAE(capacity=1.0, free_bits=0.1).fit(X)


def test_the_discrepancy_is_that_of_draws():
    draw = torch.Generator().manual_seed(0)
    z = 0.5 + 0.7 * torch.randn(40, 3, generator=draw, dtype=torch.float64)
    prior = torch.randn(4000, 3, generator=draw, dtype=torch.float64)
    kernel = lambda a, b: (-torch.cdist(a, b).square() / 6).exp().mean()  # noqa: E731
    expected = kernel(z, z) - 2 * kernel(z, prior) + kernel(prior, prior)
    assert mmd_standard_normal(z, z).mean() == pytest.approx(float(expected), abs=0.005)
    assert mmd_standard_normal(z, z).mean() > 0.02
    assert mmd_standard_normal(prior[:2000], prior[:2000]).mean() < 0.002


def test_the_codes_are_brought_to_the_prior(tmp_path):
    random = np.random.default_rng(0)
    X = (random.normal(size=(300, 2)) @ random.normal(size=(2, 10)) * 2 + 5).astype(np.float32)
    options = PLAIN | SMALL | {"latent_dim": 2, "scaling": "standard", "epochs": 30}
    found = {w: WAE(**options, discrepancy=w).fit(X) for w in (0.0, 100.0)}
    numbers = {w: evaluate(model, X)["test"] for w, model in found.items()}
    assert numbers[100.0]["discrepancy"] < 0.2 * numbers[0.0]["discrepancy"]
    codes = found[100.0].transform(X)
    assert np.abs(codes.mean(0)).max() < 0.3
    assert 0.7 < codes.std(0).min() <= codes.std(0).max() < 1.3
    found[100.0].save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors", device="cpu")
    assert evaluate(read, X) == evaluate(found[100.0], X)
    np.testing.assert_array_equal(read.score_samples(X[:3]), found[100.0].score_samples(X)[:3])


def test_an_infovae_is_a_vae_and_an_mmd_vae_in_its_limits():
    """Without a discrepancy the weights of a VAE, without a KL the loss of an MMD-VAE."""
    X = floats(60)
    nets = [
        InfoVAE(**SMALL, beta=0.7, discrepancy=0.0).fit(X).net_,
        VAE(**SMALL, beta=0.7).fit(X).net_,
    ]
    for mine, theirs in zip(*(net.state_dict().values() for net in nets), strict=True):
        assert torch.equal(mine, theirs)
    model = InfoVAE(**SMALL, beta=0.0, discrepancy=30.0).fit(X)
    net, rows = model.net_.train(), torch.from_numpy(X)
    loss = net.loss(Batch(rows, rows), generator(0, "noise"), 0)
    code = net.bottleneck(net.encoder, net.scaling(rows), generator(0, "noise"))
    expected = net.likelihood.nll(net.decoder(code.z), net.scaling(rows))
    expected = expected + 30 * mmd_standard_normal(code.z, code.z)
    torch.testing.assert_close(loss, expected)
    assert not torch.equal(code.z, code.mean)
    assert {"kl", "elbo"} < set(evaluate(model, X)["test"])
