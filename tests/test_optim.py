"""The optimisers against torch.optim's."""

import pytest
import torch
from torch import nn

from diabolo.optim import make_optimizer

THEIRS = {
    "adam": lambda p: torch.optim.Adam(p, eps=1e-6, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, eps=1e-6, weight_decay=0.01, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, momentum=0.9, fused=True),
}
RATES = (0.1, 0.02, 0.3, 0.0, 0.1)


def module():
    """Parameters of several layouts, drawn by a seed of their own."""
    layers = nn.Sequential(nn.Linear(5, 4), nn.Conv2d(2, 3, 3))
    layers.to(memory_format=torch.channels_last)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return layers


def set_gradients(layers, seed):
    draw = torch.Generator().manual_seed(seed)
    for parameter in layers.parameters():
        gradient = torch.empty_like(parameter)
        parameter.grad = gradient.copy_(torch.randn(parameter.shape, generator=draw))


@pytest.mark.parametrize("name", THEIRS)
def test_the_steps_are_torchs_to_the_bit(name):
    ours, theirs = module(), module()
    optimizer, other = make_optimizer(name, ours, 1e-6), THEIRS[name](theirs.parameters())
    for step, rate in enumerate(RATES):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        optimizer.step(rate)
        other.param_groups[0]["lr"] = rate
        other.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)
            assert a.grad is None


@pytest.mark.parametrize("name", THEIRS)
def test_what_is_frozen_or_unused_stays(name):
    layers = module()
    before = [p.detach().clone() for p in layers.parameters()]
    layers[0].bias.requires_grad_(False)
    optimizer = make_optimizer(name, layers, 1e-8)
    set_gradients(layers, 0)
    layers[1].bias.grad = None
    optimizer.step(0.1)
    moved = [not torch.equal(p, old) for p, old in zip(layers.parameters(), before, strict=True)]
    assert moved == [True, False, True, False]


@pytest.mark.parametrize("name", THEIRS)
def test_old_gradients_are_dropped_and_none_are_needed(name):
    layers = module()
    before = [p.detach().clone() for p in layers.parameters()]
    set_gradients(layers, 0)
    optimizer = make_optimizer(name, layers, 1e-8)
    optimizer.step(0.1)
    for parameter, old in zip(layers.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
