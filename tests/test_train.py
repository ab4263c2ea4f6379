"""The training engine: any module with a loss, and the articles' own loops."""

from itertools import chain

import numpy as np
import pytest
import torch
from conftest import PLAIN
from torch import nn

from diabolo import VAE, Autoencoder
from diabolo.data.source import Batch, Rows
from diabolo.errors import InputError
from diabolo.optim import Optimizer
from diabolo.train import Training, generator, losses


class Line(nn.Module):
    """Linear regression, y = w x + b, which is no autoencoder."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        with torch.no_grad():
            self.linear.weight.zero_()
            self.linear.bias.zero_()
        self.calls, self.after = [], []

    def loss(self, batch, generator, step):
        source, target, *_ = batch
        self.calls.append((self.training, len(source), step))
        return (self.linear(source) - target).square().sum(1)

    def learner(self):
        return None

    def after_step(self, generator, step):
        self.after.append(step)


class Labelled:
    """Pairs (x, y), and a record of the rows that were asked for."""

    def __init__(self, n=10):
        draw = torch.Generator().manual_seed(0)
        self.x = torch.randn(n, 3, generator=draw)
        self.y = self.x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 3
        self.taken = []

    def __len__(self):
        return len(self.x)

    def take(self, index):
        self.taken.append(index.tolist())
        return Batch(self.x[index], self.y[index])


class Descent(Optimizer):
    """Gradient descent that remembers its rates."""

    states = 0

    def __init__(self, module):
        super().__init__(module.parameters())
        self.rates = []

    def _move(self, rate, parameters, gradients):
        self.rates.append(rate)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(rate * gradient)


def run(module, source, rate=0.1, **options):
    settings = {"epochs": 1, "batch_size": 4, "learning_rate": rate, "seed": 0}
    return list(Training(module, source, Descent(module), **settings | options))


def test_it_trains_a_module_that_is_no_autoencoder():
    module, source = Line(), Labelled(64)
    epochs = run(module, source, epochs=50, batch_size=8)
    assert len(epochs) == 50
    assert epochs[-1].loss < 1e-6 * epochs[0].loss
    weights = torch.cat([p.detach().flatten() for p in module.parameters()])
    torch.testing.assert_close(weights, torch.tensor([1.0, -2.0, 0.5, 3.0]), rtol=1e-3, atol=1e-3)


def test_each_epoch_takes_every_row_once_in_its_own_order():
    module, source = Line(), Labelled(10)
    run(module, source, epochs=3)
    assert [len(batch) for batch in source.taken] == [4, 4, 2] * 3
    orders = [list(chain(*source.taken[i : i + 3])) for i in (0, 3, 6)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert orders[1] == torch.randperm(10, generator=generator(0, "order", 1)).tolist()
    assert [step for _, _, step in module.calls] == list(range(9))


def test_the_loss_of_an_epoch_weighs_every_sample_alike():
    module, source = Line(), Labelled(10)
    (epoch,) = run(module, source, rate=0.0)
    squares = source.y.square().sum(1)
    assert epoch.loss == pytest.approx(squares.mean().item(), rel=1e-6)
    expected = [squares[batch].mean().item() for batch in source.taken]
    np.testing.assert_allclose(epoch.steps, expected, rtol=1e-6)
    assert epoch.loss != pytest.approx(np.mean(expected), rel=1e-3), "batches differ in size"


def test_drop_last_leaves_out_the_partial_batch():
    module, source = Line(), Labelled(10)
    (epoch,) = run(module, source, rate=0.0, drop_last=True)
    assert [len(batch) for batch in source.taken] == [4, 4]
    seen = source.y[list(chain(*source.taken))].square().mean().item()
    assert epoch.loss == pytest.approx(seen, rel=1e-6)
    assert len(run(Line(), Labelled(8), drop_last=True)[0].steps) == 2


def test_drop_last_that_leaves_nothing_says_so():
    with pytest.raises(InputError, match="10 samples for a batch_size of 11"):
        run(Line(), Labelled(10), batch_size=11, drop_last=True)
    assert len(run(Line(), Labelled(10), batch_size=11)[0].steps) == 1


def test_validation_is_in_eval_mode_and_trains_nothing():
    module, check = Line(), Labelled(7)
    plain, watched = Line(), module
    run(plain, Labelled(10), epochs=2)
    epochs = run(watched, Labelled(10), epochs=2, validation=check)
    assert torch.equal(plain.linear.weight, watched.linear.weight)
    assert [rows for training, rows, _ in module.calls if not training] == [7, 7]
    assert not module.training
    x, y = check.x, check.y
    expected = (module.linear(x) - y).square().mean().item()
    assert epochs[-1].val_loss == pytest.approx(expected, rel=1e-6)
    assert run(Line(), Labelled(10))[0].val_loss is None


def test_the_losses_do_not_depend_on_the_blocks_they_are_taken_in():
    module, source = Line(), Labelled(10)
    for rows in (1, 3, 10, 99):
        found = losses(module, source, generator(0, "check"), rows)
        np.testing.assert_allclose(found, source.y.square().flatten(), rtol=1e-6)


def test_the_divisor_divides_the_step_and_not_the_reported_loss():
    plain, divided, slower = Line(), Line(), Line()
    run(slower, Labelled(10), rate=0.05)
    first = run(plain, Labelled(10), rate=0.1)
    second = run(divided, Labelled(10), rate=0.1, divisor=2.0)
    torch.testing.assert_close(divided.linear.weight, slower.linear.weight)
    assert not torch.allclose(divided.linear.weight, plain.linear.weight)
    assert second[0].steps[0] == first[0].steps[0]


def rates(schedule, **options):
    module = Line()
    optimizer = Descent(module)
    settings = {"epochs": 5, "batch_size": 2, "learning_rate": 0.1, "seed": 0}
    list(Training(module, Labelled(10), optimizer, schedule=schedule, **settings | options))
    return optimizer.rates


def test_the_schedules():
    constant, cosine, cycle = (rates(name) for name in ("constant", "cosine", "one_cycle"))
    assert constant == [0.1] * 25
    t = np.arange(25) / 25
    np.testing.assert_allclose(cosine, 0.05 * (1 + np.cos(np.pi * t)), atol=1e-12)
    rise = np.interp(t, [0, 0.3, 1], [0, 1, 2])  # 1 at the peak
    bottom = np.where(t < 0.3, 0.1 / 25, 0)
    expected = 0.1 + (bottom - 0.1) * (1 + np.cos(np.pi * rise)) / 2
    np.testing.assert_allclose(cycle, expected, atol=1e-12)
    level = np.interp(t, [0, 0.1, 0.8, 1], [0.04, 1, 1, 0])
    np.testing.assert_allclose(rates("trapezoid"), 0.1 * level, atol=1e-12)


def test_a_schedule_spans_the_training_at_hand():
    np.testing.assert_allclose(rates("cosine", first_epoch=3), rates("cosine"), rtol=1e-12)
    assert rates("one_cycle", epochs=1, batch_size=10) == pytest.approx([0.1 / 25])


def test_an_epoch_begun_later_is_that_epoch():
    module, source = Line(), Labelled(10)
    run(module, source, epochs=2)
    halves, again = Line(), Labelled(10)
    run(halves, again)
    run(halves, again, first_epoch=1)
    assert source.taken == again.taken
    assert torch.equal(module.linear.weight, halves.linear.weight)
    assert halves.calls == module.calls


def test_on_step_hears_the_rows_of_each_step():
    heard = []
    run(Line(), Labelled(10), on_step=heard.append)
    assert heard == [4, 4, 2]


def test_generators_differ_by_seed_purpose_and_epoch_and_repeat():
    names = [(s, p, e) for s in (0, 1, 2**63 - 1) for p in ("init", "order") for e in (0, 1)]
    draws = {name: tuple(torch.rand(4, generator=generator(*name)).tolist()) for name in names}
    assert len(set(draws.values())) == len(names)
    for name, numbers in draws.items():
        assert tuple(torch.rand(4, generator=generator(*name)).tolist()) == numbers


def test_generators_do_not_depend_on_the_process():
    """Python's own hash of a text would."""
    assert generator(3, "order", 2).initial_seed() == 2390432545440953140


def test_rows_give_themselves_as_their_target():
    rows = Rows(torch.arange(12, dtype=torch.uint8).reshape(4, 3))
    x, y, given, _ = rows.take(torch.tensor([2, 0]))
    assert given is None
    assert x is y
    assert x.tolist() == [[6, 7, 8], [0, 1, 2]]
    assert len(rows) == 4


# ---- the articles' own loops


def article(X, loss, epochs, epsilon):
    """A plain loop as in the articles: a loss of torch, averaged over the pixels, and Adam.

    The layers are written out, and their weights those that torch draws after `manual_seed`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Linear(784, 16),
            nn.ReLU(),
            nn.Linear(16, 6),
            nn.ReLU(),
            nn.Linear(6, 16),
            nn.ReLU(),
            nn.Linear(16, 784),
            nn.Sigmoid(),
        )
    x = torch.from_numpy(X).flatten(1) / 255
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, eps=epsilon, foreach=False)
    losses = []
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator(0, "order", epoch))
        for batch in x[order].split(32):
            optimizer.zero_grad()
            value = loss(network(batch), batch)
            value.backward()
            optimizer.step()
            losses.append(value.item())
    return network, losses


@pytest.mark.parametrize(
    ("likelihood", "loss", "nats_per_unit"),
    [("gaussian", nn.MSELoss(), 0.5), ("bernoulli", nn.BCELoss(), 1.0)],
)
def test_training_is_the_articles_loop(digits, likelihood, loss, nats_per_unit):
    """The engine's loss is nats per feature, half the mean squared error: epsilon halves too."""
    parameters = PLAIN | {
        "hidden": (16,),
        "latent_dim": 6,
        "code_activation": "relu",
        "init": "torch",
        "likelihood": likelihood,
        "epochs": 2,
        "batch_size": 32,
        "epsilon": 1e-5 * nats_per_unit,
    }
    model = Autoencoder(**parameters, random_state=0, device="cpu").fit(digits[:250])
    network, losses = article(digits[:250], loss, 2, 1e-5)
    np.testing.assert_allclose(model.step_loss_, losses, rtol=1e-5)
    ours = nn.Sequential(model.encoder_, model.decoder_)
    for a, b in zip(ours.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    means = [np.average(losses[i : i + 8], weights=[32] * 7 + [26]) for i in (0, 8)]
    np.testing.assert_allclose(model.history_["loss"], means, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bf16", "tf32"])
@pytest.mark.parametrize("kind", [Autoencoder, VAE])
def test_a_fit_does_not_depend_on_the_users_autocast(digits, kind, precision):
    parameters = {"hidden": (16,), "latent_dim": 6, "epochs": 3, "linear": False}
    model = kind(**parameters, precision=precision, random_state=0)
    alone = model.fit(digits[:250]).history_["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        assert model.fit(digits[:250]).history_["loss"] == alone
    assert alone[-1] < alone[0]


def test_the_articles_loop_is_left_with_another_epsilon(digits):
    network, _ = article(digits[:250], nn.MSELoss(), 1, 1e-5)
    other, _ = article(digits[:250], nn.MSELoss(), 1, 2e-5)
    differences = [
        (a - b).abs().max().item()
        for a, b in zip(network.parameters(), other.parameters(), strict=True)
    ]
    assert max(differences) > 1e-5, "the test above could not tell"
