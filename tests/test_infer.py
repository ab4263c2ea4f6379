"""Inference in wide blocks answers as one of the smallest blocks alone, to the bit."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from diabolo import VAE, Autoencoder
from diabolo.infer import BLOCK, _linear, block_of

SIZES = {"digits": (784, (128, 64), 32), "table": (30, (16,), 4), "odd": (7, (5,), 3)}


def by_hand(model, x):
    """Encoder and decoder as W X' + b, on one block alone."""
    net, y = model.net_, model.net_.scaling(x)
    for part in (net.encoder, net.decoder):
        y = product(part.linear, y) + stacked(part.layers, y)
    return net.scaling.inverse(net.likelihood.activation(y))


def stacked(layers, y):
    for layer in layers:
        y = product(layer, y) if isinstance(layer, torch.nn.Linear) else layer(y)
    return y


def product(layer, y):
    return _linear(y, layer.weight, layer.bias)


@pytest.mark.parametrize("activation", ["relu", "silu", "tanh"])
@pytest.mark.parametrize("size", SIZES)
def test_wide_blocks_answer_like_single_ones(threads, size, activation):
    features, hidden, latent = SIZES[size]
    draw = torch.Generator().manual_seed(0)
    X = torch.rand(16 * BLOCK + 7, features, generator=draw)
    model = Autoencoder(
        latent_dim=latent, hidden=hidden, activation=activation, epochs=1, random_state=0
    ).fit(X[:BLOCK])
    whole = model.reconstruct(X)
    with torch.inference_mode():
        for start in range(0, 16 * BLOCK, BLOCK):
            part = slice(start, start + BLOCK)
            assert torch.equal(whole[part], by_hand(model, X[part]))
    for start, stop in ((1, 2), (3, 5 * BLOCK), (len(X) - 1, len(X)), (17, len(X))):
        assert torch.equal(model.reconstruct(X[start:stop]), whole[start:stop])


@pytest.mark.parametrize("features", [2, 30, 784])
@pytest.mark.parametrize("kind", [Autoencoder, VAE])
def test_scores_of_many_rows_are_those_of_few(threads, kind, features):
    X = np.random.default_rng(0).random((2000, features), dtype=np.float32)
    model = kind(latent_dim=2, hidden=(9,), epochs=1, random_state=0).fit(X[:BLOCK])
    for use in (model.transform, model.score_samples):
        whole = use(X)
        for start, stop in ((0, 1), (63, 700), (1999, 2000)):
            np.testing.assert_array_equal(use(X[start:stop]), whole[start:stop])


@pytest.mark.parametrize(("side", "code", "rows"), [(28, 4, 16), (181, 4, 32), (256, 32, 4)])
def test_large_images_go_through_alone_or_few_together(threads, side, code, rows):
    X = np.random.default_rng(0).random((5, side, side), dtype=np.float32)
    model = Autoencoder(
        network="conv", hidden=(2,), latent_dim=code, epochs=1, linear=False, random_state=0
    ).fit(X)
    assert block_of(model.net_) == rows
    whole = model.reconstruct(X)
    for n in range(5):
        np.testing.assert_array_equal(model.reconstruct(X[n : n + 1]), whole[n : n + 1])


@pytest.mark.parametrize("outputs", [1, 2, 3, 5, 7, 9, 15, 32, 33])
@pytest.mark.parametrize("inputs", [1, 2, 3, 5, 9, 33, 200, 784, 3072])
def test_a_linear_layer_treats_all_blocks_alike(threads, inputs, outputs):

    draw = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, inputs, generator=draw) for n in (15 * BLOCK, outputs))
    bias = torch.randn(outputs, generator=draw)
    wide = _linear(x, weight, bias)
    torch.set_num_threads(1)
    assert torch.equal(wide, torch.cat([_linear(part, weight, bias) for part in x.split(BLOCK)]))
    assert torch.allclose(wide, F.linear(x, weight, bias), atol=1e-4)


@pytest.mark.parametrize("network", ["dense", "conv"])
@pytest.mark.parametrize("code", [3, 10])
def test_answers_do_not_depend_on_the_number_of_threads(network, code):
    X = np.random.default_rng(0).random((130, 12, 12), dtype=np.float32)
    hidden = (100, 50) if network == "dense" else (8,)
    model = Autoencoder(
        latent_dim=code, hidden=hidden, network=network, epochs=1, random_state=0, device="cpu"
    ).fit(X)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append([use(X) for use in (model.transform, model.reconstruct, model.score_samples)])
    torch.set_num_threads(before)
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
