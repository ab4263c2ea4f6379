"""The five articles, to the end, with the figures that their own scripts reach; the tuned recipes
beside them.
"""

import json

import pytest

from diabolo.commands.training import fit

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("drawn")]


def numbers(recipe, folder):
    return json.loads((fit(recipe, out=folder / recipe) / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("recipe", "parameters", "at_most"),
    [
        ("dae-32", 222_384, {"mse": 0.0230, "noisy_mse": 0.117}),
        ("ae-36", 57_268, {"bce": 0.1060}),
        ("ae-32", 50_992, {"bce": 0.0925, "mse": 0.0100}),
        ("dae-64", 484_944, {"mse": 0.0109, "noisy_mse": 0.0331}),
    ],
)
def test_dense_article(recipe, parameters, at_most, tmp_path):
    found = numbers(recipe, tmp_path)
    assert found["parameters"] == parameters
    for name, limit in at_most.items():
        assert found["test"][name] <= limit, name


def test_convolutional_vae(tmp_path):
    found = numbers("vae-conv", tmp_path)
    assert found["parameters"] == 228_193
    assert found["test"]["nll"] + found["test"]["kl"] <= 18.7
    assert 6 <= found["test"]["kl"] <= 8


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("recipe", "name", "articles_mean"),
    [
        ("ae-36-fast", "bce", 0.1005),
        ("ae-32-fast", "bce", 0.0921),
        ("dae-32-fast", "mse", 0.0218),
        ("dae-64-fast", "mse", 0.0105),
    ],
)
def test_a_fast_recipe_reaches_its_articles_result(recipe, name, articles_mean, seed, tmp_path):
    folder = fit(recipe, parameters={"random_state": seed}, out=tmp_path / "run")
    found = json.loads((folder / "metrics.json").read_text())
    assert found["test"][name] <= articles_mean


@pytest.mark.parametrize(
    ("recipe", "at_most"), [("ae", 0.0040), ("dae", 0.0130), ("conv-dae", 0.0095)]
)
def test_a_tuned_recipe_goes_well_past_the_articles(recipe, at_most, tmp_path):
    assert numbers(recipe, tmp_path)["test"]["mse"] <= at_most
