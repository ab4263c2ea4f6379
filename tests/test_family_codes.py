"""VQVAE and AdversarialAutoencoder: against formulas, and as models like every other."""

import io
import json
import math
import pickle

import numpy as np
import pytest
import torch
from conftest import PLAIN, run
from fastapi.testclient import TestClient
from scipy.spatial.distance import cdist
from test_resume import Stop, state, stopping
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from diabolo import doctor, examining, load
from diabolo.codebook import DEAD, DECAY, Codebook
from diabolo.data.source import Batch
from diabolo.errors import InputError
from diabolo.models import MODELS
from diabolo.models.adversarial import AdversarialAutoencoder, AdversarialCode
from diabolo.models.vqvae import VQVAE, QuantisedCode
from diabolo.studio.app import create_app
from diabolo.studio.service import Service
from diabolo.tasks.evaluation import evaluate
from diabolo.train import generator

LEAK = 0.2  # slope of a leaky_relu below 0
SMALL = {"latent_dim": 4, "hidden": (16,), "batch_size": 32, "random_state": 0, "device": "cpu"}
OWN = {"VQVAE": {"codebook_size": 16}, "AdversarialAutoencoder": {}}
NUMBERS = {
    "VQVAE": ["mse", "psnr", "ssim", "nll", "commitment", "codebook_use", "perplexity"],
    "AdversarialAutoencoder": ["mse", "psnr", "ssim", "nll", "adversarial", "critic_accuracy"],
}
RECIPE = """
title = "A small one"
[model]
kind = "{kind}"
latent_dim = 4
hidden = [16]
epochs = 2
[data]
source = "mnist"
"""


def drawn(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def built(code, size, seed=0):
    """A bottleneck in float64, training."""
    code.build((size,), generator(seed, "init"))
    return code.double().train()


# ---- vectors of a codebook


def test_each_part_takes_the_nearest_vector():
    book, z = Codebook(17, 3, generator(0, "init")).double(), 5 + drawn(1500, 6)
    with torch.no_grad():
        book.vectors.add_(5)
    parts = z.reshape(-1, 3)
    nearest = (parts[:, None] - book.vectors).square().sum(2).argmin(1)
    assert torch.equal(book.nearest(z).flatten(), nearest)
    assert torch.equal(book(z), book.vectors[nearest].reshape(1500, 6))
    assert len(nearest.unique()) > 8


def test_products_of_low_precision_do_not_change_what_is_nearest():
    book, z = Codebook(64, 2, generator(0, "init")), drawn(200, 4).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(book.nearest(z), book.nearest(z.double()))
        assert book(z.bfloat16()).dtype == torch.float32


def test_the_gradient_goes_straight_through():
    code = built(QuantisedCode(8, 2, 0.25), 4)
    z, target = drawn(5, 4).requires_grad_(), drawn(5, 4, seed=1)
    found = code(lambda x: z, drawn(5, 9))
    assert found.z is found.mean
    weight, term = found.terms["commitment"]
    quantised = code.codebook(z).detach()
    assert torch.equal(found.z, quantised), "to the bit"
    torch.testing.assert_close(term, (z - quantised).square().sum(1))
    ((found.z - target).pow(4).sum() + weight * term.sum()).backward()
    at = quantised.requires_grad_()
    (straight,) = torch.autograd.grad((at - target).pow(4).sum(), at)
    torch.testing.assert_close(z.grad, straight + 0.25 * 2 * (z - quantised).detach())
    assert not list(code.parameters())


def test_the_codebook_is_a_moving_average():
    """Against appendix A.1, sums and counts apart, as the paper has them."""
    code, draw = built(QuantisedCode(3, 2, 0.25), 4), generator(0, "noise")
    book = code.codebook
    start = torch.tensor([[-3.0, 0.0], [0.0, 3.0], [3.0, 0.0]]).double()
    book.vectors.copy_(start)
    book.counts.fill_(5)
    counts, sums = book.counts.clone(), 5 * start
    for step in range(4):
        z = drawn(20, 4, seed=step) + start[torch.arange(40) % 3].reshape(20, 4)
        parts = z.reshape(-1, 2)
        distances = torch.cdist(parts, sums / counts[:, None])
        nearest = distances.argmin(1)
        for k in range(3):
            counts[k] = DECAY * counts[k] + (1 - DECAY) * (nearest == k).sum()
            sums[k] = DECAY * sums[k] + (1 - DECAY) * parts[nearest == k].sum(0)
        code(lambda x, z=z: z, z, draw)
        code.after_step(draw, step)
        torch.testing.assert_close(book.counts, counts)
        torch.testing.assert_close(book.vectors, sums / counts[:, None])
    assert not torch.equal(book.vectors, start)


def test_dead_vectors_begin_anew_in_the_batch():
    code, draw = built(QuantisedCode(4, 2, 0.25), 2), generator(0, "noise")
    book = code.codebook
    book.vectors.copy_(torch.tensor([[0.0, 0], [1, 1], [90, 90], [91, 91]]))
    book.counts.copy_(torch.tensor([10.0, 10, 10, DEAD * 5]))
    z = 0.1 * drawn(30, 2) + torch.arange(30)[:, None] % 2
    code(lambda x: z, z, draw)
    code.after_step(draw, 0)
    assert torch.equal(book.vectors[2], torch.tensor([90.0, 90]).double()), "not yet dead"
    assert (z == book.vectors[3]).all(1).any(), "one of the codes"
    assert book.counts[3] == book.counts[[0, 1, 2]].sum().add(DECAY * DEAD * 5) / 4
    for step in range(1, 400):
        code(lambda x: z, z, draw)
        code.after_step(draw, step)
    assert book.vectors.abs().max() < 2
    assert code.measures(lambda x: z, z)["codebook_use"] == 1


def test_the_first_batch_gives_the_whole_codebook():
    code, draw = built(QuantisedCode(64, 2, 0.25), 2), generator(0, "noise")
    z = 40 + drawn(128, 2)
    code(lambda x: z, z, draw)
    code.after_step(draw, 0)
    assert (code.codebook.vectors - 40).abs().max() < 6
    assert code.measures(lambda x: z, z)["codebook_use"] > 0.3


def test_only_training_teaches_the_codebook():
    code, z, draw = built(QuantisedCode(4, 2, 0.25), 2), drawn(30, 2), generator(0, "noise")
    code(lambda x: z, z)
    code.eval()(lambda x: z, z, draw)
    assert "seen" not in vars(code)
    code.train()(lambda x: z, z, draw)
    assert torch.equal(vars(code)["seen"][0], z)
    code.after_step(draw, 0)
    assert "seen" not in vars(code)
    assert set(code.state_dict()) == {"codebook.vectors", "codebook.counts"}


def test_use_and_perplexity():
    code = built(QuantisedCode(5, 1, 0.25), 2)
    code.codebook.vectors.copy_(torch.arange(5.0)[:, None])
    z = torch.tensor([[0.1, 0.2], [2.1, 1.9], [4, 0]]).double()
    share = np.array([3, 2, 1]) / 6
    assert code.measures(lambda x: z, z) == {
        "codebook_use": pytest.approx(3 / 5),
        "perplexity": pytest.approx(math.exp(-(share * np.log(share)).sum())),
    }


@pytest.mark.parametrize(("size", "dim"), [(32, 4), (6, 3), (10, 2), (7, 1)])
def test_the_usual_vectors_divide_the_code(size, dim):
    assert built(QuantisedCode(5, None, 0.25), size).codebook.vectors.shape == (5, dim)


def test_vectors_that_do_not_divide_the_code_are_refused(digits):
    message = "code_dim must divide the code's 4 numbers, not be 3."
    with pytest.raises(InputError) as error:
        VQVAE(**SMALL, code_dim=3).fit(digits)
    assert str(error.value) == message


def test_a_collapsed_codebook_is_found(digits):
    assert doctor.codebook_collapse(0.5, 100, 2048) is None
    assert doctor.codebook_collapse(0.01, 10, 40) is None, "few samples cannot use more"
    found = doctor.codebook_collapse(0.01, 3.4, 2048)
    assert found.name == "codebook collapse"
    assert found.what.startswith("1% of the codebook is in use, no more than 3.4 vectors")
    model = VQVAE(**SMALL, epochs=2, codebook_size=64).fit(digits)
    assert "codebook collapse" not in {f.name for f in model.findings_}
    codes = torch.from_numpy(model.transform(digits))
    model.net_.bottleneck.codebook.vectors.add_(50)
    model.net_.bottleneck.codebook.vectors[0] = 0
    rows = model.rows(digits)
    assert examining.of_code(model.net_, Batch(rows, rows), codes).name == "codebook collapse"


def test_vectors_are_used_and_rebuild_digits(digits):
    model = VQVAE(**SMALL | {"latent_dim": 16}, epochs=30, learning_rate=5e-3).fit(digits)
    numbers = evaluate(model, digits)["test"]
    assert numbers["mse"] < 0.7 * digits.var(0).mean() / 255**2
    assert numbers["codebook_use"] > 0.4
    vectors = model.net_.bottleneck.codebook.vectors.numpy()
    codes = model.transform(digits).reshape(-1, 4)
    assert cdist(codes, vectors).min(1).max() == 0


# ---- a critic


def test_both_losses_are_cross_entropies():
    code, draw = built(AdversarialCode(0.5, 0.1), 3), generator(0, "noise")
    z = drawn(20, 3).requires_grad_()
    found = code(lambda x: z, z, draw)
    assert found.z is found.mean is z
    weight, term = found.terms["adversarial"]
    judged = code.critic(z)
    expected = binary_cross_entropy_with_logits(judged, torch.ones(20, 1).double())
    assert weight == 0.5
    assert term.shape == (20,)
    torch.testing.assert_close(term.mean(), expected)
    (gradient,) = torch.autograd.grad(term.mean(), z)
    (wanted,) = torch.autograd.grad(expected, z)
    torch.testing.assert_close(gradient, wanted)
    assert gradient.abs().sum() > 0


def by_hand(weights, z):
    """The critic's log-odds of codes."""
    for number, (w, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        z = z @ w.t() + b
        z = torch.where(z > 0, z, LEAK * z) if number < 2 else z
    return z


def test_the_critic_takes_a_step_of_its_own():
    code, draw = built(AdversarialCode(0.5, 0.25), 3), generator(0, "noise")
    z, same = 1 + drawn(20, 3), generator(0, "noise")
    weights = [p.clone().requires_grad_() for p in code.critic.parameters()]
    torch.testing.assert_close(by_hand(weights, z), code.critic(z))
    true = code.prior().sample(20, same).double()
    loss = binary_cross_entropy_with_logits(by_hand(weights, true), torch.ones(20, 1).double())
    loss += binary_cross_entropy_with_logits(by_hand(weights, z), torch.zeros(20, 1).double())
    loss.backward()
    code(lambda x: z, z, draw)
    code.after_step(draw, 0)
    for weight, after in zip(weights, code.critic.parameters(), strict=True):
        assert weight.grad.abs().sum() > 0
        torch.testing.assert_close(after, (weight - 0.25 * weight.grad).detach())
        assert not after.requires_grad
        assert after.grad is None


def test_the_optimiser_leaves_the_critic_alone(digits, monkeypatch):
    monkeypatch.setattr(AdversarialCode, "after_step", lambda *_: None)
    plain = PLAIN | SMALL
    model = AdversarialAutoencoder(**plain, epochs=2)
    before = model.planned(digits).state_dict()
    first = AdversarialAutoencoder(**plain, epochs=1).fit(digits).net_
    more = model.fit(digits).net_
    names = [name for name in before if "critic" in name]
    assert len(names) == 6
    for name, tensor in more.state_dict().items():
        if name in names:
            assert torch.equal(tensor, first.state_dict()[name]), name
    assert not torch.equal(more.encoder[0].weight, first.encoder[0].weight)
    monkeypatch.undo()
    after = AdversarialAutoencoder(**plain, epochs=2).fit(digits).net_.state_dict()
    assert not any(torch.equal(after[name], more.state_dict()[name]) for name in names)


def test_the_accuracy_of_the_critic():
    code = AdversarialCode(1.0, 0.1)
    code.build((2,), generator(0, "init"))
    z = 30 + drawn(100, 2).float()
    for _ in range(60):
        code.train()(lambda x: z, z, generator(0, "noise"))
        code.after_step(generator(0, "noise"), 0)
    assert code.measures(lambda x: z, z)["critic_accuracy"] > 0.97
    for parameter in code.critic.parameters():
        parameter.zero_()
    code.critic[-1].bias.fill_(1)
    assert code.measures(lambda x: z, z)["critic_accuracy"] == 0.5, "calls all of them draws"


def energy(codes):
    """The energy distance of codes to as many draws of N(0, I) (Székely and Rizzo 2013)."""
    prior = np.random.default_rng(0).normal(size=codes.shape)
    between, own, theirs = cdist(codes, prior), cdist(codes, codes), cdist(prior, prior)
    return 2 * between.mean() - own.mean() - theirs.mean()


def test_the_critic_brings_the_codes_to_the_prior():
    random = np.random.default_rng(0)
    X = (random.normal(size=(600, 2)) @ random.normal(size=(2, 10)) * 2 + 5).astype(np.float32)
    options = PLAIN | SMALL | {"latent_dim": 2, "scaling": "standard", "epochs": 30}
    codes = {
        weight: AdversarialAutoencoder(**options, adversarial=weight).fit(X).transform(X)
        for weight in (0.0, 1.0)
    }
    assert energy(codes[1.0]) < 0.25 * energy(codes[0.0])
    mean, spread = codes[1.0].mean(0), codes[1.0].std(0)
    assert np.abs(mean).max() < 0.5
    assert 0.6 < spread.min() <= spread.max() < 1.5


@pytest.mark.parametrize("wrong", [{"latent_dim": None}, {"code_activation": "relu"}])
def test_a_code_that_cannot_be_normal_is_refused(wrong, digits):
    with pytest.raises(InputError) as error:
        AdversarialAutoencoder(**SMALL | wrong).fit(digits)
    assert str(error.value) == "Codes like N(0, I) need a latent_dim, and no code_activation."


# ---- as models like every other


@pytest.fixture(params=OWN)
def make(request):
    """A maker of small models of a kind."""
    return lambda **more: MODELS[request.param](
        **SMALL | {"epochs": 3} | OWN[request.param] | more
    )


def test_evaluation_has_the_names_of_the_model(make, digits):
    model = make().fit(digits)
    numbers = evaluate(model, digits, digits)
    assert list(numbers["test"]) == NUMBERS[model.kind]
    assert all(math.isfinite(value) for value in numbers["test"].values())
    assert model.loss_unit_ == "nats per sample"
    np.testing.assert_allclose(-model.score(digits), numbers["test"]["nll"], rtol=1e-5)
    term = NUMBERS[model.kind][4]
    expected = numbers["test"]["nll"] + getattr(model, term) * numbers["test"][term]
    x = torch.from_numpy(digits).flatten(1)
    with torch.no_grad():
        loss = model.net_.loss(Batch(x, x), generator(0, "noise"), 0).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_it_is_saved_and_loaded_to_the_bit(make, digits, tmp_path, untouched):
    with untouched():
        model = make().fit(digits)
        model.save(tmp_path / "model.safetensors")
        read = load(tmp_path / "model.safetensors", device="cpu")
    assert state(read) == state(model)
    for use in ("transform", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(read, use)(digits), getattr(model, use)(digits))
    assert evaluate(read, digits) == evaluate(model, digits)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).transform(digits), model.transform(digits)
    )


@pytest.mark.parametrize(("at", "precision"), [(14, "float32"), (3, "bf16")])
def test_an_interrupted_training_goes_on_to_the_bit(make, digits, tmp_path, at, precision):
    options = {"validation_fraction": 0.2, "early_stopping": 3, "precision": precision}
    expected = state(make(**options).fit(digits))
    with pytest.raises(Stop):
        make(**options).fit(digits, checkpoint=stopping(at, every=4)(tmp_path))
    assert state(make(**options).fit(digits, checkpoint=tmp_path)) == expected


def test_a_warm_start_and_a_stream_teach_on_what_is_beside_the_loss(make, digits):
    model = make(warm_start=True).fit(digits)
    before = {name: t.clone() for name, t in model.net_.bottleneck.state_dict().items()}
    first = model.net_
    model.fit(digits)
    model.partial_fit(digits[:64])
    for name, tensor in before.items():
        assert torch.equal(tensor, first.bottleneck.state_dict()[name]), "the net it began with"
        assert not torch.equal(tensor, model.net_.bottleneck.state_dict()[name]), name
    assert len(before) in (2, 6)


def test_an_own_pair_of_modules_will_do(make, digits):
    draw = generator(0, "own")
    pair = nn.Sequential(nn.Flatten(), nn.Linear(784, 6)), nn.Linear(6, 784)
    for part in pair:
        for parameter in part.parameters():
            parameter.data.uniform_(-0.05, 0.05, generator=draw)
    model = make(network=pair).fit(digits)
    assert model.transform(digits).shape == (256, 6)


def test_its_codes_come_from_the_prior_that_it_has(make, digits):
    model = make().fit(digits)
    if model.kind == "VQVAE":
        with pytest.raises(InputError, match="VQVAE has no prior to sample from"):
            model.sample(3)
    else:
        assert model.sample(3, random_state=0).shape == (3, 28, 28)
        assert model.net_.bottleneck.prior().size == 4


@pytest.mark.parametrize("kind", OWN)
def test_a_recipe_makes_a_run_that_the_studio_opens(kind, tmp_path, digits):
    (tmp_path / "small.toml").write_text(RECIPE.format(kind=kind), encoding="utf-8")
    words = ["--limit", 200, "--test", "mnist:test:200", "--out", tmp_path / "run"]
    assert run("fit", tmp_path / "small.toml", *words) == 0
    numbers = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))
    assert list(numbers["test"]) == NUMBERS[kind]
    report = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    term = NUMBERS[kind][4]
    assert term in report
    assert not {"kl", "elbo"} & set(numbers["test"])
    assert run("evaluate", tmp_path / "run") == 0
    fitted = load(tmp_path / "run/model.safetensors")
    with TestClient(create_app(Service(tmp_path)), base_url="http://testserver") as client:
        assert [model["name"] for model in client.get("/api/models").json()["models"]] == ["run"]
        about = client.get("/api/model?model=run").json()
        assert about["kind"] == kind
        stream = io.BytesIO()
        np.save(stream, digits[:5])
        headers = {"content-type": "application/x-npy"}
        answer = client.post(
            "/api/reconstruct", params={"model": "run"}, content=stream.getvalue(), headers=headers
        )
        given = np.load(io.BytesIO(answer.content))
        np.testing.assert_array_equal(given, fitted.reconstruct(digits[:5]))
