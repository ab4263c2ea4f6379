"""Conditions: labels and numbers beside a sample, for any model and network."""

import json

import numpy as np
import pytest
import torch
from conftest import PLAIN, drawing, failed, run
from fastapi.testclient import TestClient
from sklearn.utils.estimator_checks import check_estimator
from torch import nn
from torch.distributions import Normal, kl_divergence

from diabolo import VAE, Autoencoder, load
from diabolo.condition import Condition
from diabolo.condition.labels import Labels
from diabolo.condition.values import Values
from diabolo.data.samples import Samples
from diabolo.data.source import Batch, Rows
from diabolo.errors import InputError
from diabolo.store import Checkpoints
from diabolo.studio.app import create_app
from diabolo.studio.service import Service
from diabolo.tasks.digits import probabilities
from diabolo.train import generator

SMALL = {"latent_dim": 2, "hidden": (6,), "epochs": 2, "batch_size": 16, "random_state": 0}
Y = np.arange(40) % 4


def rows(n=40, d=6):
    return np.random.default_rng(0).random((n, d), dtype=np.float32)


def state(model):
    return {n: t.numpy().tobytes() for n, t in model.net_.state_dict().items()}


# ---- what conditions learn


def test_labels_are_one_hot_and_unknown_ones_are_named():
    learnt = Labels().learn(["b", "a", "b", "c"])
    assert learnt.learnt == {"classes": ["a", "b", "c"]}
    assert learnt.given(["c", "a"], 2).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert learnt.given("b", 3).tolist() == 3 * [[0, 1, 0]]
    assert learnt.examples(4).argmax(1).tolist() == [0, 1, 2, 0]
    with pytest.raises(InputError, match="There is no label 'd'"):
        learnt.given(["d"], 1)
    numbers = Labels().learn(np.array([3, 7, 7], np.uint8))
    assert numbers.given("7", 1).tolist() == numbers.given(7.0, 1).tolist() == [[0, 1]]


def test_values_are_standardised_by_those_of_training():
    y = np.random.default_rng(0).normal(5, 3, (500, 2))
    learnt = Values().learn(y)
    given = learnt.given(y, 500)
    np.testing.assert_allclose(given.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(given.std(0), 1, rtol=1e-5)
    assert Values().learn(np.ones(5)).given([3.0], 1).tolist() == [[2.0]], "no spread counts as 1"
    with pytest.raises(InputError, match="2 condition values a sample, not 1"):
        learnt.given([1.0], 1)


@pytest.mark.parametrize(
    ("kind", "y", "words"),
    [
        ("labels", np.zeros((40, 2)), "Labels are"),
        ("labels", Y[:3], "There are 3 conditions for 40 samples"),
        ("labels", [[1], [1, 2]] * 20, "ragged"),
        ("labels", None, "requires y to be passed"),
        ("labels", np.arange(2000), "different labels"),
        ("values", ["x"] * 40, "takes numbers"),
        ("values", [np.nan] * 40, "NaN"),
    ],
)
def test_mistakes_are_told_in_a_sentence(kind, y, words):
    with pytest.raises(InputError, match=words):
        VAE(**SMALL, condition=kind).fit(rows(), y)


def test_what_takes_no_condition_says_so():
    images = np.random.default_rng(0).random((20, 8, 8), dtype=np.float32)
    residual = Autoencoder(latent_dim=None, network="residual", condition="labels", epochs=1)
    with pytest.raises(InputError, match="takes no condition"):
        residual.fit(images, Y[:20])
    vectorless = Autoencoder(latent_dim=None, network="conv", condition="labels", epochs=1)
    with pytest.raises(InputError, match="give latent_dim"):
        vectorless.fit(images, Y[:20])
    with pytest.raises(InputError, match="fitted without a condition"):
        VAE(**SMALL).fit(rows()).transform(rows(), condition=Y)


# ---- models


@pytest.mark.parametrize("network", ["dense", "conv", "subpixel"])
@pytest.mark.parametrize("model", [Autoencoder, VAE])
def test_every_network_takes_it_and_keeps_it_in_the_file(model, network, tmp_path):
    X = np.random.default_rng(0).random((40, 8, 7), dtype=np.float32)
    fitted = model(**SMALL, network=network, condition="labels").fit(X, Y)
    fitted.save(tmp_path / "m.safetensors")
    read = load(tmp_path / "m.safetensors")
    for use in ("transform", "reconstruct", "score_samples"):
        given = getattr(fitted, use)(X, condition=Y)
        np.testing.assert_array_equal(getattr(read, use)(X, condition=Y), given)
        one = getattr(fitted, use)(X[5:6], condition=Y[5:6])
        np.testing.assert_array_equal(one[0], given[5])
        assert not np.array_equal(getattr(fitted, use)(X, condition=(Y + 1) % 4), given)
        assert np.isfinite(getattr(fitted, use)(X)).all(), "the mean condition stands in"
    usual = torch.from_numpy(Labels().learn(Y).given(Y, 40)).mean(0)
    assert torch.equal(read.net_.usual, usual)


def test_the_usual_condition_is_of_all_samples_in_any_order():
    X, y = rows(3000, 2), np.repeat([0, 1], 1500)
    model = Autoencoder(**SMALL | {"epochs": 1, "batch_size": 500}, condition="labels").fit(X, y)
    assert model.net_.usual.tolist() == [0.5, 0.5]


def test_the_loss_is_that_of_the_conditional_bound():
    """-log p(x | z, y) + KL(q(z | x, y) || N(0, I)), in float64 (Sohn et al. 2015, eq. 4)."""
    X = rows().astype(np.float64)
    model = VAE(**PLAIN | SMALL, condition="labels").fit(X, Y)
    net = model.net_.double()
    x, given = torch.from_numpy(X), torch.eye(4, dtype=torch.float64)[Y]
    found = net.loss(Batch(x, x, given), generator(0, "noise"), 0)
    scaled = net.scaling(x)
    mean, log_variance = net.encoder(torch.cat([scaled, given], 1)).chunk(2, 1)
    law = Normal(mean, (0.5 * log_variance).exp())
    noise = torch.randn(mean.shape, generator=generator(0, "noise"), dtype=mean.dtype)
    z = mean + law.stddev * noise
    output = net.decoder(torch.cat([z, given], 1)).sigmoid()
    kl = kl_divergence(law, Normal(torch.zeros(()), torch.ones(()))).sum(1)
    expected = 0.5 * (output - scaled).square().sum(1) + kl
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_an_own_pair_is_given_the_condition_beside_its_values():
    pair = nn.Linear(6 + 4, 2), nn.Linear(2 + 4, 6)
    parameters = SMALL | {"hidden": None}
    model = Autoencoder(**parameters, network=pair, condition="labels").fit(rows(), Y)
    assert model.transform(rows(), condition=Y).shape == (40, 2)


def test_a_condition_of_ones_own_is_found_by_its_name():
    class Parity(Condition, kind="parity"):
        """Whether a number is odd."""

        size = 1

        def _learnt(self, y):
            return {"seen": [len(y)]}

        def encode(self, y):
            return (y % 2).astype(np.float32).reshape(-1, 1)

        def examples(self, n):
            return np.zeros((n, 1), np.float32)

    model = VAE(**SMALL, condition="parity").fit(rows(), Y)
    same = model.transform(rows(), condition=Y + 2)
    np.testing.assert_array_equal(same, model.transform(rows(), condition=Y))


def test_a_training_that_was_interrupted_ends_to_the_bit(tmp_path):
    parameters = SMALL | {"condition": "labels", "validation_fraction": 0.2, "epochs": 3}
    whole = VAE(**parameters).fit(rows(), Y)

    def stop(model):
        if len(model.history_["epoch"]) == 2:
            raise OSError

    class Always(Checkpoints):
        def due(self, *, within_epoch):
            return True

    with pytest.raises(OSError):  # noqa: PT011
        VAE(**parameters).fit(rows(), Y, checkpoint=Always(tmp_path), callback=stop)
    assert state(VAE(**parameters).fit(rows(), Y, checkpoint=tmp_path)) == state(whole)
    with pytest.raises(InputError, match="on other data"):
        VAE(**parameters).fit(rows(), Y[::-1], checkpoint=tmp_path)


def test_validation_has_its_own_conditions():
    X, samples = rows(), Samples(rows(), [], "npy", labels=Y)
    a = VAE(**SMALL, condition="labels").fit(X, Y, X_val=(X, Y)).history_["val_loss"]
    b = VAE(**SMALL, condition="labels").fit(samples, X_val=samples).history_["val_loss"]
    c = VAE(**SMALL, condition="labels").fit(X, Y, X_val=X).history_["val_loss"]
    assert a == b != c


def test_rows_bring_their_conditions_in_any_order():
    source = Rows(torch.arange(6.0).view(3, 2), given=torch.eye(3))
    _, held = source.split(torch.tensor([0]), torch.tensor([2, 1]))
    assert held.take(torch.tensor([0])).given.tolist() == [[0, 0, 1]]
    assert "given_sha256" in source.digest()


def test_partial_fit_learns_the_classes_once():
    model = VAE(**SMALL, condition="labels").partial_fit(rows(), Y).partial_fit(rows(), Y % 2)
    assert model.fitted_.intake.condition.size == 4


@pytest.mark.parametrize("condition", ["labels", pytest.param("values", marks=pytest.mark.stress)])
def test_scikit_learns_checks(condition):
    found = check_estimator(VAE(**SMALL, condition=condition), on_fail=None, on_skip=None)
    assert [r["check_name"] for r in found if r["status"] not in ("passed", "skipped")] == []


# ---- the command line, and what comes of it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A conditional VAE, trained on digits by the command line."""
    out = tmp_path_factory.mktemp("runs") / "cvae"
    words = ["--condition", "labels", "--epochs", 15, "--limit", 1500, "--hidden", 128]
    words += ["--test", "mnist:test:200", "--learning-rate", 0.003, "--latent-dim", 4]
    with drawing():
        assert run("fit", "vae", *words, "--validation-fraction", 0.1, "--out", out) == 0
    return out


def test_it_draws_the_digit_that_is_asked_for(folder, tmp_path):
    right = []
    for digit in (0, 3, 6):
        out = tmp_path / f"{digit}.npy"
        assert run("generate", folder, "-n", 20, "--condition", digit, "--out", out) == 0
        right += (probabilities(np.load(out)).argmax(1) == digit).tolist()
    assert np.mean(right) > 0.65, "by chance a tenth"
    model = load(folder / "model.safetensors")
    turn = probabilities(model.sample(20, random_state=0)).argmax(1)
    assert np.mean(turn == np.arange(20) % 10) > 0.6, "without a condition, labels in turn"


def test_a_wrong_label_is_a_mistake(folder, tmp_path, capsys):
    words = ["generate", folder, "--condition", "cat", "--out", tmp_path / "a.npy"]
    assert failed(capsys, *words).startswith("There is no label 'cat'")


def test_the_numbers_are_those_with_labels(folder):
    test = json.loads((folder / "metrics.json").read_text())["test"]
    assert run("evaluate", folder) == 0
    model = load(folder / "model.safetensors")
    assert "condition" in (folder / "report.html").read_text()
    assert test["elbo"] == pytest.approx(-(test["nll"] + test["kl"]), rel=1e-5)
    assert test["active_units"] <= model.code_size_


def test_the_studio_opens_it(folder):
    with TestClient(create_app(Service(folder.parent)), base_url="http://testserver") as client:
        assert client.get("/api/model?model=cvae").json()["prior"] is True
        assert client.post("/api/view", json={"model": "cvae", "sample": 0}).status_code == 200
        assert client.get("/api/new?model=cvae&n=4").status_code == 200
