"""The contractive and the importance weighted autoencoder: their losses against formulas, and
their whole way through fit, file, checkpoint, metrics, report and page."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from conftest import FEW, SMALL, floats
from fastapi.testclient import TestClient
from test_resume import Stop, state, stopping
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

import diabolo
from diabolo import IWAE, VAE, Autoencoder, ContractiveAutoencoder, doctor, load
from diabolo.commands.training import fit
from diabolo.data.source import Batch
from diabolo.errors import InputError
from diabolo.models import MODELS
from diabolo.models.contractive import contracted
from diabolo.posterior import moments
from diabolo.store import Checkpoints
from diabolo.studio.app import create_app
from diabolo.studio.service import Service
from diabolo.tasks.evaluation import evaluate

FAMILY = {  # a model and the names of its own among the metrics
    ContractiveAutoencoder: {"jacobian"},
    IWAE: {"log_ratio", "iwae", "active_units"},
}
PARTS = {
    "dense": {"network": "dense"},
    "dense, a wide layer": {"network": "dense", "hidden": (70,)},
    "dense, no code layer": {"network": "dense", "latent_dim": None},
    "conv": {"network": "conv"},
    "conv, a feature map": {"network": "conv", "latent_dim": None},
    "subpixel": {"network": "subpixel"},
    "residual": {"network": "residual", "latent_dim": None},
}
each = pytest.mark.parametrize("kind", FAMILY)


def images(n=40):
    return floats(n, 63).reshape(n, 1, 9, 7)


def seeded():
    return torch.Generator().manual_seed(0)


def fitted(kind, X, **parameters):
    return kind(**SMALL | parameters).fit(X)


def double(model):
    """The network of a fitted model, in float64."""
    return copy.deepcopy(model.net_).double()


# ---- the Jacobian


def jacobian(encoder, x):
    """df/dx of each sample, (B, K, D), by torch."""
    each = [torch.autograd.functional.jacobian(encoder, row[None]) for row in x]
    return torch.stack([j.reshape(j.shape[1], -1) for j in each])


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_the_term_is_the_squared_jacobian_of_the_encoder(parts):
    net = double(fitted(ContractiveAutoencoder, images(), activation="tanh", **parts))
    x = net.shaped(net.scaling(torch.from_numpy(images(5)).double().flatten(1)))
    expected = jacobian(net.encoder, x).square().sum((1, 2))
    assert (expected > 1e-6).all()
    code = net.bottleneck(net.encoder, x)
    weight, term = code.terms["jacobian"]
    assert weight == 0.1
    torch.testing.assert_close(term, expected)
    torch.testing.assert_close(code.z, net.encoder(x))
    with torch.inference_mode():
        found = net.bottleneck(net.encoder, x.clone())
    torch.testing.assert_close(found.terms["jacobian"][1], expected)
    torch.testing.assert_close(found.z, net.encoder(x))
    assert not found.z.requires_grad


def test_of_one_sigmoid_layer_it_is_the_closed_form_of_the_paper():
    """sum_j (h_j (1 - h_j))^2 sum_i W_ji^2."""
    layer = nn.Linear(6, 3).double()
    x = torch.from_numpy(floats()).double()
    h, found = contracted(nn.Sequential(layer, nn.Sigmoid()), x)
    expected = (h * (1 - h)).square() @ layer.weight.square().sum(1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("parts", [*PARTS.values()][:4], ids=[*PARTS][:4])
def test_the_gradient_of_the_penalty_reaches_the_weights(parts):
    """Against autograd through torch's own Jacobian, and against finite differences."""
    net = double(fitted(ContractiveAutoencoder, images(), activation="tanh", **parts))
    x = net.shaped(torch.from_numpy(images(4)).double().flatten(1))
    weights = [p for p in net.encoder.parameters() if p.ndim > 1]
    found = torch.autograd.grad(contracted(net.encoder, x)[1].sum(), weights)
    ones = [torch.func.jacrev(net.encoder)(row[None]).square().sum() for row in x]
    for mine, theirs in zip(found, torch.autograd.grad(sum(ones), weights), strict=True):
        torch.testing.assert_close(mine, theirs)
    with torch.no_grad():
        for weight, gradient in zip(weights, found, strict=True):
            step = 1e-5 * gradient / gradient.norm()
            ends = []
            for sign in (1, -2):
                weight.add_(sign * step)
                ends.append(float(contracted(net.encoder, x)[1].sum()))
            weight.add_(step)
            assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(float(gradient.norm()), rel=1e-6)


def test_the_loss_is_nll_plus_the_weighted_term():
    X = floats()
    model = fitted(ContractiveAutoencoder, X, contraction=0.7)
    net = double(model)
    x = torch.from_numpy(X).double()
    nll = -net.score(x)
    term = jacobian(net.encoder, net.scaling(x)).square().sum((1, 2))
    torch.testing.assert_close(net.loss(Batch(x, x), seeded(), 0), nll + 0.7 * term)
    np.testing.assert_allclose(model.score_samples(X), -nll.detach(), rtol=1e-5)


def test_without_weight_it_is_the_autoencoder_and_with_it_codes_move_less():
    X = floats(200)
    plain, free = (
        fitted(kind, X, epochs=10, learning_rate=0.01, **given)
        for kind, given in [(Autoencoder, {}), (ContractiveAutoencoder, {"contraction": 0.0})]
    )
    np.testing.assert_allclose(free.transform(X), plain.transform(X), rtol=1e-3, atol=1e-4)
    tight = fitted(ContractiveAutoencoder, X, epochs=10, learning_rate=0.01, contraction=1.0)
    terms = [evaluate(model, X)["test"]["jacobian"] for model in (tight, free)]
    assert terms[0] < 0.5 * terms[1]


class Stubborn(torch.autograd.Function):
    """2x, by a gradient that looks at its numbers, which no batched gradient can."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        assert math.isfinite(float(gradient.detach().sum()))
        return 2 * gradient


class Doubling(nn.Module):
    def forward(self, x):
        return Stubborn.apply(x)


@pytest.mark.parametrize("layers", [[nn.ReLU(inplace=True)], [Doubling()], [nn.BatchNorm1d(4)]])
def test_layers_of_ones_own_have_a_jacobian_too(layers):
    """One that overwrites its input, one that refuses batched gradients, one with a state."""
    encoder = nn.Sequential(nn.Linear(6, 4), *layers, nn.Linear(4, 3))
    model = fitted(ContractiveAutoencoder, floats(), network=(encoder, nn.Linear(3, 6)))
    net = double(model)
    x = torch.from_numpy(floats(5)).double()
    expected = jacobian(net.encoder, x).square().sum((1, 2))
    for learning in (True, False):
        with torch.inference_mode(not learning):
            torch.testing.assert_close(contracted(net.encoder, x.clone())[1], expected)


def test_parts_of_the_code_make_the_whole(monkeypatch):
    """However little memory may be used at once."""
    net = double(fitted(ContractiveAutoencoder, images(), network="conv"))
    x = net.shaped(torch.from_numpy(images(5)).double().flatten(1))
    whole = contracted(net.encoder, x)[1]
    for values in (1, 2 * x.numel()):
        monkeypatch.setattr("diabolo.models.contractive.VALUES", values)
        torch.testing.assert_close(contracted(net.encoder, x)[1], whole)


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_in_bfloat16_it_is_about_the_same(network):
    exact, rough = (
        fitted(ContractiveAutoencoder, images(), network=network, precision=precision)
        for precision in ("float32", "bf16")
    )
    assert rough.history_["loss"] == pytest.approx(exact.history_["loss"], rel=0.02)
    assert rough.history_["loss"] != exact.history_["loss"]


@each
def test_an_untrained_network_names_its_terms_without_memory(kind):
    """On the meta device, where a plan is made of shapes alone."""
    model = kind(**SMALL)
    taken = fitted(kind, floats()).fitted_
    net = model._plan().net(taken.intake, taken.net.scaling.to("meta"), None)
    assert next(net.parameters()).is_meta
    assert net.probe == (3, tuple(FAMILY[kind] & {"jacobian", "log_ratio"}))


# ---- importance weights


def densities(net, x, clean, draws):
    """log p(x, z) - log q(z | x) of drawn codes, (draws, B), by torch's distributions."""
    code = net.bottleneck(net.encoder, x, draws)
    mean, log_variance = moments(net.encoder, x)
    z = code.z.view(-1, *mean.shape)
    q = Independent(Normal(mean, (0.5 * log_variance).exp()), 1).log_prob(z)
    p = Independent(Normal(torch.zeros_like(mean), 1.0), 1).log_prob(z)
    law = net.likelihood.law(net.decoder(code.z).flatten(1))
    nothing = 0.5 * clean.shape[1] * math.log(2 * math.pi)  # the constant that an nll is without
    return law.log_prob(clean.repeat(len(z), 1)).view(len(z), -1) + nothing + p - q


def weighted():
    """A network in float64 whose posteriors are far from the true ones, and a batch."""
    X = floats(200)
    net = double(fitted(IWAE, X, samples=4, epochs=1, linear=False))
    return net, torch.from_numpy(X[:5]).double()


def test_the_loss_is_minus_the_log_mean_weight():
    net, x = weighted()
    clean = net.scaling(x)
    log_weights = densities(net, clean, clean, seeded())
    assert log_weights.shape == (4, 5)
    expected = math.log(4) - torch.logsumexp(log_weights, 0)
    torch.testing.assert_close(net.loss(Batch(x, x), seeded(), 0), expected)
    nats = net.nats(*shown(net, clean), clean)
    torch.testing.assert_close(nats["iwae"], -expected)
    torch.testing.assert_close(-nats["nll"] - nats["log_ratio"], log_weights.mean(0))


def shown(net, clean):
    """A drawn code and what is decoded from it."""
    code = net.bottleneck(net.encoder, clean, seeded())
    return code, net.decoder(code.z)


def test_the_gradient_is_that_of_the_weights():
    """sum_i w~_i grad log w_i, with the normalised weights w~ (equation 14)."""
    net, x = weighted()
    clean = net.scaling(x)
    weights = list(net.parameters())
    found = torch.autograd.grad(net.loss(Batch(x, x), seeded(), 0).sum(), weights)
    log_weights = densities(net, clean, clean, seeded())
    expected = torch.autograd.grad(-(log_weights.softmax(0).detach() * log_weights).sum(), weights)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def bound(net, x, samples, times=2000):
    """The mean bound over many draws, and its standard error; per sample."""
    net.bottleneck.draws = samples
    rows = x.repeat(times, 1)
    with torch.no_grad():
        losses = net.loss(Batch(rows, rows), seeded(), 0).view(times, -1)
    return -losses.mean(0), losses.std(0) / math.sqrt(times)


def test_the_bound_grows_with_the_draws():
    net, x = weighted()
    (one, first), (few, second), (many, third) = (
        bound(net, x, k, times) for k, times in [(1, 10_000), (5, 10_000), (50, 1000)]
    )
    assert (few - one).mean() > 4 * (first + second).mean()
    assert (many - few).mean() > 4 * (second + third).mean()


def test_of_one_draw_it_is_the_elbo_of_a_vae():
    net, x = weighted()
    mean, log_variance = moments(net.encoder, net.scaling(x))
    q = Normal(mean, (0.5 * log_variance).exp())
    kl = kl_divergence(q, Normal(torch.zeros_like(mean), 1.0)).sum(1)
    found, error = bound(net, x, 1, times=20_000)
    vae = double(fitted(VAE, floats(200), linear=False))
    vae.load_state_dict(net.state_dict())
    elbo, other = bound(vae, x, 1, times=20_000)
    assert ((found - elbo).abs() < 4 * (error + other)).all()
    code = net.bottleneck(net.encoder, net.scaling(x.repeat(20_000, 1)), seeded())
    ratio = code.terms["log_ratio"][1].view(20_000, -1)
    assert ((ratio.mean(0) - kl).abs() < 4 * ratio.std(0) / math.sqrt(20_000)).all()


def test_an_undrawn_code_is_the_mean_with_the_ratio_there():
    net, x = weighted()
    x = net.scaling(x)
    code, (mean, log_variance) = net.bottleneck(net.encoder, x), moments(net.encoder, x)
    torch.testing.assert_close(code.z, mean)
    q, p = Normal(mean, (0.5 * log_variance).exp()), Normal(torch.zeros_like(mean), 1.0)
    expected = (q.log_prob(mean) - p.log_prob(mean)).sum(1)
    torch.testing.assert_close(code.terms["log_ratio"][1], expected)


def test_the_score_is_a_bound_over_eight_draws_alike_for_all_rows():
    X = floats(200)
    model = fitted(IWAE, X, epochs=20, learning_rate=0.01)
    scores = model.score_samples(X)
    np.testing.assert_array_equal(model.score_samples(X[::-1])[::-1], scores)
    net = double(model)
    x = net.scaling(torch.from_numpy(X).double())
    codes = net.bottleneck.probes(net.encoder, x)
    mean, log_variance = moments(net.encoder, x)
    noise = torch.stack([(code.z - mean) / (0.5 * log_variance).exp() for code in codes])
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise))
    torch.testing.assert_close(noise.sum(0), torch.zeros_like(mean), atol=1e-9, rtol=0)
    losses = [
        net.likelihood.nll(net.decoder(code.z), x) + code.terms["log_ratio"][1] for code in codes
    ]
    expected = torch.logsumexp(-torch.stack(losses), 0) - math.log(8)
    np.testing.assert_allclose(scores, expected.detach(), rtol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"latent_dim": None}, "An IWAE needs a latent_dim"),
        ({"code_activation": "relu"}, "An IWAE's code takes no activation"),
        ({"samples": 0}, "samples must be"),
    ],
)
def test_mistakes_are_told(wrong, told):
    with pytest.raises(InputError, match=told):
        fitted(IWAE, floats(), **wrong)
    with pytest.raises(InputError, match="contraction must be"):
        fitted(ContractiveAutoencoder, floats(), contraction=-1.0)


# ---- the whole way


@each
def test_a_file_and_a_checkpoint_keep_every_bit(kind, digits, tmp_path):
    def train(folder=None, checkpoints=Checkpoints):
        model = kind(**SMALL | {"epochs": 3, "validation_fraction": 0.1})
        return model.fit(digits, checkpoint=folder and checkpoints(folder))

    whole = train()
    with pytest.raises(Stop):
        train(tmp_path / "kept", stopping(22, every=4))
    assert state(train(tmp_path / "kept")) == state(whole)
    whole.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors", device="cpu")
    assert type(read) is kind
    assert state(read) == state(whole)
    for use in ("transform", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(read, use)(digits), getattr(whole, use)(digits))


@each
@pytest.mark.parametrize("network", ["dense", pytest.param("conv", marks=pytest.mark.stress)])
def test_metrics_have_its_own_names_and_no_others(kind, network, digits):
    test = evaluate(fitted(kind, digits, network=network), digits)["test"]
    assert set(test) == {"mse", "psnr", "ssim", "nll"} | FAMILY[kind]
    if kind is IWAE:
        assert -test["nll"] - test["log_ratio"] < test["iwae"]


@each
def test_a_run_tells_its_terms_and_the_page_opens_it(kind, tmp_path):
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        f'title = "Small"\n[model]\nkind = "{kind.kind}"\nlatent_dim = 3\nhidden = [8]\n'
        "epochs = 2\nrandom_state = 0\n"
    )
    run = fit(recipe, limit=128, test=FEW[1], out=tmp_path / "run")
    test = json.loads((run / "metrics.json").read_text())["test"]
    assert FAMILY[kind] <= set(test)
    assert not {"kl", "elbo"} & set(test)
    report = (run / "report.html").read_text()
    for name in FAMILY[kind] & {"jacobian", "log_ratio"}:
        assert name.replace("_", " ") in report
    assert "ELBO" not in report
    with TestClient(create_app(Service(tmp_path))) as client:
        assert [m["path"] for m in client.get("/api/models").json()["models"]] == ["run"]
        about = client.get("/api/model?model=run")
        assert about.status_code == 200, about.text
        assert about.json()["prior"] is (kind is IWAE)
        view = client.post("/api/view", json={"model": "run", "sample": 0})
        assert view.status_code == 200, view.text
        assert len(view.json()["code"]) == 3
        law = client.get("/api/new?model=run&n=3").json()["law"]
        assert law.startswith("a mixture") is (kind is ContractiveAutoencoder), law


def test_a_collapse_is_told_without_a_kl_that_there_is_not():
    model = fitted(IWAE, floats(200), scaling="unit", epochs=30)
    found = {finding.name: finding for finding in model.findings_}["posterior collapse"]
    assert found.what == "0 of the 3 numbers of the code are active."
    assert "beta" not in found.fix
    assert "the KL divergence is 0.5 nats" in doctor.collapse(0, 3, 0.5).what


def test_models_are_public_by_being_there():
    assert set(MODELS) <= set(diabolo.__all__)
    assert diabolo.ContractiveAutoencoder is MODELS["ContractiveAutoencoder"]
    assert diabolo.IWAE is MODELS["IWAE"]
