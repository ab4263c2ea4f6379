"""Where training begins and what is found from the data: against closed forms, and as told."""

import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, floats
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch.distributions import MultivariateNormal

from diabolo import VAE, Autoencoder, load, recipes
from diabolo.begin import begin
from diabolo.beside import Beside
from diabolo.corruption import GaussianNoise, SaltAndPepper
from diabolo.data.source import Rows
from diabolo.defaults import AUTO, FOUND, Given
from diabolo.linear import RIDGES, reduced
from diabolo.models import kinds
from diabolo.models.contractive import parted
from diabolo.params import from_config
from diabolo.report.words import verdict
from diabolo.train import generator

FILES = Path(__file__).parent / "files"


def table(n=300, d=7, seed=0):
    """Rows of correlated columns in units of their own."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n, 3)) @ draw.normal(size=(3, d)) + 0.3 * draw.normal(size=(n, d))
    return (X * 10.0 ** np.arange(-2, d - 2) + 5).astype(np.float32)


def begun(kind, X, y=None, **parameters):
    """A model whose training changes nothing."""
    parameters = SMALL | {"scaling": "auto", "learning_rate": 1e-30, "epochs": 1} | parameters
    return kind(**parameters).fit(X, y)


def standardised(X):
    return (X - X.mean(0, dtype=float)) / X.std(0, dtype=float)


# ---- the beginning


@pytest.mark.parametrize("parameters", [{}, {"hidden": (5, 4)}, {"precision": "bf16"}])
def test_an_autoencoder_begins_at_pca(parameters):
    X = table()
    model = begun(Autoencoder, X, latent_dim=2, **parameters)
    assert type(model.net_.encoder) is type(model.net_.decoder) is Beside
    pca = PCA(2, whiten=True).fit(standardised(X))
    codes = pca.transform(standardised(X))
    found = model.transform(X)
    np.testing.assert_allclose(np.abs(found), np.abs(codes), rtol=1e-3, atol=1e-4)
    expected = pca.inverse_transform(codes) * X.std(0, dtype=float) + X.mean(0, dtype=float)
    np.testing.assert_allclose(model.reconstruct(X), expected, rtol=1e-3, atol=1e-4 * X.std())


@pytest.mark.parametrize("network", ["conv", "subpixel"])
def test_networks_of_images_begin_at_pca(network):
    X = np.random.default_rng(0).random((50, 6, 5), dtype=np.float32)
    rows = X.reshape(50, -1).astype(float)
    model = begun(Autoencoder, X, network=network)
    pca = PCA(3).fit(rows)
    expected = pca.inverse_transform(pca.transform(rows)).clip(0, 1)
    found = model.reconstruct(X).reshape(50, -1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_code_wider_than_the_rank_of_the_samples_begins_exactly():
    X = table(40, 3)[:, [0, 1, 2, 0]]
    model = begun(Autoencoder, X, latent_dim=4)
    np.testing.assert_allclose(model.reconstruct(X), X, rtol=1e-4)


def test_a_denoiser_begins_at_the_reduced_rank_regression():
    """With scikit-learn's ridge regression, for the ridge that does best of all."""
    draw = np.random.default_rng(0)
    y = standardised(table(400)).astype(np.float32)
    x = (y + 0.5 * draw.normal(size=y.shape)).astype(np.float32)
    errors, held = [], np.arange(400) % 10 == 0
    mean = x.mean(0)
    variance = np.square(x - mean).mean()
    for ridge in RIDGES:
        fitted = _ridge(x[~held] - mean, y[~held] - y.mean(0), ridge * variance)
        errors.append(np.square((x[held] - mean) @ fitted + y.mean(0) - y[held]).mean())
    weights = _ridge(x - mean, y - y.mean(0), RIDGES[int(np.argmin(errors))] * variance)
    spread = np.sqrt(np.square(PCA().fit(x).transform(x)).mean(0))
    components = PCA().fit(x).components_
    strongest = np.linalg.svd(spread[:, None] * (components @ weights))[2][:2]
    expected = y.mean(0) + (x - mean) @ weights @ strongest.T @ strongest
    found = reduced(x, y, 2)
    code = (x - found.mean_x) @ found.encode.T
    np.testing.assert_allclose(found.mean_y + code @ found.decode, expected, atol=1e-4)


def _ridge(x, y, ridge):
    return Ridge(ridge * len(x), fit_intercept=False).fit(x.astype(float), y.astype(float)).coef_.T


def test_a_model_that_denoises_begins_better_than_pca_does():
    X = table(1000)
    model = begun(Autoencoder, X, latent_dim=3, corruption=GaussianNoise(0.7))
    scaled = standardised(X)
    seen = model.corrupt(X, random_state=1)
    pca = PCA(3).fit(scaled)
    noisy = (seen - X.mean(0, dtype=float)) / X.std(0, dtype=float)
    ours = (model.reconstruct(seen) - X.mean(0, dtype=float)) / X.std(0, dtype=float)
    error = np.square(ours - scaled).mean()
    assert error < 0.9 * np.square(pca.inverse_transform(pca.transform(noisy)) - scaled).mean()


@pytest.mark.parametrize("beta", [1.0, 0.25])
def test_a_vae_begins_at_probabilistic_pca(beta):
    """Its bound is then the log-likelihood of p(x) = N(mean, W W' + beta I) itself.

    J. Lucas, G. Tucker, R. Grosse, M. Norouzi, "Don't Blame the ELBO!", 2019, section 4: with the
    weight beta it is that of the noise variance beta, times beta.
    """
    X = table()
    net = begun(VAE, X, latent_dim=3, beta=beta).net_.double()
    x = net.scaling(torch.from_numpy(X).double())
    mean, log_variance = net.encoder(x).chunk(2, 1)
    variance = log_variance.clamp(-20, 20).exp()
    W = net.decoder.linear.weight.detach()
    offset = net.decoder.linear.bias.detach()
    nll = 0.5 * (x - mean @ W.T - offset).square().sum(1) + 0.5 * (variance @ W.square().sum(0))
    kl = 0.5 * (mean.square() + variance - 1 - variance.log()).sum(1)
    constant = 0.5 * x.shape[1] * math.log(2 * math.pi * beta)
    elbo = -(nll / beta + kl) - constant
    law = MultivariateNormal(offset, W @ W.T + beta * torch.eye(7, dtype=torch.float64))
    torch.testing.assert_close(elbo.mean(), law.log_prob(x).mean(), rtol=1e-4, atol=1e-4)


def test_a_condition_begins_at_what_it_says_of_the_samples():
    X, y = table(400), np.arange(400) % 3
    X = X + y[:, None].astype(np.float32) * X.std(0) * [3, -2, 1, 0, 4, 0, 1]
    model = begun(Autoencoder, X, y, latent_dim=2, condition="labels")
    scaled = standardised(X)
    means = np.stack([scaled[y == k].mean(0) for k in range(3)])[y]
    pca = PCA(2).fit(scaled - means)
    expected = means + pca.inverse_transform(pca.transform(scaled - means))
    found = (model.reconstruct(X, condition=y) - X.mean(0, dtype=float)) / X.std(0, dtype=float)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_the_gram_of_a_contraction_has_the_linear_way_in_it():
    model = begun(Autoencoder, table(60, 12), latent_dim=2)
    encoder, x = model.net_.encoder, torch.randn(5, 12, generator=generator(0, "rows"))
    first, rest, gram = parted(encoder)
    torch.testing.assert_close(rest(first(x)), encoder(x))
    both = torch.cat([encoder.linear.weight, encoder.layers[0].weight])
    torch.testing.assert_close(gram, both @ both.T)


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden": ()},
        {"linear": False},
        {"latent_dim": None},
        {"code_activation": "relu"},
        {"output_activation": "sigmoid"},
    ],
)
def test_there_is_no_linear_way_where_it_has_no_place(parameters):
    net = Autoencoder(**SMALL | {"scaling": "unit"} | parameters).planned(floats())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert not any(isinstance(module, Beside) for module in net.modules())
    begin(net, Rows(torch.from_numpy(floats())), 0)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


# ---- the end


def moon(n=600):
    """Rows near a curve in the plane, among four columns."""
    draw = np.random.default_rng(0)
    t = draw.uniform(-2, 2, n)
    X = np.stack([t, t**2, np.abs(t), t + t**2], 1)
    return (X + 0.02 * draw.normal(size=X.shape)).astype(np.float32)


def test_where_there_is_nothing_to_learn_the_model_is_the_linear_method():
    X = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    model = Autoencoder(latent_dim=3, hidden=(16,), epochs=3, random_state=0).fit(X)
    assert len(model.history_["epoch"]) == 3
    assert model.net_.linear
    assert verdict({"test": {"mse": 1.0}}, model.net_).endswith(
        "linear method, so that is the model."
    )
    pca = PCA(3).fit(standardised(X))
    expected = pca.inverse_transform(pca.transform(standardised(X)))
    np.testing.assert_allclose(
        standardised(X) - expected, (X - model.reconstruct(X)) / X.std(0), atol=1e-3
    )


def test_where_there_is_a_curve_the_model_is_better_than_pca():
    X, new = moon()[:400], moon()[400:]
    parameters = {"latent_dim": 1, "hidden": (32,), "epochs": 30, "learning_rate": 0.01}
    model = Autoencoder(**parameters, random_state=0, device="cpu").fit(X)
    assert not model.net_.linear
    pca = PCA(1).fit(standardised(X))
    scaled = (new - X.mean(0)) / X.std(0)
    linear = np.square(pca.inverse_transform(pca.transform(scaled)) - scaled).mean()
    assert np.square((model.reconstruct(new) - new) / X.std(0)).mean() < 0.75 * linear


# ---- what is found from the data


def found(X, kind=Autoencoder, **parameters):
    return {n: v for n, v in kind(**parameters).suited(X).get_params().items() if n in FOUND}


def test_the_values_that_are_found_for_a_table_images_and_a_handful():
    rows = np.zeros((1500, 30), np.float32)
    assert found(rows) == {
        "latent_dim": 10,
        "scaling": "standard",
        "hidden": (128,),
        "batch_size": 64,
        "epochs": 106,
        "learning_rate": 3e-3,
        "validation_fraction": 0.1,
        "early_stopping": 79,
    }
    images = np.full((25_000, 28, 28), 255, np.uint8)
    assert found(images) == {
        "latent_dim": 32,
        "scaling": "unit",
        "hidden": (1024,),
        "batch_size": 128,
        "epochs": 20,
        "learning_rate": 3e-3,
        "validation_fraction": 0.1,
        "early_stopping": 15,
    }
    few = found(rows[:5, :2])
    assert few["latent_dim"] == 1
    assert few["validation_fraction"] == 0
    assert few["early_stopping"] is None
    assert found(images[:50], VAE)["scaling"] == "standard"
    assert found(rows, likelihood="bernoulli")["scaling"] == "unit"
    assert found(rows, output_activation="sigmoid")["scaling"] == "unit"
    assert found(rows, output_activation="tanh")["scaling"] == "symmetric"
    assert found(rows, hidden=None)["epochs"] == 106
    assert found(rows, corruption=SaltAndPepper())["scaling"] == "unit"
    assert found(images[:50], network="conv")["hidden"] == (32, 64)
    assert found(rows, epochs=7)["epochs"] == 7


def test_whatever_may_be_auto_is_found():
    declared = {p.name for p in Autoencoder.declared() if p.default == AUTO}
    assert declared - {"device"} == set(FOUND)
    assert all(inspect.isfunction(find) and find.__doc__ for find in FOUND.values())
    assert set(FOUND) <= set(vars(Given))


def test_a_record_and_its_file_have_the_values(tmp_path):
    X = table(100)
    model = Autoencoder(epochs=2, random_state=0).fit(X)
    config = model.fitted_config_
    assert AUTO not in [config[name] for name in FOUND]
    assert (config["latent_dim"], config["hidden"]) == (3, [128])
    assert model.latent_dim == AUTO, "the parameters stay as they were given"
    model.save(tmp_path / "m.safetensors")
    read = load(tmp_path / "m.safetensors", device="cpu")
    assert read.latent_dim == 3
    np.testing.assert_array_equal(read.reconstruct(X), model.reconstruct(X))


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_of_an_article_leaves_nothing_to_the_data(name):
    recipe = recipes.read(name)
    if not recipe.article:
        return
    model = from_config(recipe.model, kinds())
    assert AUTO not in [getattr(model, name) for name in FOUND]
    assert model.linear is False
    assert {"activation", "schedule", *FOUND} <= set(recipe.model)


@pytest.mark.parametrize("name", ["format-1", "format-2"])
def test_older_files_have_no_linear_way(name):
    model = load(FILES / f"{name}.safetensors", device="cpu")
    assert model.linear is False
    assert not any(isinstance(module, Beside) for module in model.net_.modules())


# ---- going on


def test_a_fit_in_parts_and_a_warm_start_keep_the_values_of_the_first():
    X = table(100)
    model = Autoencoder(random_state=0, device="cpu").partial_fit(X[:60])
    first = dict(model.fitted_config_)
    assert isinstance(model.net_.encoder, Beside)
    model.partial_fit(np.concatenate([X] * 9))
    for name in ("latent_dim", "scaling", "hidden"):
        assert model.fitted_config_[name] == first[name]
    model.set_params(warm_start=True, epochs=2).fit(X)
    assert model.history_["epoch"] == [1, 2, 3, 4]
    assert model.code_size_ == first["latent_dim"]


def test_a_training_that_was_interrupted_goes_on_with_the_same_values(tmp_path):
    X = table(100)
    make = lambda: Autoencoder(epochs=4, random_state=0, device="cpu")  # noqa: E731

    def stop(model):
        if len(model.history_["epoch"]) == 2:
            raise KeyboardInterrupt

    whole = make().fit(X)
    with pytest.raises(KeyboardInterrupt):
        make().fit(X, callback=stop, checkpoint=tmp_path)
    resumed = make().fit(X, checkpoint=tmp_path)
    assert resumed.fitted_config_ == whole.fitted_config_
    for name, tensor in whole.net_.state_dict().items():
        assert torch.equal(tensor, resumed.net_.state_dict()[name]), name
