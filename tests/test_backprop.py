"""Backpropagation written out against autograd."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from diabolo import VAE, Autoencoder, backprop
from diabolo.networks import ACTIVATIONS
from diabolo.train import generator


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layers(activation="relu", **options):
    torch_layers = nn.Sequential(
        nn.Sequential(nn.Linear(5, 7, dtype=torch.float64), ACTIVATIONS[activation]()),
        nn.Linear(7, 3, dtype=torch.float64, **options),
        ACTIVATIONS[activation](),
    )
    for number, parameter in enumerate(torch_layers.parameters()):
        parameter.data = drawn(*parameter.shape, seed=number)
    return torch_layers


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_gradients_are_autograds(activation, bias):
    module, x, slope = layers(activation, bias=bias), drawn(6, 5, seed=8), drawn(6, 3, seed=9)
    module(x).backward(slope)
    expected = [p.grad for p in module.parameters()]
    module.zero_grad()
    with torch.no_grad():
        tape = backprop.forward(backprop.chain(module), x)
        torch.testing.assert_close(tape[-1][-1], module(x))
        backprop.backward(tape, slope)
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12)


def test_what_is_no_plain_chain_is_left_to_autograd():
    tied = nn.Linear(5, 5)
    frozen = layers()
    frozen[1].bias.requires_grad_(False)
    for module in (
        nn.Sequential(nn.Linear(5, 5), nn.Dropout()),
        nn.Sequential(tied, tied),
        frozen,
        type("Own", (nn.Sequential,), {})(nn.Linear(5, 5)),
        nn.Sequential(type("Own", (nn.Linear,), {})(5, 5)),
    ):
        assert backprop.chain(module) is None
    assert backprop.chain(layers(), nn.Identity()) is not None


def losses_and_gradients(model, learn, x):
    """What a learner gives, and the gradients that it leaves."""
    net = model.net_.double()
    net.zero_grad()
    losses = learn(x, x, generator(1, "noise"), 0, 0.25)
    return [losses, *(p.grad.clone() for p in net.parameters())]


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("output", ["sigmoid", "tanh", "identity", "softplus"])
def test_a_nets_learner_is_its_loss_and_autograd(likelihood, output):
    if likelihood == "bernoulli" and output != "sigmoid":
        return
    X = np.random.default_rng(0).random((30, 6))
    model = Autoencoder(
        hidden=(5,), latent_dim=3, likelihood=likelihood, output_activation=output, epochs=1
    ).fit(X)
    x, loss = torch.from_numpy(X), model.net_.loss

    def autograd(source, target, noise, step, weight):
        nll = loss(source, target, noise, step)
        nll.backward(torch.full_like(nll, weight))
        return nll.detach()

    found = losses_and_gradients(model, model.net_.double().learner(), x)
    expected = losses_and_gradients(model, autograd, x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_only_plain_codes_and_chains_have_a_learner():
    X = np.random.default_rng(0).random((30, 4, 4))
    plain = {"hidden": (5,), "latent_dim": 3, "epochs": 1}
    assert Autoencoder(**plain).fit(X).net_.learner() is not None
    assert VAE(**plain).fit(X).net_.learner() is None
    assert Autoencoder(network="conv", **plain).fit(X).net_.learner() is None


def test_training_is_the_same_with_and_without_it(digits, monkeypatch):
    """The engine's two ways give one model, up to rounding."""
    model = Autoencoder(hidden=(32,), latent_dim=8, epochs=3, random_state=0, device="cpu")
    short = copy.deepcopy(model).fit(digits[:300])
    monkeypatch.setattr("diabolo.net.Net.learner", lambda net: None)
    long = model.fit(digits[:300])
    np.testing.assert_allclose(short.step_loss_, long.step_loss_, rtol=1e-5)
    np.testing.assert_allclose(
        short.reconstruct(digits[:50]), long.reconstruct(digits[:50]), atol=0.1
    )
