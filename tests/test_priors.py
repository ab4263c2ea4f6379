"""The learnt laws of codes are laws, are what their formulas say, and are kept."""

import numpy as np
import pytest
import torch
from conftest import floats
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from diabolo import VAE, load, priors
from diabolo.errors import InputError
from diabolo.models.iwae import IWAE

LEARNT = ("mixture", "vamp", "flow")
SMALL = {"latent_dim": 3, "hidden": (8,), "epochs": 4, "random_state": 0, "device": "cpu"}


def law(name, size=2):
    """A law whose parameters are all drawn anew."""
    draw = torch.Generator().manual_seed(0)
    found = priors.prior(name, size, (5,), draw)
    with torch.no_grad():
        for parameter in found.parameters():
            spread = 0.1 if name == "flow" else 0.3
            parameter.add_(spread * torch.randn(parameter.shape, generator=draw))
        if name == "vamp":
            found.see(lambda x: x, lambda encoder, x: (x[:, :2], x[:, 2:4] - 1))
            found._seen = None
    return found.requires_grad_(False)


@pytest.mark.parametrize("name", LEARNT)
def test_a_density_adds_up_to_one_and_its_samples_follow_it(name):
    p, side = law(name), torch.linspace(-9, 9, 400)
    grid = torch.cartesian_prod(side, side)
    mass = p.log_prob(grid).exp() * (side[1] - side[0]) ** 2
    assert float(mass.sum()) == pytest.approx(1, abs=1e-3)
    drawn = p.sample(40_000, torch.Generator().manual_seed(1))
    mean, square = (mass[:, None] * grid).sum(0), (mass[:, None] * grid.square()).sum(0)
    assert torch.allclose(drawn.mean(0), mean, atol=0.05)
    assert torch.allclose(drawn.square().mean(0), square, atol=0.1)


def test_the_mixture_is_torchs():
    p, z = law("mixture"), torch.randn(9, 2, generator=torch.Generator().manual_seed(2))
    parts = Independent(Normal(p.means, (0.5 * p.log_variances).exp()), 1)
    expected = MixtureSameFamily(Categorical(logits=p.logits), parts).log_prob(z)
    assert torch.allclose(p.log_prob(z), expected, atol=1e-4)


@pytest.mark.parametrize("kind", [VAE, IWAE])
@pytest.mark.parametrize("name", LEARNT)
def test_a_model_learns_draws_and_keeps_its_prior(name, kind, tmp_path):
    X = floats(60)
    model = kind(**SMALL, prior=name).fit(X)
    law = model.net_.bottleneck.prior()
    begun = priors.prior(name, 3, (6,), torch.Generator().manual_seed(0))
    learnt = [p.abs().sum() for p in law.state_dict().values()]
    assert learnt != [p.abs().sum() for p in begun.state_dict().values()]
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    for use in (lambda m: m.sample(7, random_state=1), lambda m: m.score_samples(X)):
        np.testing.assert_array_equal(use(model), use(again))


def test_mistakes_get_a_sentence():
    with pytest.raises(InputError, match="latent_dim of 2 at least"):
        VAE(**SMALL | {"latent_dim": 1}, prior="flow").fit(floats())
    with pytest.raises(InputError, match="takes no condition"):
        VAE(**SMALL, prior="vamp", condition="labels").fit(floats(), np.arange(40) % 2)
