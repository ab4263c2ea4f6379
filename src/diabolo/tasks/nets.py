"""The networks of a detector: those that suit the samples, and several of them as one."""

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import torch
from sklearn.base import clone
from torch import Tensor

from diabolo.data.series import Windows
from diabolo.data.source import digest
from diabolo.doctor import DoctorWarning
from diabolo.estimator import Autoencoder, Estimator
from diabolo.fitted import Header
from diabolo.intake import Intake, learn
from diabolo.likelihood import Gaussian
from diabolo.likelihood.mixed import Mixed
from diabolo.networks import takes_images
from diabolo.tasks import criteria, nearby
from diabolo.train import prefixed, under

NET = "net "  # of the tensors of a model beside the first
PLAIN = {
    "linear": False,
    "activation": "relu",
    "batch_size": 128,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "validation_fraction": 0.0,
    "early_stopping": None,
}


class Member(NamedTuple):
    """A fitted model of a detector, and what its score learnt with it."""

    model: Estimator
    learnt: dict[str, Tensor]


def fitted(model: Estimator, count: int, X: Any) -> list[Estimator]:
    """The model, fitted on X, and others like it, each with a seed of its own."""
    found = [model.fit(X)]
    for i in range(1, count):
        other: Estimator = clone(model)
        found.append(other.set_params(random_state=_seed(model, i)).fit(X))
    return found


def _seed(model: Estimator, i: int) -> int:
    """That of the i-th model beside the first."""
    return int((model.seed_ + i) % 2**63)


def score(criterion: str, members: Sequence[Member]) -> Callable[[Tensor], Tensor]:
    """The function from stored values (B, D) to the mean of the members' scores (B,), float64.

    What the columns have to do with it is computed once, where it is alike.
    """
    first, *others = members
    if (
        criterion == "blend"
        and others
        and all(nearby.alike(first.learnt, m.learnt) for m in others)
    ):
        columns = criteria.scores(criterion, *first, ("plain",))
        rest = mean([criteria.scores(criterion, *member, ("code",)) for member in members])
        return lambda x: columns(x) + rest(x)
    return mean([criteria.scores(criterion, *member) for member in members])


def mean(functions: Sequence[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    """The mean of what functions give, summed one by one: alike wherever a sample lies."""
    return lambda x: reduce(torch.add, [each(x) for each in functions]) / len(functions)


def contents(members: Sequence[Member]) -> dict[str, Tensor]:
    """All that `read` needs beside the file of the first model; once, where it is alike in all."""
    first = members[0].learnt
    found = dict(first)
    for i, (model, learnt) in enumerate(members[1:], 1):
        own = {n: t for n, t in learnt.items() if not (n in first and torch.equal(t, first[n]))}
        found |= prefixed(f"{i} ", own) | prefixed(f"{i} {NET}", model.fitted_.contents()[1])
    return found


def read(model: Estimator, p: Any, tensors: dict[str, Tensor]) -> list[Member]:
    """The members of a file, whose first model this is; p are the detector's parameters.

    Raises ValueError, in a sentence, where the tensors are not theirs.
    """
    config = Header(**model.fitted_.contents()[0]).model_dump()
    each = [under(f"{i} ", tensors) for i in range(1, p.nets)]
    others = {f"{i} {name}" for i, own in enumerate(each, 1) for name in own}
    first = {name: tensor for name, tensor in tensors.items() if name not in others}
    members = [Member(model, first)]
    for i, own in enumerate(each, 1):
        seed = _seed(model, i)
        other = copy.copy(model).set_params(random_state=seed)
        other.load_record(config | {"seed": seed}, under(NET, own))
        learnt = first | {n: t for n, t in own.items() if not n.startswith(NET)}
        members.append(Member(other, learnt))
    for member in members:
        criteria.check_learnt(p.criterion, *member)
    return members


def counts(model: Estimator, X: Any) -> tuple[int, int]:
    """How many samples X has, and on how many the model is known to be trained; warns of such."""
    rows = model.rows(X)
    if model.data_.get("sha256") != digest(rows.numpy()):
        return len(rows), 0
    warnings.warn(
        "The model was trained on these samples, so the false-alarm rate is not guaranteed:"
        " fit the detector on others.",
        DoctorWarning,
        stacklevel=3,
    )
    return len(rows), len(rows)


def new(
    model: Estimator | None, X: Any, seed: int, series: Windows | None
) -> tuple[Estimator, int]:
    """The model to fit, seeded, and the number of samples in X, which must suit it."""
    new: Estimator = clone(Autoencoder() if model is None else model)
    if series is not None:
        new.set_params(dimensions=1)
    taken, source = learn(new, X, image_shape=new.image_shape, dimensions=new.dimensions)
    if model is None:
        new.set_params(**_suited(new, taken, len(source)))
    plain = isinstance(new.validated().likelihood, Gaussian)
    if taken.table is not None and plain:  # the samples to learn from may have no gaps
        new.set_params(likelihood=Mixed())
    seeded = new if new.random_state is not None else new.set_params(random_state=seed)
    return seeded, len(source)


def suited(model: Estimator, X: Any) -> dict[str, Any]:
    """The parameters of the model that a detector of samples like X has of its own."""
    taken, source = learn(model, X, image_shape=model.image_shape, dimensions=model.dimensions)
    return _suited(model, taken, len(source))


def _suited(model: Estimator, taken: Intake, count: int) -> dict[str, Any]:
    """Parameters for such samples: passes for a thousand steps, a narrow code for a table.

    A plain network: one that begins at PCA also learns to reconstruct what is odd.
    """
    found: dict[str, Any] = PLAIN | {"epochs": min(max(20, 200_000 // count), 200)}
    images = taken.pooled
    if not takes_images(model.validated().network):
        found["hidden"] = (256, 128) if images else (64, 32)
    if images:
        return found | {"latent_dim": 32}
    code = min(max(taken.features // 3, 1), 32)
    return found | {"scaling": "standard", "latent_dim": code}
