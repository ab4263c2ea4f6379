"""What `diabolo bench` calls the floor: which products, and that both sides are timed."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from diabolo import VAE, Autoencoder
from diabolo.cli import main
from diabolo.data.source import Batch
from diabolo.tasks.bench import _step, compare, floor


def net(kind, shape, **parameters):
    X = np.random.default_rng(0).integers(0, 255, (20, *shape), dtype=np.uint8)
    return kind(epochs=1, device="cpu", random_state=0, **parameters).fit(X).net_


def test_the_products_of_dense_layers_are_those_of_a_step():
    products, others = _step(net(Autoencoder, (12,), hidden=(6,), latent_dim=2, linear=False), 5)
    assert others == 0
    shapes = [(tuple(a.shape), tuple(b.shape), tuple(out.shape)) for a, b, out in products]
    expected = []
    for number, (before, after) in enumerate([(12, 6), (6, 2), (2, 6), (6, 12)]):
        expected += [((5, before), (before, after), (5, after))]
        expected += [((after, 5), (5, before), (after, before))]
        expected += [((5, after), (after, before), (5, before))] if number else []
    assert shapes == expected
    for a, b, out in products:
        torch.mm(a, b, out=out)


def test_a_steps_products_are_as_many_multiplications_as_torch_counts():
    """Against torch's own counter, for the article's convolutional VAE."""
    from torch.utils.flop_counter import FlopCounterMode

    module = net(VAE, (28, 28), network="conv", hidden=(32, 64), latent_dim=16)
    products, others = _step(module, 4)
    dense = sum(a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in products)
    x = torch.rand(4, 784)
    with FlopCounterMode(display=False) as counter:
        module.loss(Batch(x, x), torch.Generator(), 0).sum().backward()
    assert 2 * (dense + others) == counter.get_total_flops()


def test_both_sides_of_each_round_are_timed(digits):
    model = Autoencoder(hidden=(64,), latent_dim=8, batch_size=64, validation_fraction=0.1)
    timing = compare(model, digits, rounds=2)
    assert timing.samples == len(digits)
    assert len(timing.seconds) == len(timing.floor) == 2
    assert min(timing.seconds + timing.floor) > 0
    pairs = zip(timing.seconds, timing.floor, strict=True)
    assert timing.ratio == pytest.approx(np.median([whole / part for whole, part in pairs]))
    assert not hasattr(model, "net_")


def test_the_floor_is_of_every_step():
    module = net(Autoencoder, (28, 28), hidden=(512,))
    assert floor(module, 64, 64 * 100) > 10 * floor(module, 64, 64)


def test_the_last_step_counts_as_small_as_it_is(monkeypatch):
    counted = []
    monkeypatch.setattr(
        "diabolo.tasks.bench._multiply", lambda products: counted.append(len(products[0][0]))
    )
    module = net(Autoencoder, (12,), hidden=(6,))
    floor(module, 8, 8 * 3 + 5)
    assert sorted(counted) == [5, 5, 8, 8, 8, 8], "each once more, before the clock starts"
    counted.clear()
    floor(module, 8, 5)
    assert set(counted) == {5}


def test_own_convolutions_count():
    pair = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten()), nn.Linear(3 * 4 * 4, 36)
    products, others = _step(net(Autoencoder, (6, 6), network=pair), 2)
    assert others == 2 * 2 * (3 * 4 * 4 * 9)
    assert len(products) == 3


def test_the_command_prints_a_line_a_recipe_or_json(capsys):
    words = ["bench", "ae-36", "dae-32", "--limit", "512", "--rounds", "1"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["recipe", "ae-36", "dae-32"]
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["recipe"] for row in rows] == ["ae-36", "dae-32"]
    for row in rows:
        assert row["samples_per_second"] == pytest.approx(512 / row["seconds"])
        assert row["ratio"] == pytest.approx(row["seconds"] / row["products"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ae36"], "did you mean 'ae-36'"),
        (["--limit", "0"], "at least 1"),
        (["--rounds", "0"], "at least 1"),
    ],
)
def test_mistakes_are_said_before_anything_is_timed(words, sentence, capsys):
    assert main(["bench", *words]) == 2
    output = capsys.readouterr()
    assert sentence in output.err
    assert len(output.err.splitlines()) == 1
    assert not output.out
