"""Codes of finite levels and of several codebooks, against their definitions."""

import numpy as np
import pytest
import torch
from conftest import SMALL, floats

from diabolo import FSQ, VQVAE, ResidualVQVAE, autoregressive, load
from diabolo.autoregressive import Autoregressive
from diabolo.codebook import Codebook
from diabolo.data.source import Batch
from diabolo.errors import InputError
from diabolo.models.fsq import FiniteCode, Rounding
from diabolo.models.rvq import ResidualCode
from diabolo.optim import Adam
from diabolo.tasks.evaluation import evaluate
from diabolo.train import generator


@pytest.mark.parametrize("levels", [(2,), (3,), (8, 5, 5), (7, 4)])
def test_every_level_is_reached_and_numbered(levels):
    rounding = Rounding(levels, 2 * len(levels))
    y = 2 * torch.rand(20_000, 2 * len(levels), generator=generator(0, "y")) - 1
    y = (3 * (0.999 * y).atanh()).requires_grad_()
    z = rounding(y)
    for column, level in zip(z.detach().t(), levels * 2, strict=True):
        found = (column * (level // 2)).unique()
        expected = torch.arange(level) - level // 2
        torch.testing.assert_close(found, expected.float())
    numbers = rounding.numbers(z.detach())
    assert numbers.shape == (20_000, 2)
    assert set(numbers.flatten().tolist()) == set(range(int(np.prod(levels))))
    same = numbers[:, 0][:, None] == numbers[:200, 0]
    alike = (z[:, None, : len(levels)] == z[:200, : len(levels)]).all(2)
    assert torch.equal(same, alike)
    (gradient,) = torch.autograd.grad(z.sum(), y)
    assert (gradient >= 0).all()
    assert gradient.abs().sum() > 0


def test_a_level_begins_half_way_to_the_next():
    """Of odd levels, where nothing is shifted: 5 levels change at tanh(y) 2.002 = +-.5, +-1.5."""
    rounding = Rounding((5,), 1)
    for edge in (0.5, 1.5):
        y = torch.tensor([edge / 2.002]).atanh()
        below, above = (float(rounding((y + d)[None])) for d in (-1e-3, 1e-3))
        assert (below, above) == ((edge - 0.5) / 2, (edge + 0.5) / 2)


def test_the_parts_of_a_feature_map_are_its_pixels():
    code = FiniteCode((4, 3))
    code.build((3 * 3 * 2,), None)
    y = torch.zeros(1, 3, 3, 2)
    y[0, 1, 2] = 5
    numbers = code.rounding.numbers(code.rounding(y.flatten(1)))[0]
    assert (numbers != numbers[0]).nonzero().flatten().tolist() == [5]


def test_each_codebook_quantises_what_the_last_leaves_over():
    code = ResidualCode(3, 4, 2, 0.25)
    code.build((4,), generator(0, "init"))
    z = torch.randn(30, 4, generator=generator(1, "z")).requires_grad_()
    rest, total = z.detach().view(-1, 2), 0
    for book in code.codebook.books:
        nearest = book.vectors[torch.cdist(rest, book.vectors).argmin(1)]
        rest, total = rest - nearest, total + nearest
    found = code(lambda x: z, z)
    torch.testing.assert_close(found.z, total.view(30, 4))
    (gradient,) = torch.autograd.grad(found.z.sum(), z)
    torch.testing.assert_close(gradient, torch.ones_like(z))


def test_more_codebooks_rebuild_better_and_are_used(digits):
    small = SMALL | {"latent_dim": 8, "epochs": 12, "learning_rate": 5e-3}
    numbers = [
        evaluate(ResidualVQVAE(**small, depth=d, codebook_size=16).fit(digits), digits)["test"]
        for d in (1, 4)
    ]
    assert numbers[1]["mse"] < 0.9 * numbers[0]["mse"]
    assert numbers[1]["codebook_use"] > 0.8
    one = VQVAE(**small, codebook_size=16).fit(digits)
    assert evaluate(one, digits)["test"]["mse"] == numbers[0]["mse"], "of one it is a VQ-VAE"
    finite = FSQ(**small, levels=(5, 4)).fit(digits)
    found = evaluate(finite, digits)["test"]
    assert found["codebook_use"] > 0.8
    assert found["mse"] < 0.8 * digits.var(0).mean() / 255**2


@pytest.mark.parametrize("kind", [VQVAE, ResidualVQVAE])
def test_a_step_of_training_searches_each_codebook_once(kind, monkeypatch):
    searched, nearest = [], Codebook.nearest
    monkeypatch.setattr(Codebook, "nearest", lambda *given: searched.append(1) or nearest(*given))
    model = kind(**SMALL | {"latent_dim": 4}, prior="autoregressive", codebook_size=6).fit(
        floats()
    )
    net, rows = model.net_.train(), model.rows(floats())
    searched.clear()
    net.loss(Batch(rows, rows), generator(0, "noise"), 0)
    net.after_step(generator(0, "noise"), 0)
    assert len(searched) == (4 if kind is ResidualVQVAE else 1)


@pytest.mark.parametrize("kind", [FSQ, ResidualVQVAE])
def test_it_is_loaded_to_the_bit(kind, tmp_path):
    model = kind(**SMALL | {"latent_dim": 8}).fit(floats())
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(read.transform(floats()), model.transform(floats()))
    np.testing.assert_array_equal(read.reconstruct(floats()), model.reconstruct(floats()))


def test_codes_that_the_levels_do_not_divide_are_refused():
    with pytest.raises(InputError, match="must be a multiple of the 4 levels"):
        FSQ(**SMALL, levels=(8, 5, 5, 5)).fit(floats())
    with pytest.raises(InputError, match="levels must be"):
        FSQ(levels=(1, 3)).fit(floats())
    with pytest.raises(InputError, match="leave code_activation out"):
        FSQ(code_activation="relu").fit(floats())


@pytest.mark.parametrize("kind", [VQVAE, FSQ, ResidualVQVAE])
def test_a_place_of_a_map_has_its_own_numbers(kind, digits, tmp_path):
    """What is far from a place does not change its part of the code, nor that what is there."""
    small = SMALL | {"latent_dim": "auto", "hidden": (3, 4), "epochs": 1, "network": "conv-map"}
    model = kind(**small).fit(digits)
    assert model.code_size_ == 7 * 7 * 4
    bottom = digits.copy()
    bottom[:, 14:] = 0
    parts = [model.transform(x).reshape(-1, 7, 7, 4) for x in (digits, bottom)]
    np.testing.assert_array_equal(parts[0][:, :3], parts[1][:, :3])
    assert (parts[0][:, 4:] != parts[1][:, 4:]).any()
    codes = parts[0].copy()
    codes[:, 4:] = 0
    given = [model.inverse_transform(code.reshape(256, -1)) for code in (parts[0], codes)]
    np.testing.assert_array_equal(given[0][:, :8], given[1][:, :8])
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(read.reconstruct(digits), model.reconstruct(digits))
    with pytest.raises(InputError, match="a code that is a vector: use conv"):
        kind(**small, condition="labels").fit(digits, np.arange(256) % 3)


@pytest.mark.parametrize("kind", [VQVAE, FSQ, ResidualVQVAE])
def test_a_prior_is_learnt_drawn_from_and_kept(kind, tmp_path):
    small = {"latent_dim": 4, "epochs": 3, "prior": "autoregressive"}
    parts = {VQVAE: {"code_dim": 2}, FSQ: {"levels": (3, 2)}, ResidualVQVAE: {"depth": 2}}
    small |= parts[kind] | ({} if kind is FSQ else {"codebook_size": 6})
    model = kind(**SMALL | small).fit(floats())
    law, z = model.net_.bottleneck.prior(), torch.from_numpy(model.transform(floats()))
    if kind is not ResidualVQVAE:  # there a sum may have other parts
        torch.testing.assert_close(law.codes(law.numbers(z)), z)
    with torch.no_grad():
        every = torch.cartesian_prod(torch.arange(6), torch.arange(6))
        chosen = law.logits(every).log_softmax(2).gather(2, every[..., None])
    assert float(chosen.sum((1, 2)).logsumexp(0)) == pytest.approx(0, abs=1e-5)
    new = model.sample(6, random_state=0)
    assert new.shape == (6, *floats().shape[1:])
    assert not np.allclose(new[0], new[1:])
    coldest = model.sample(3, temperature=0, random_state=1)
    np.testing.assert_allclose(coldest[1:], coldest[:1].repeat(2, 0), rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(read.sample(6, random_state=0), new)


def test_a_prior_finds_what_follows_what(monkeypatch):
    """The second number is the first and one more, the first any of four."""
    monkeypatch.setattr(autoregressive, "UNITS", 128)
    draw = torch.Generator().manual_seed(0)
    law = Autoregressive(2, 5, lambda z: z.long(), lambda n: n.float(), draw)
    first = torch.arange(32)[:, None] % 4
    data = torch.cat([first, first + 1], 1).float()
    optimizer = Adam(law.parameters())
    for _ in range(150):
        loss = -law.log_prob(data).mean()
        loss.backward()
        optimizer.step(0.03)
    assert loss.item() == pytest.approx(np.log(4), abs=0.05)
    new = law.sample(400, draw)
    assert (new[:, 1] == new[:, 0] + 1).float().mean() > 0.97
    assert new[:, 0].long().bincount(minlength=4)[:4].min() > 60
    by_second = law.logits(torch.tensor([[1, 2], [1, 4]]))
    assert by_second[0].equal(by_second[1]), "no place sees itself or those behind"
