"""Groups without labels: the mixture, members, agreement with labels, and the command."""

import csv

import numpy as np
import pytest
from conftest import SMALL, run
from scipy.stats import multivariate_normal
from sklearn.base import clone

from diabolo import Autoencoder, LatentClusterer, UMAPAutoencoder, load, store
from diabolo.errors import InputError
from diabolo.tasks import grouping


@pytest.fixture(scope="module")
def pictures():
    """Small images of three kinds: 30, 20 and 10, and which is which."""
    draw = np.random.default_rng(0)
    which = np.repeat([0, 1, 2], [30, 20, 10])
    kinds = draw.random((3, 6, 6))
    noise = draw.normal(0, 0.03, (60, 6, 6))
    order = draw.permutation(60)
    return np.clip(kinds[which] + noise, 0, 1).astype(np.float32)[order], which[order]


@pytest.fixture(scope="module")
def model(pictures):
    return Autoencoder(**SMALL | {"epochs": 20, "learning_rate": 0.01}).fit(pictures[0])


@pytest.fixture(scope="module")
def clusterer(model, pictures):
    return LatentClusterer(model, groups=3, prefit=True, random_state=0).fit(pictures[0])


def test_groups_are_the_kinds_the_largest_first(clusterer, pictures):
    X, which = pictures
    assert np.array_equal(clusterer.labels_, which)
    assert np.array_equal(clusterer.predict(X), clusterer.labels_)
    assert np.array_equal(clone(clusterer).fit_predict(X), which)
    np.testing.assert_allclose(clusterer.predict_proba(X).sum(axis=1), 1)


def test_there_are_as_many_groups_as_dense_clusters():
    draw = np.random.default_rng(0)
    z = draw.normal(size=(400, 3))
    assert grouping.clusters(z + 20 * draw.integers(0, 4, (400, 1)), 0) == 4
    assert grouping.clusters(z[:6], 0) == 1


def test_the_joint_density_is_that_of_the_mixture(clusterer, pictures):
    law, z = clusterer.sampler_, clusterer.model_.transform(pictures[0]).astype(float)
    for c, (weight, mean, covariance) in enumerate(
        zip(law.mixture_.weights_, law.mixture_.means_, law.mixture_.covariances_, strict=True)
    ):
        scale = np.diag(law.scale_)
        normal = multivariate_normal(law.center_ + mean @ scale, scale @ covariance @ scale)
        expected = np.log(weight) + normal.logpdf(z)
        np.testing.assert_allclose(clusterer.joint(pictures[0])[:, c], expected, rtol=1e-6)


def test_a_model_of_its_own_is_seeded_and_as_wide_as_the_samples(pictures):
    X, _ = pictures
    for rows, width in ((X, 10), (X[:, 0], 6)):
        model = grouping._new_model(None, rows, 3)
        assert isinstance(model, UMAPAutoencoder)
        assert (model.latent_dim, model.random_state) == (width, 3)


def test_a_file_keeps_it_and_damage_is_said(clusterer, pictures, tmp_path):
    clusterer.save(tmp_path / "c.safetensors")
    again = load(tmp_path / "c.safetensors")
    assert np.array_equal(again.joint(pictures[0]), clusterer.joint(pictures[0]))
    config, tensors = store.read(tmp_path / "c.safetensors")
    for change in ({"groups": 4}, {"groups": "auto"}):
        entry = config | {"clusterer": config["clusterer"] | change}
        store.write(tmp_path / "bad.safetensors", entry, tensors)
        with pytest.raises(InputError, match=r"bad.safetensors is damaged"):
            load(tmp_path / "bad.safetensors")


def test_members_are_the_likeliest_and_those_between():
    joint = np.log([[0.9, 0.1], [0.4, 0.3], [0.2, 0.01], [0.1, 0.2]])
    first, second = grouping.members(joint, 2)
    assert first.typical.tolist() == [0, 1]
    assert first.borderline.tolist() == [1, 0]
    assert second.typical.tolist() == second.borderline.tolist() == [3]
    assert grouping.members(joint[:, :1], 1)[0].typical.tolist() == [0]


def test_agreement_is_of_the_best_pairing():
    assert grouping.agreement(list("aabb"), [1, 1, 0, 0]) == {"accuracy": 1.0, "nmi": 1.0}
    assert grouping.agreement([0, 0, 1, 1], [2, 1, 0, 0])["accuracy"] == 0.75
    with pytest.raises(InputError, match="have shapes"):
        grouping.agreement([0, 1], [0])


def test_the_command_writes_groups_and_takes_them_again(clusterer, pictures, tmp_path, capsys):
    X, which = pictures
    np.savez(tmp_path / "x.npz", x=X, y=which)
    clusterer.model_.save(tmp_path / "m.safetensors")
    data, out = str(tmp_path / "x.npz"), str(tmp_path / "out")
    model = str(tmp_path / "m.safetensors")
    assert run("cluster", model, data, "--groups", "3", "--out", out) == 0
    said = capsys.readouterr().out
    assert "3 groups of 60: 30, 20, 10." in said
    assert "agree: 100.0 %, NMI 1.00." in said
    with (tmp_path / "out" / "groups.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["group"]) for row in rows] == which.tolist()
    assert (tmp_path / "out" / "groups.png").read_bytes().startswith(b"\x89PNG")
    kept = f"{out}/clusterer.safetensors"
    assert run("cluster", kept, data, "--out", str(tmp_path / "again")) == 0
    for wrong, why in [
        (["--groups", "3"], "has its 3 groups: leave --groups out."),
        (["--groups", "none"], "is a number from 1, or auto, but is 'none'."),
    ]:
        given = kept if "its" in why else model
        assert run("cluster", given, data, *wrong, "--out", str(tmp_path / "no")) == 2
        assert why in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
