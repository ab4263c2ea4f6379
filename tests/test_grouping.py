"""Groups without labels: the map, the mixture, members, agreement with labels, and the command."""

import csv

import numpy as np
import pytest
from conftest import SMALL, run
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.cluster import KMeans

from diabolo import Autoencoder, LatentClusterer, load, store
from diabolo.corruption import Affine
from diabolo.errors import InputError
from diabolo.fuzzy import graph
from diabolo.tasks import grouping
from diabolo.tasks.diffusion import DiffusionMap


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


def test_groups_hang_together_however_they_are_bent():
    """Two rings, one in the other, which have the same middle."""
    draw = np.random.default_rng(0)
    angle, radius = draw.uniform(0, 2 * np.pi, 160), np.repeat([1.0, 3.0], 80)
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    z += draw.normal(0, 0.1, z.shape)
    found = DiffusionMap.of(z, 30, 0)
    groups = KMeans(2, n_init=5, random_state=0).fit(found(z))
    assert grouping.agreement(radius, groups.labels_)["accuracy"] == 1
    new = groups.predict(found(1.01 * z[::20]))
    assert np.array_equal(new, groups.labels_[::20])


def test_places_are_eigenvectors_of_the_walk_and_new_codes_have_their_neighbours():
    z = np.random.default_rng(0).normal(size=(60, 3))
    found = DiffusionMap.of(z, 4, 0)
    heads, tails, weights = graph(found.codes, 15)
    walk = np.zeros((60, 60))
    walk[heads, tails] = weights
    walk /= walk.sum(1, keepdims=True)
    values = np.sort(np.linalg.eigvals(walk).real)[::-1][:4]
    r = found.places.double().numpy()[:, ::-1]
    np.testing.assert_allclose(walk @ r, r * values, atol=2e-3 * np.abs(r).max())
    np.testing.assert_allclose(np.linalg.norm(found(z + 0.01), axis=1), 1)


def test_there_are_as_many_groups_as_dense_clusters():
    draw = np.random.default_rng(0)
    z = draw.normal(size=(400, 3))
    assert grouping.clusters(z + 20 * draw.integers(0, 4, (400, 1)), 0) == 4
    assert grouping.clusters(z[:6], 0) == 1


def test_the_joint_density_is_that_of_the_mixture(clusterer, pictures):
    z = clusterer.model_.transform(pictures[0])
    places = clusterer.diffusion_(z)
    for c, (weight, mean) in enumerate(zip(clusterer.weights_, clusterer.means_, strict=True)):
        normal = multivariate_normal(mean, clusterer.variance_ * np.eye(len(mean)))
        expected = np.log(weight) + normal.logpdf(places)
        np.testing.assert_allclose(clusterer.joint(pictures[0])[:, c], expected, rtol=1e-6)


def test_a_model_of_its_own_is_seeded_and_undoes_the_pose_of_images(pictures):
    X, _ = pictures
    for rows, kind in ((X, Affine), (X[:, 0], type(None))):
        model = grouping._new_model(None, rows, 3)
        assert isinstance(model.corruption, kind)
        assert model.random_state == 3


def test_too_few_samples_are_said(model, pictures):
    with pytest.raises(InputError, match="X has 2 samples, but there must be 4 or more"):
        LatentClusterer(model, groups=4, prefit=True).fit(pictures[0][:2])


def test_a_file_keeps_it_and_damage_is_said(clusterer, pictures, tmp_path):
    clusterer.save(tmp_path / "c.safetensors")
    again = load(tmp_path / "c.safetensors")
    assert np.array_equal(again.joint(pictures[0]), clusterer.joint(pictures[0]))
    config, tensors = store.read(tmp_path / "c.safetensors")
    negative = {"clusterer variance": -tensors["clusterer variance"]}
    for change, other in (({"groups": 4}, {}), ({"groups": "auto"}, {}), ({}, negative)):
        entry = config | {"clusterer": config["clusterer"] | change}
        store.write(tmp_path / "bad.safetensors", entry, tensors | other)
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


def test_a_few_samples_have_their_groups():
    draw = np.random.default_rng(0)
    kind = np.arange(32) % 4
    z = 6 * draw.normal(size=(4, 5))[kind] + draw.normal(size=(32, 5))
    found = DiffusionMap.of(z, 30, 0, groups=4)
    groups = KMeans(4, n_init=5, random_state=0).fit_predict(found(z))
    assert grouping.agreement(kind, groups)["accuracy"] == 1
