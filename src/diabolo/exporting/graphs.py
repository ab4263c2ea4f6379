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
from diabolo.tasks import nearby, nets, whole
from diabolo.tasks.anomaly import AnomalyDetector
from diabolo.tasks.denoising import denoise
from diabolo.tasks.nets import Member

SAME = 1e-6  # scores that differ by less, relatively, are one: runtimes round in other ways
GRAPHS = ("model", "encoder", "decoder", "detector")
VERDICT = "anomaly"
TIES = (
    "; of rows that are equally near it takes others, as happens in tables of whole numbers: try"
    " --to torch, or a detector with criterion='near_codes'"
)
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
    only be off by so much, and once, when rounding decides. `instead`: what helps where it is off.
    """

    name: str
    graph: Graph
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    answers: Callable[..., tuple[Tensor, ...]]
    sides: bool = False
    columns: bool = False
    steps: Mapping[str, float] = field(default_factory=dict)
    instead: str = ""


def alone(model: Estimator) -> Estimator:
    """A twin on the CPU, whose network is its own and stays what it is."""
    net = copy.deepcopy(model.net_).cpu().eval()
    return model._with(replace(model.fitted_, net=net))


def uses(model: Estimator, detector: AnomalyDetector | None) -> list[Use]:
    """The graphs of a model that is `alone`, and of a detector that is fitted on it."""
    net, trained = _without_gaps(model), model.net_
    beside = () if net.condition is None else (net.condition.kind,)
    columns = model.image_shape_ is None
    found = [
        Use(
            "model",
            _reconstructs(net),
            ("x", *beside),
            ("y",),
            _in_blocks(trained, trained.reconstruct),
        ),
        Use("encoder", _encodes(net), ("x", *beside), ("z",), _in_blocks(trained, trained.encode)),
        Use(
            "decoder",
            _decodes(net, model),
            ("z", *beside),
            ("y",),
            _in_blocks(trained, trained.decode),
        ),
    ]
    found = [replace(use, columns=columns and use.gives == ("y",)) for use in found]
    if whole.takes_any_size(model) and len(model.sample_shape_) > 1 and not net.fills:
        found[0] = replace(found[0], graph=_cleans(net), answers=_cleaned(model), sides=True)
    return found if detector is None else [*found, _judging(net, model, detector)]


def _without_gaps(model: Estimator) -> Net:
    """The network of a model; of integers, which cannot have gaps, it looks for none."""
    net = copy.copy(model.net_)
    if model.dtype_ != "float32":
        net.corruption = None
    return net


def _reconstructs(net: Net) -> Graph:
    return Graph(net, lambda x, given: net.reconstruct(x.flatten(1), given).reshape(x.shape))


def _encodes(net: Net) -> Graph:
    return Graph(net, lambda x, given: net.encode(x.flatten(1), given))


def _decodes(net: Net, model: Estimator) -> Graph:
    shape = model.sample_shape_
    return Graph(net, lambda z, given: net.decode(z, given).reshape(-1, *shape))


def _cleans(net: Net) -> Graph:
    def clean(x: Tensor, given: Tensor | None) -> Tensor:
        images = x.reshape(x.shape[0], -1, *x.shape[-2:])
        return net.limited(net.whole(images, given)).reshape(x.shape)

    return Graph(net, clean)


def _in_blocks(net: Net, function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """What a method of the network as it was trained gives, as the estimator calls it."""

    def answers(x: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
        told = [given(net, one) for one in beside]
        return (in_blocks(net, function, x.flatten(1), *told),)

    return answers


def _cleaned(model: Estimator) -> Callable[..., tuple[Tensor, ...]]:
    """What `denoise` makes of images of any size, each with the level of its noise."""
    low, high = model.net_.scaling.peak.tolist()

    def answers(x: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
        levels = [b * whole.LEVELS / (high - low) for (b,) in beside[0].tolist()] if beside else []
        each = [denoise(model, image, *levels[i : i + 1]) for i, image in enumerate(x.split(1))]
        return (model.net_.limited(torch.cat(each)),)

    return answers


def _judging(net: Net, model: Estimator, detector: AnomalyDetector) -> Use:
    """The graph of a detector: score, p-value and verdict."""
    criterion = detector.fitted_config_["criterion"]
    first, *others = detector.members_
    held = [first._replace(model=model), *(Member(alone(one), own) for one, own in others)]
    seen = [Member(m._with(replace(m.fitted_, net=_without_gaps(m))), own) for m, own in held]
    score, answer = nets.score(criterion, seen), nets.score(criterion, held)
    calibration = torch.from_numpy(detector.calibration_scores_)
    places = below(calibration)

    def judge(x: Tensor, _: Tensor | None) -> tuple[Tensor, ...]:
        found = score(x.flatten(1))
        near = found + SAME * found.abs()
        p = (1 + places(near)).double() / (len(calibration) + 1)
        return found, p, near < detector.offset_

    def answers(x: Tensor) -> tuple[Tensor, ...]:
        scores = in_blocks(model.net_, answer, x.flatten(1)).numpy()
        found = scores, detector.p_values_of(scores), scores < detector.offset_
        return tuple(torch.from_numpy(np.asarray(one)) for one in found)

    steps = {"p_value": (crowd(calibration) + 0.01) / (len(calibration) + 1)}
    instead = TIES if "plain" in nearby.SPACES.get(criterion, ()) else ""
    graph = Graph(net, judge)
    return Use("detector", graph, ("x",), GIVES, answers, steps=steps, instead=instead)


def crowd(values: Tensor) -> int:
    """How many of sorted `values` a rounding may take a score past: one, or more as they crowd."""
    width = 2 * SAME * values.abs().max()
    ends = torch.searchsorted(values, values + width, right=True)
    return int((ends - torch.arange(len(values))).max())


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
