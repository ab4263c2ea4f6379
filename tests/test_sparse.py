"""Sparse autoencoders: their codes and gradients against plain torch, and known dictionaries."""

import copy

import numpy as np
import pytest
import torch
from conftest import SMALL, floats
from torch import nn

from diabolo import SAE, Autoencoder, BatchTopKSAE, JumpReLUSAE, TopKSAE, activations, load
from diabolo.data.source import Batch
from diabolo.errors import InputError
from diabolo.metrics import mean_max_cosine
from diabolo.models.jumprelu import Jump
from diabolo.networks.dictionary import Dictionary
from diabolo.sparse import Active, kth_largest
from diabolo.tasks.evaluation import evaluate

OWN = {SAE: {"sparsity": 0.3}, TopKSAE: {"k": 3}, BatchTopKSAE: {"k": 3}, JumpReLUSAE: {}}
SPARSE = SMALL | {"latent_dim": 20, "hidden": (), "scaling": "standard"}
each = pytest.mark.parametrize("kind", OWN)


def fitted(kind, X=None, **more):
    return kind(**SPARSE | OWN[kind] | more).fit(floats(200) if X is None else X)


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("kind", [SAE, TopKSAE, BatchTopKSAE])
def test_the_step_that_is_written_out_is_autograds(kind):
    net = copy.deepcopy(fitted(kind).net_).double().train()
    x = torch.from_numpy(floats(50, seed=1)).double()
    twin = copy.deepcopy(net)
    loss = net.learner()(Batch(x, x), seeded(), 0, 0.7)
    expected = twin.loss(Batch(x, x), seeded(), 0)
    (0.7 * expected.sum()).backward()
    torch.testing.assert_close(loss, expected.detach())
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert theirs.grad.abs().sum() > 0
        torch.testing.assert_close(mine.grad, theirs.grad)
    for mine, theirs in zip(
        vars(net.bottleneck)["seen"], vars(twin.bottleneck)["seen"], strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_products_with_active_units_are_the_dense_ones():
    y = torch.randn(7, 9, generator=seeded(), dtype=torch.float64)
    atoms, bias = torch.randn(9, 4).double(), torch.randn(4).double()
    g, mask = torch.randn(7, 4).double(), y > 0.5
    z, code = y * mask, Active.of(mask, y)
    torch.testing.assert_close(code.times(atoms, bias), z @ atoms + bias)
    torch.testing.assert_close(code.pull(g, atoms), (g @ atoms.t())[mask])
    torch.testing.assert_close(code.turned(code.values) @ g, z.t() @ g)
    torch.testing.assert_close(code.by_unit(code.values), z.sum(0))
    torch.testing.assert_close(code.by_row(code.values), z.sum(1))
    torch.testing.assert_close(kth_largest(y, 3), y.topk(3).values[:, 2:])


def test_jumps_have_the_papers_gradients():
    """Equations 11 and 12, at values near and far from the thresholds."""
    units = Jump(0.2)
    units.build(3)
    units.double()
    y = torch.tensor([[0.21, 0.05, 0.28], [0.19, 5.0, 0.12]]).double().requires_grad_()
    t = float(units.log_threshold[0].detach().exp())
    z = units(y)
    torch.testing.assert_close(z, y * (y > t))
    by_y, by_log = torch.autograd.grad(z.sum(), (y, units.log_threshold))
    torch.testing.assert_close(by_y, (y > t).double())
    near = ((y - t).abs() < 0.1).double().sum(0)
    torch.testing.assert_close(by_log, -(t / 0.2) * near * t)
    (by_log,) = torch.autograd.grad(units.near(y).sum(), units.log_threshold)
    torch.testing.assert_close(by_log, -(1 / 0.2) * near * t)


@pytest.mark.parametrize("tied", [False, True])
def test_atoms_have_length_one_and_a_tied_encoder_is_they(tied):
    model = fitted(TopKSAE, network=Dictionary(tied=tied))
    encoder, atoms = model.net_.encoder[0], model.net_.decoder[0]
    columns = atoms(torch.eye(20)) - atoms.bias
    for rows in (columns, atoms.weight):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(20))
    if tied:
        x = torch.from_numpy(floats(5))
        torch.testing.assert_close(encoder(x), x @ columns.t() + encoder.bias)
    assert (model.net_.learner() is None) == tied


@each
def test_codes_are_saved_and_loaded_to_the_bit(kind, tmp_path):
    for tied in (False, True):
        model = fitted(kind, network=Dictionary(tied=tied))
        model.save(tmp_path / "model.safetensors")
        read, X = load(tmp_path / "model.safetensors", device="cpu"), floats(50)
        np.testing.assert_array_equal(read.transform(X), model.transform(X))
        np.testing.assert_array_equal(read.reconstruct(X), model.reconstruct(X))
        assert {"l0", "dead"} <= set(evaluate(read, X)["test"])


def test_as_many_units_are_active_as_asked_for():
    assert set((fitted(TopKSAE).transform(floats(300)) > 0).sum(1)) == {3}
    model = fitted(BatchTopKSAE, epochs=30)
    counts = (model.transform(floats(300)) > 0).sum(1)
    assert counts.mean() == pytest.approx(3, rel=0.2)
    assert counts.std() > 0.3
    options = {"epochs": 20, "learning_rate": 0.01, "revive": False}
    for kind, weights in ((SAE, (2.0, 0.1)), (JumpReLUSAE, (4.0, 0.01))):
        few, many = (fitted(kind, sparsity=s, **options).transform(floats(200)) for s in weights)
        assert (few > 0).mean() < 0.8 * (many > 0).mean()


def test_a_silent_unit_begins_anew_at_what_is_left_over():
    X, kept = floats(4000), {}
    for revive in (True, False):
        model = TopKSAE(**SPARSE | {"k": 2, "epochs": 6}, revive=revive).fit(X[:200])
        with torch.no_grad():
            model.net_.encoder[0].bias[:5] = -50
        model.set_params(warm_start=True, epochs=2).fit(X)
        kept[revive] = (model.transform(X) > 0).any(0)[:5].mean()
    assert kept[True] == 1
    assert kept[False] == 0


def test_a_known_dictionary_is_found():
    draw = np.random.default_rng(0)
    truth = draw.normal(size=(40, 16)).astype(np.float32)
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    z = draw.random((4000, 40), dtype=np.float32) * (draw.random((4000, 40)) < 0.05)
    model = TopKSAE(
        latent_dim=40,
        k=3,
        epochs=60,
        learning_rate=0.01,
        **{
            "scaling": None,
            "batch_size": 128,
            "validation_fraction": 0.0,
            "early_stopping": None,
            "random_state": 0,
            "device": SMALL["device"],
        },
    ).fit(z @ truth)
    atoms = model.net_.decoder[0].weight.detach().cpu().numpy()
    assert mean_max_cosine(truth, truth[::-1] * 3) == pytest.approx(1)
    assert 0.95 < mean_max_cosine(truth, atoms) < 1
    X = model.reconstruct(z @ truth)
    expected = (
        1 - np.square(X - z @ truth).sum() / np.square(z @ truth - (z @ truth).mean(0)).sum()
    )
    found = evaluate(model, z @ truth)["test"]["explained_variance"]
    assert found == pytest.approx(expected, rel=1e-4)
    X = z[:2000] @ truth
    assert model.net_.bottleneck.told(torch.from_numpy(model.transform(X))) in (2, 3)
    linear = evaluate(model, X, X)["linear"]["mse"]
    assert linear > 0.5 * X.var(0).mean(), "PCA of as many numbers as are active"


def test_without_a_width_there_are_more_units_than_values():
    model = TopKSAE(epochs=1, device="cpu", random_state=0).fit(floats(100, 6))
    assert model.code_size_ == 24
    assert not {"wide code", "dead code units"} & {f.name for f in model.findings_}
    with pytest.raises(InputError, match="has an activation of its own"):
        TopKSAE(code_activation="relu").fit(floats())
    plain = Autoencoder(**SMALL | {"network": "dictionary"}).fit(floats())
    assert plain.transform(floats()).shape == (40, 3)


# ---- activations


class Two(nn.Module):
    """A network of images, sequences and vectors, by name."""

    def __init__(self):
        super().__init__()
        self.conv, self.drop = nn.Conv2d(1, 3, 3), nn.Dropout(0.5)
        self.gru, self.head = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 2)
        self.unused = nn.Linear(1, 1)

    def forward(self, x, scale=1.0):
        y = self.drop(self.conv(x))
        return self.head(self.gru(scale * y.mean(1))[0][:, -1])


def test_activations_are_the_layers_outputs(tmp_path):
    net, x = Two().train(), floats(10, 36).reshape(10, 1, 6, 6)
    net.conv.eval()
    of = torch.from_numpy(x)
    y = net.conv(of).detach()
    maps = activations(net, "conv", x, batch_size=4)
    np.testing.assert_allclose(maps, y.permute(0, 2, 3, 1).reshape(-1, 3), rtol=1e-6)
    np.testing.assert_array_equal(activations(net, "drop", of), maps)
    places = activations(net, "gru", [(of[:5],), {"x": x[5:], "scale": 1.0}])
    assert places.shape == (40, 5)
    kept = activations(net, "head", x, path=tmp_path / "head.npy")
    with torch.no_grad():
        np.testing.assert_allclose(kept, net.eval()(of), rtol=1e-5)
    assert np.load(tmp_path / "head.npy").shape == (10, 2)
    assert isinstance(kept, np.memmap) or kept.shape == (10, 2)
    net.train().conv.eval()
    activations(net, "conv", x)
    assert net.training
    assert net.drop.training
    assert not net.conv.training
    assert not net.conv._forward_hooks


@pytest.mark.parametrize(
    ("layer", "path", "told"),
    [
        ("cnv", None, "conv"),
        ("unused", None, "does not use its layer unused"),
        ("conv", "x.csv", "no .npy file"),
    ],
)
def test_layers_that_are_not_there_are_told(layer, path, told, tmp_path):
    where = path and tmp_path / path
    with pytest.raises(InputError, match=told):
        activations(Two(), layer, floats(10, 36).reshape(10, 1, 6, 6), path=where)
    assert not list(tmp_path.iterdir())


def test_a_sparse_model_learns_from_activations_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("diabolo.data.mapped.LARGE", 1 << 10)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU())
    X = activations(net, "1", floats(500), path=tmp_path / "x.npy")
    model = TopKSAE(**SPARSE | {"k": 3}).fit(X)
    assert model.transform(X).shape == (500, 20)
    np.testing.assert_array_equal(
        TopKSAE(**SPARSE | {"k": 3}).fit(np.array(X)).transform(X[:9]), model.transform(X[:9])
    )
