"""The graphs of a fitted model: modules that take raw values and give raw values.

What they take and give is flat stored values (B, D) in the shape of samples, codes (B, K), and
beside them a condition (B, M): the level of the noise in the units of the samples, or the numbers
that `Condition.encode` gives, NaN where none is given.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from diabolo.estimator import Estimator
from diabolo.infer import in_blocks
from diabolo.net import Net
from diabolo.tasks import criteria, whole
from diabolo.tasks.anomaly import AnomalyDetector
from diabolo.tasks.denoising import denoise

SAME = 1e-6  # scores that differ by less, relatively, are one: runtimes round in other ways
GRAPHS = ("model", "encoder", "decoder", "detector")
VERDICT = "anomaly"
GIVES = ("score", "p_value", VERDICT)
Function = Callable[..., Tensor | tuple[Tensor, ...]]  # of a batch and its conditions


class Graph(nn.Module):
    """A function of a net as a module: (B, ...) and raw conditions (B, M), where it takes some."""

    def __init__(self, net: Net, function: Function) -> None:
        super().__init__()
        self.net, self.function = net, function

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        return self.function(x, None if beside is None else given(self.net, beside))


def given(net: Net, beside: Tensor) -> Tensor:
    """Conditions (B, M) as a net takes them, of raw ones."""
    assert net.condition is not None
    if net.condition.drawn:
        return beside / net.scaling.scale
    return torch.where(beside.isnan(), net.get_buffer("usual"), beside)


@dataclass(frozen=True)
class Use:
    """A graph, the names of what it takes and gives, and what it must give.

    `answers` are those of the model as it was trained. `sides`: height and width may be any.
    `columns`: what it gives are those of a table, each with a range of its own. `steps`: what can
    only be off by so much, and once, when rounding decides.
    """

    name: str
    graph: Graph
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    answers: Callable[..., tuple[Tensor, ...]]
    sides: bool = False
    columns: bool = False
    steps: Mapping[str, float] = field(default_factory=dict)


def alone(model: Estimator) -> Estimator:
    """A twin on the CPU, whose network is its own and stays what it is."""
    net = copy.deepcopy(model.net_).cpu().eval()
    return model._with(replace(model.fitted_, net=net))


def uses(model: Estimator, detector: AnomalyDetector | None) -> list[Use]:
    """The graphs of a model that is `alone`, and of a detector that is fitted on it."""
    net, shape = copy.copy(model.net_), model.sample_shape_
    if model.dtype_ != "float32":
        net.corruption = None  # whose gaps integers cannot have
    condition = () if net.condition is None else (net.condition.kind,)
    columns = model.image_shape_ is None
    sides = whole.takes_any_size(model) and len(shape) > 1 and not net.fills

    def decode(z: Tensor, given: Tensor | None) -> Tensor:
        return net.decode(z, given).reshape(-1, *shape)

    def encode(x: Tensor, given: Tensor | None) -> Tensor:
        return net.encode(x.flatten(1), given)

    def reconstruct(x: Tensor, given: Tensor | None) -> Tensor:
        return net.reconstruct(x.flatten(1), given).reshape(x.shape)

    def clean(x: Tensor, given: Tensor | None) -> Tensor:
        images = x.reshape(x.shape[0], -1, *x.shape[-2:])
        return limited(net, net.whole(images, given)).reshape(x.shape)

    def as_trained(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, ...]]:
        def answers(x: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
            told = [given(model.net_, one) for one in beside]
            return (in_blocks(model.net_, function, x.flatten(1), *told),)

        return answers

    trained = model.net_
    found = [
        Use(
            "model",
            Graph(net, clean if sides else reconstruct),
            ("x", *condition),
            ("y",),
            _cleaned(model) if sides else as_trained(trained.reconstruct),
            sides,
            columns,
        ),
        Use("encoder", Graph(net, encode), ("x", *condition), ("z",), as_trained(trained.encode)),
        Use(
            "decoder",
            Graph(net, decode),
            ("z", *condition),
            ("y",),
            as_trained(trained.decode),
            columns=columns,
        ),
    ]
    return found if detector is None else [*found, _judging(net, model, detector)]


def limited(net: Net, values: Tensor) -> Tensor:
    """Stored values clipped to the range that they have."""
    return values if net.limits is None else values.clamp(*net.limits)


def _cleaned(model: Estimator) -> Callable[..., tuple[Tensor, ...]]:
    """What `denoise` makes of images of any size, each with the level of its noise."""
    low, high = model.net_.scaling.peak.tolist()

    def answers(x: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
        levels = [b * whole.LEVELS / (high - low) for (b,) in beside[0].tolist()] if beside else []
        each = [denoise(model, image, *levels[i : i + 1]) for i, image in enumerate(x.split(1))]
        return (limited(model.net_, torch.cat(each)),)

    return answers


def _judging(net: Net, model: Estimator, detector: AnomalyDetector) -> Use:
    """The graph of a detector: score, p-value and verdict."""
    criterion = detector.fitted_config_["criterion"]
    seen = model._with(replace(model.fitted_, net=net))
    score, held = (criteria.scores(criterion, one, detector._reference) for one in (seen, model))
    calibration = torch.from_numpy(detector.calibration_scores_)
    places = below(calibration)

    def judge(x: Tensor, _: Tensor | None) -> tuple[Tensor, ...]:
        found = score(x.flatten(1))
        near = found + SAME * found.abs()
        p = (1 + places(near)).double() / (len(calibration) + 1)
        return found, p, near < detector.offset_

    def answers(x: Tensor) -> tuple[Tensor, ...]:
        scores = in_blocks(model.net_, held, x.flatten(1)).numpy()
        found = scores, detector.p_values_of(scores), scores < detector.offset_
        return tuple(torch.from_numpy(np.asarray(one)) for one in found)

    steps = {"p_value": 1.01 / (len(calibration) + 1)}
    return Use("detector", Graph(net, judge), ("x",), GIVES, answers, steps=steps)


def below(values: Tensor) -> Callable[[Tensor], Tensor]:
    """How many of sorted `values` are at most x, as a function (B,) -> (B,) for any runtime.

    By halving: a table of length 2^k - 1, what is missing infinite.
    """
    steps = [1 << k for k in reversed(range(len(values).bit_length()))]
    missing = 2 * steps[0] - 1 - len(values)
    table = torch.cat([values, values.new_full((missing,), math.inf)])

    def count(x: Tensor) -> Tensor:
        found = torch.zeros_like(x, dtype=torch.long)
        for step in steps:
            found = torch.where(table[found + (step - 1)] <= x, found + step, found)
        return found

    return count
