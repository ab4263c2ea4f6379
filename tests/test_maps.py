"""Parametric UMAP: its graph and loss against their definitions, and maps of parted samples."""

import math

import numpy as np
import pytest
import torch
from conftest import SMALL
from sklearn.neighbors import NearestNeighbors
from test_resume import Stop, state, stopping

from diabolo import UMAPAutoencoder, load
from diabolo.errors import InputError
from diabolo.fuzzy import graph, memberships
from diabolo.models import umap
from diabolo.nearest import blocks_of, nearest
from diabolo.store import Checkpoints

MAP = SMALL | {"latent_dim": 2, "hidden": (16,), "neighbours": 5, "linear": False}


def clouds():
    """Twelve clouds of 20 samples each in 8 dimensions, and which each sample is of."""
    draw = np.random.default_rng(0)
    which = np.repeat(np.arange(12), 20)
    samples = 4 * draw.normal(size=(12, 8))[which] + draw.normal(size=(240, 8))
    return samples.astype(np.float32), which


@pytest.mark.parametrize("size", [7, 1000])
def test_the_nearest_are_those_of_scikit_learn(size):
    """In blocks of whatever size, far from zero, and with rows that are there twice."""
    x = np.random.default_rng(0).normal(100, 1, (300, 5)).astype(np.float32)
    x[50:60] = x[150:160]
    blocks = [torch.from_numpy(x[i : i + size]) for i in range(0, len(x), size)]
    found = nearest(torch.from_numpy(x[:90]), blocks, 6)
    theirs, _ = NearestNeighbors(n_neighbors=6).fit(x.astype(float)).kneighbors(x[:90])
    np.testing.assert_allclose(found.distances, theirs, atol=1e-5)
    assert found.indices[50, :2].tolist() == [50, 150]


def test_the_graph_is_that_of_the_paper():
    """p_ij + p_ji - p_ij p_ji, where p sums to log2 n and is 1 for the nearest."""
    x = torch.from_numpy(clouds()[0])
    heads, tails, weights = graph(x, 5)
    near = nearest(x, blocks_of(x), 6)
    p = memberships(near.distances[:, 1:])
    torch.testing.assert_close(p.sum(1), torch.full((len(x),), math.log2(5)))
    assert (p[:, 0] == 1).all()
    whole = torch.zeros(len(x), len(x)).scatter(1, near.indices[:, 1:], p)
    joined = whole + whole.t() - whole * whole.t()
    torch.testing.assert_close(torch.zeros_like(whole).index_put((heads, tails), weights), joined)


def test_of_samples_that_are_all_the_same_there_is_a_graph():
    for n in (3, 30):
        heads, tails, weights = graph(torch.ones(n, 4), 5)
        assert weights.isfinite().all()
        assert (heads != tails).all()


def test_the_loss_is_the_cross_entropy():
    code = umap.NeighbourCode(1.0, 5, 4.0, 0.1)
    assert code.curve == pytest.approx((1.577, 0.895), abs=1e-3)  # as in umap-learn
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, 2, generator=draw).double() for _ in range(2))
    q = 1 / (1 + code.curve[0] * torch.cdist(a, b) ** (2 * code.curve[1]))
    others = -(1 - q).log().masked_fill(torch.eye(6, dtype=torch.bool), 0).sum(1) / 5
    found = code.cross_entropy(a, b)
    torch.testing.assert_close(found, -q.diagonal().log() + 4 * others, rtol=0.02, atol=0)
    slopes = []
    for risen in (0.0, 0.25, 1.0):
        ends = b.clone().requires_grad_()
        losses = code.cross_entropy(a, ends, risen)
        torch.testing.assert_close(losses, found)
        slopes += torch.autograd.grad(losses.sum(), ends)
    torch.testing.assert_close(slopes[1], slopes[0] + 0.25 * (slopes[2] - slopes[0]))


def test_new_samples_are_mapped_near_those_that_they_are_like():
    """The term is of the training alone, and the file has nothing of the graph."""
    X, which = clouds()
    right = []
    for weight in (0.0, 10.0):
        options = MAP | {"hidden": (64,), "epochs": 15, "learning_rate": 0.01}
        model = UMAPAutoencoder(**options, neighbourhood=weight).fit(X[::2])
        z, new = model.transform(X[::2]), model.transform(X[1::2])
        near = NearestNeighbors(n_neighbors=3).fit(z).kneighbors(new, return_distance=False)
        right.append((which[::2][near] == which[1::2, None]).mean())
    assert right[1] > right[0] + 0.05
    assert model.net_.probe[1] == ()
    assert "draw" not in vars(model.net_.bottleneck)
    assert model.loss_unit_ == "nats per sample"


def test_a_training_goes_on_to_the_bit(tmp_path):
    X, _ = clouds()
    whole = UMAPAutoencoder(**MAP).fit(X)
    with pytest.raises(Stop):
        UMAPAutoencoder(**MAP).fit(X, checkpoint=stopping(9, 1)(tmp_path))
    again = UMAPAutoencoder(**MAP).fit(X, checkpoint=Checkpoints(tmp_path))
    assert state(again) == state(whole)
    whole.save(tmp_path / "map.safetensors")
    assert np.array_equal(load(tmp_path / "map.safetensors").transform(X), whole.transform(X))


def test_a_map_has_a_code_that_is_free():
    for wrong in ({"latent_dim": None}, {"code_activation": "relu"}):
        with pytest.raises(InputError, match="A map needs a latent_dim"):
            UMAPAutoencoder(**MAP | wrong).fit(clouds()[0])
