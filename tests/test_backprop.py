"""Backpropagation written out against autograd."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from diabolo import VAE, Autoencoder, backprop
from diabolo.beside import Beside
from diabolo.data.source import Batch
from diabolo.networks import ACTIVATIONS
from diabolo.train import generator


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def beside(activation="relu", **options):
    """The same layers, each part with a linear way beside it."""
    parts = Beside(5, 4, layers(activation, **options)), Beside(4, 3, nn.Linear(4, 3))
    parts[0].layers.append(nn.Linear(3, 4))
    module = nn.Sequential(*parts).double()
    for number, parameter in enumerate(module.parameters()):
        parameter.data = drawn(*parameter.shape, seed=number)
    return module


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
@pytest.mark.parametrize("made", [layers, beside])
def test_the_gradients_are_autograds(made, activation, bias):
    module, x, slope = made(activation, bias=bias), drawn(6, 5, seed=8), drawn(6, 3, seed=9)
    module(x).backward(slope)
    expected = [p.grad for p in module.parameters()]
    module.zero_grad()
    with torch.no_grad():
        tape = backprop.forward(backprop.chain(module), x)
        torch.testing.assert_close(tape[-1][2], module(x))
        backprop.backward(tape, slope)
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12)


def own(kind, *arguments):
    """A module of a subclass of `kind`."""
    return type("Own", (kind,), {})(*arguments)


def frozen():
    module = layers()
    module[1].bias.requires_grad_(False)
    return module


def tied():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.ReLU(), layer)


def shared():
    a, b = nn.Linear(5, 5), nn.Linear(5, 5)
    b.weight = a.weight
    return nn.Sequential(a, b)


def transposed():
    layer = nn.Linear(5, 5)
    layer.weight = nn.Parameter(torch.rand(5, 5).t())
    return nn.Sequential(layer)


def hooked(at):
    module = nn.Sequential(nn.Linear(5, 5))
    (module if at == "chain" else module[0]).register_forward_hook(lambda m, x, y: 2 * y)
    return module


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(5, 5), nn.Dropout()),
        nn.Sequential(own(nn.Linear, 5, 5)),
        own(nn.Sequential, nn.Linear(5, 5)),
        nn.Sequential(nn.Linear(5, 5), nn.ELU(inplace=True)),
        nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 5))),
        frozen(),
        tied(),
        shared(),
        transposed(),
        hooked("chain"),
        hooked("layer"),
    ],
)
def test_what_is_no_plain_chain_is_left_to_autograd(module):
    assert backprop.chain(module) is None
    assert backprop.chain(layers(), nn.Identity()) is not None


def test_own_layers_train_as_they_are():
    """A weight stored by columns: the fused kernels would not know."""
    draw = np.random.default_rng(0)
    X, weight = draw.random((40, 6)), torch.from_numpy(draw.random((6, 3), np.float32))
    results = []
    for layout in (weight.t(), weight.t().contiguous()):
        encoder, decoder = nn.Linear(6, 3), nn.Linear(3, 6)
        encoder.weight = nn.Parameter(layout)
        for parameter in (encoder.bias, *decoder.parameters()):
            parameter.data = torch.full_like(parameter, 0.1)
        pair = nn.Sequential(encoder), nn.Sequential(decoder)
        model = Autoencoder(network=pair, epochs=3, batch_size=8, learning_rate=0.1)
        results.append(model.set_params(random_state=0).fit(X).reconstruct(X))
    np.testing.assert_allclose(*results, rtol=1e-4)


def test_a_layer_frozen_while_training_stays_from_then_on(digits):
    seen = []

    def freeze(model):
        model.net_.encoder[0].weight.requires_grad_(False)
        seen.append(model.net_.encoder[0].weight.detach().clone())

    Autoencoder(hidden=(8,), latent_dim=4, linear=False, epochs=3, device="cpu").fit(
        digits[:64], callback=freeze
    )
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def losses_and_gradients(model, learn, x):
    """What a learner gives, and the gradients that it leaves."""
    net = model.net_.double()
    net.zero_grad()
    losses = learn(Batch(x, x), generator(1, "noise"), 0, 0.25)
    return [losses, *(p.grad.clone() for p in net.parameters())]


@pytest.mark.parametrize(
    ("likelihood", "output"),
    [("bernoulli", "sigmoid"), *(("gaussian", activation) for activation in ACTIVATIONS)],
)
def test_a_nets_learner_is_its_loss_and_autograd(likelihood, output):
    X = np.random.default_rng(0).random((30, 6))
    model = Autoencoder(
        hidden=(5,), latent_dim=3, likelihood=likelihood, output_activation=output, epochs=1
    ).fit(X)
    x, loss = torch.from_numpy(X), model.net_.loss

    def autograd(batch, noise, step, weight):
        nll = loss(batch, noise, step)
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
