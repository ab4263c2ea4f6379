"""Every network, likelihood and corruption that there is, and a user's own of each."""

import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from diabolo import Autoencoder, load
from diabolo.commands.parameters import given
from diabolo.corruption import Corruption
from diabolo.errors import InputError
from diabolo.likelihood import Bernoulli, Gaussian, Likelihood
from diabolo.networks import Network, Sizes, build, takes_images
from diabolo.networks.conv import Conv
from diabolo.networks.dense import Dense
from diabolo.params import UnknownKindError, from_config, to_config
from diabolo.studio import forms
from diabolo.train import generator

SHAPE = (2, 9, 6)
NETWORKS, LIKELIHOODS = Network.kinds(), Likelihood.kinds()
WHOLE = {"residual", "unet"}  # whose code is the image itself
UNBOUNDED = {"blind-gaussian", "recorrupted"}  # corruptions that clip nothing
SEEN = {"network": NETWORKS, "likelihood": LIKELIHOODS}


def pair(network, seed=0, **changes):
    narrow = None if network.kind in WHOLE else 3
    sizes = {"shape": SHAPE, "hidden": (4, 5), "latent": narrow, "activation": "elu"}
    sizes |= {"code_activation": "identity"}
    return build(network, Sizes(**sizes | changes), "glorot", generator(seed, "init"))


def batch(network, n=7):
    x = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0))
    return x if takes_images(network) else x.flatten(1)


def parameters(modules):
    return [p for module in modules for p in module.parameters()]


# ---- networks


def test_the_shipped_ones_are_found():
    assert sorted(NETWORKS) == sorted(
        ["conv", "conv-map", "dense", "dictionary", "gdn", "residual", "subpixel", "unet"]
    )
    assert sorted(LIKELIHOODS) == [
        "bce",
        "bernoulli",
        "beta-binomial",
        "categorical",
        "causal",
        "fixed-normal",
        "gaussian",
        "laplace",
        "logistic",
        "mae",
        "mixed",
        "mse",
        "normal",
    ]
    assert LIKELIHOODS["mse"] is Gaussian
    assert LIKELIHOODS["bce"] is Bernoulli


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("per_value", [1, 3])
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_pair_has_the_sizes_that_are_asked_for(name, outputs, per_value):
    network = NETWORKS[name]()
    if name in WHOLE:
        if per_value > 1:
            with pytest.raises(InputError, match="one number for each value"):
                pair(network, per_value=per_value)
        return
    encoder, decoder = pair(network, outputs=outputs, per_value=per_value)
    code, size = encoder(batch(network)), 3 * (3 * 2 if network.mapped else 1)
    assert code.shape == (7, size * outputs)
    assert decoder(code[:, :size]).flatten(1).shape == (7, per_value * 2 * 9 * 6)
    assert network.hidden
    assert all(size > 0 for size in network.hidden)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_gradient_reaches_every_parameter(name):
    network = NETWORKS[name]()
    encoder, decoder = pair(network)
    with torch.no_grad():  # the residual network begins with a last layer of zeros
        for parameter in parameters((encoder, decoder)):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator(1, "more")))
    decoder(encoder(batch(network))).square().sum().backward()
    for parameter in parameters((encoder, decoder)):
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_decides_the_weights(name, untouched):
    with untouched():
        first, again, other = (pair(NETWORKS[name](), seed) for seed in (0, 0, 1))
    triples = zip(*map(parameters, (first, again, other)), strict=True)
    different = False
    for a, b, c in triples:
        assert torch.equal(a, b)
        different |= not torch.equal(a, c)
    assert different


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_says_which_samples_it_takes(name):
    network = NETWORKS[name]()
    network.check((2, 4, 4))
    if not network.images:
        network.check((32,))
        return
    with pytest.raises(InputError, match=f"A {name} network needs images: .* for 32 columns"):
        network.check((32,))


def test_an_own_pair_takes_samples_as_they_are():
    assert takes_images((nn.Identity(), nn.Identity()))
    assert not takes_images(Dense())


# ---- likelihoods


ALONE = [n for n, kind in LIKELIHOODS.items() if kind.behind is Likelihood.behind]


@pytest.mark.parametrize("name", ALONE)  # that learn nothing of their own
@pytest.mark.parametrize("width", [1, 40])
def test_a_likelihood_has_a_law_a_gradient_and_a_layer(name, width):
    likelihood = LIKELIHOODS[name]().after("sigmoid")
    draw = torch.Generator().manual_seed(0)
    output = torch.randn(
        6, likelihood.per_value * width, generator=draw, dtype=torch.float64, requires_grad=True
    )
    target = torch.rand(6, width, generator=draw, dtype=torch.float64)
    law = likelihood.law(output)
    assert (law.batch_shape, law.event_shape) == ((6,), (width,))
    nll = likelihood.nll(output, target)
    lowest = likelihood.nll(output, likelihood.mean(output))
    difference = nll - lowest + law.log_prob(target) - law.log_prob(likelihood.mean(output))
    torch.testing.assert_close(difference, torch.zeros_like(difference), rtol=0, atol=1e-10)
    (expected,) = torch.autograd.grad(nll.sum(), output)
    value, gradient = likelihood.nll_and_gradient(output.detach(), target)
    torch.testing.assert_close(value, nll)
    torch.testing.assert_close(gradient, expected)
    assert torch.equal(likelihood.layer()(output), likelihood.mean(output))
    assert likelihood.mean(output).shape == target.shape
    assert likelihood.per_feature(1.0, width) > 0
    assert likelihood.unit


@pytest.mark.parametrize("name", [n for n in LIKELIHOODS if LIKELIHOODS[n].support])
def test_what_has_no_likelihood_is_brought_to_what_has(name):
    likelihood = LIKELIHOODS[name]()
    low, high = likelihood.support
    assert likelihood.supported(torch.tensor([low - 1, high + 1])).tolist() == [low, high]
    likelihood.check_values(low, high, None)
    for ends in ((low - 0.1, high), (low, high + 0.1)):
        with pytest.raises(InputError, match=f"{name.replace('bce', 'bernoulli')} likelihood"):
            likelihood.check_values(*ends, None)


def test_the_measures_of_a_likelihood_have_its_names():
    output, clean = np.full((4, 5), 0.25), np.ones((4, 5))
    assert Bernoulli().measures(output, clean) == {"bce": pytest.approx(np.log(4))}
    assert Gaussian().measures(output, clean) == {}


# ---- by name


@pytest.mark.parametrize("name", SEEN)
def test_a_name_stays_a_name_and_means_its_part(name):
    for kind in SEEN[name]:
        model = Autoencoder(**{name: kind})
        assert model.get_params()[name] == kind
        assert to_config(model)[name] == kind
        assert type(getattr(model.validated(), name)) is SEEN[name][kind]
        assert given({"kind": "Autoencoder"}, {name: kind}) == {name: kind}


def test_an_object_does_what_its_name_does(tmp_path):
    X = np.random.default_rng(0).random((30, 6, 6), dtype=np.float32)
    small = {"hidden": (3,), "latent_dim": 2, "epochs": 1, "random_state": 0, "device": "cpu"}
    named = Autoencoder(network="conv", likelihood="bce", **small).fit(X)
    made = Autoencoder(network=Conv(), likelihood=Bernoulli(), **small).fit(X)
    np.testing.assert_array_equal(made.transform(X), named.transform(X))
    made.save(tmp_path / "m.safetensors")
    read = load(tmp_path / "m.safetensors", device="cpu")
    np.testing.assert_array_equal(read.reconstruct(X), named.reconstruct(X))
    assert isinstance(read.network, Conv)
    assert to_config(read)["likelihood"] == {"kind": "bernoulli", "binarised": False}


@pytest.mark.parametrize("name", SEEN)
def test_the_form_offers_every_kind(name):
    declared = {p.name: p for p in Autoencoder.declared()}[name]
    field = forms.field(declared, declared.default)
    assert field.value == declared.default
    assert field.choices == list(SEEN[name])
    assert field.words == f"one of {', '.join(map(repr, SEEN[name]))}"


@pytest.mark.parametrize("config", [{"network": "mine"}, {"likelihood": {"kind": "mine"}}])
def test_a_kind_that_is_missing_is_named(config):
    with pytest.raises(UnknownKindError) as error:
        from_config({"kind": "Autoencoder"} | config, {"Autoencoder": Autoencoder})
    assert (error.value.what, error.value.name) == (next(iter(config)), "mine")


# ---- corruptions


@pytest.mark.parametrize("name", Corruption.kinds())
def test_what_is_known_of_a_corruption_fits_it(name, untouched):
    x = torch.rand(9, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    corruption = Corruption.kinds()[name]().learnt(x, 0.0)
    with untouched():
        y, mask, level, _ = corruption.corrupt(x, generator(0, "noise"), 0.0, 1.0)
    assert y.shape == x.shape
    assert not torch.equal(y, x)
    if name not in UNBOUNDED:
        assert y.nan_to_num(0).min() >= 0
        assert y.nan_to_num(0).max() <= 1
    if mask is not None:
        assert mask.shape in ((9, 1, 24, 32), x.shape)
        outside = (mask == 0).expand_as(x)
        assert torch.equal(y[outside], x[outside])
        assert (mask > 0).any()
    if level is not None:
        assert level.shape == (9,)
        assert (level >= 0).all()


# ---- a user's own


OWN = '''
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt
from torch import nn
from torch.distributions import Independent, Normal

from diabolo.corruption import Corrupted, Corruption
from diabolo.likelihood import Likelihood
from diabolo.networks import Network


class Normed(Network, kind="normed"):
    """A linear pair, its code normed."""

    hidden = ()
    images = False

    def pair(self, sizes):
        d, k = sizes.shape[0], sizes.latent
        encoder = nn.Sequential(nn.Linear(d, k * sizes.outputs), nn.LayerNorm(k * sizes.outputs))
        return encoder, nn.Sequential(nn.Linear(k, d * sizes.per_value))


class Spread(Likelihood, kind="spread"):
    """A Gaussian whose variances are learnt too."""

    floor: Annotated[Annotated[float, Gt(0)], "Least standard deviation."] = 0.1
    per_value = 2

    def law(self, output):
        deviation = self.floor + output.chunk(2, 1)[1].exp()
        return Independent(Normal(self.mean(output), deviation), 1)


class Halved(Corruption, kind="halved"):
    """Values times a share."""

    share: Annotated[Annotated[float, Gt(0)], "Of the value."] = 0.5

    def corrupt(self, x, generator, low, high):
        return Corrupted(x * self.share)


X = np.random.default_rng(0).random((60, 6), dtype=np.float32)
'''
FIT = """
from diabolo import VAE, Autoencoder, load
from own import *

small = {"latent_dim": 2, "random_state": 0, "device": "cpu", "batch_size": 10, "scaling": None}
parts = {"network": "normed", "likelihood": Spread(floor=0.2), "corruption": Halved(share=0.75)}
model = Autoencoder(**small, **parts, epochs=30).fit(X)
losses = model.history_["loss"]
assert losses[-1] < losses[0] - 0.1, losses
assert model.net_.decoder.layers[0].out_features == 12
assert model.loss_unit_ == "nats per feature"
np.testing.assert_allclose(model.corrupt(X), 0.75 * X, rtol=1e-5)
z = torch.from_numpy(model.transform(X))
law = model.net_.likelihood.law(model.net_.decoder(z))
scores = law.log_prob(torch.from_numpy(X))
np.testing.assert_allclose(model.score_samples(X), scores.detach().numpy(), rtol=1e-4, atol=1e-4)
VAE(**small, **parts, epochs=2).fit(X).save("vae.safetensors")
model.save("own.safetensors")
np.save("own.npy", model.reconstruct(X))
"""
READ = """
import own
import numpy as np
from diabolo import load
model = load("own.safetensors", device="cpu")
assert type(model.corruption).__name__ == "Halved" and model.corruption.share == 0.75
assert model.likelihood.floor == 0.2 and model.network == "normed"
np.testing.assert_array_equal(model.reconstruct(own.X), np.load("own.npy"))
assert load("vae.safetensors", device="cpu").sample(3, random_state=0).shape == (3, 6)
print("read")
"""
FORMS = """
import own, json
from diabolo.commands.parameters import declared, given
from diabolo.studio import forms
field = {p.name: forms.field(p, p.default) for p in declared("Autoencoder")}
print(json.dumps({
    "network": field["network"].choices,
    "likelihood": [field["likelihood"].type, field["likelihood"].parts["spread"][0].name],
    "given": given({"kind": "VAE"}, {"likelihood": "spread", "likelihood.floor": "0.3"}),
    "onto": given({"kind": "VAE", "likelihood": "spread"}, {"likelihood.floor": "0.3"}),
}))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with a user's script, and what it has trained and saved."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    child = multiprocessing.get_context("fork").Process(target=fit, args=(folder,))
    child.start()
    child.join()
    assert child.exitcode == 0
    return folder


def fit(folder):
    """Run the script, and what trains, in a process that has imported all there is of ours."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    exec(FIT, {})


def python(folder, code):
    """What an interpreter of its own prints."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(own):
    """What an interpreter that has read the script prints of what was saved, and of forms."""
    return python(own, READ + FORMS).splitlines()


def test_parts_of_ones_own_train_save_and_load_elsewhere(elsewhere):
    assert elsewhere[0] == "read"


def test_without_the_script_the_missing_part_is_named(own):
    with pytest.raises(InputError) as error:
        load(own / "own.safetensors")
    assert str(error.value) == (
        f"{own / 'own.safetensors'} has a corruption of kind 'halved', which is not known here:"
        " import the script that defines it first."
    )


def test_parts_of_ones_own_are_offered_by_forms_and_flags(elsewhere):
    found = json.loads(elsewhere[1])
    assert found == {
        "network": [
            "conv",
            "conv-map",
            "dense",
            "dictionary",
            "gdn",
            "residual",
            "subpixel",
            "unet",
            "normed",
        ],
        "likelihood": ["part", "likelihood.floor"],
        "given": {"likelihood": {"kind": "spread", "floor": 0.3}},
        "onto": {"likelihood": {"floor": 0.3}},
    }
