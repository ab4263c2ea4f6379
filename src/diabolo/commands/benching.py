"""`diabolo bench`: how fast this machine trains, beside its matrix products alone."""

import statistics
from collections.abc import Iterator
from typing import Any

from diabolo import data, recipes
from diabolo.commands import runs
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.models import MODELS
from diabolo.params import from_config
from diabolo.tasks.bench import compare

ARTICLES = ("ae-36", "ae-32", "dae-32", "dae-64", "vae-conv")


def bench(names: list[str], *, limit: int = 12_800, rounds: int = 3) -> Iterator[dict[str, Any]]:
    """Time each recipe (by default the articles') on its first `limit` samples.

    Gives the medians over the rounds: `seconds` of an epoch, `products` (those of its matrix
    products alone), their `ratio`, and `samples_per_second`.
    """
    if limit < 1 or rounds < 1:
        raise InputError("limit and rounds must be at least 1.")
    plans = [recipes.read(name) for name in names or ARTICLES]
    for plan in plans:
        model = from_config(plan.model, MODELS)
        assert isinstance(model, Estimator)
        X = runs.load_split(plan, 0).train if plan.patches else data.read(plan.source).array
        timing = compare(model, X[:limit], rounds=rounds)
        seconds = statistics.median(timing.seconds)
        yield {
            "recipe": plan.name,
            "samples_per_second": timing.samples / seconds,
            "seconds": seconds,
            "products": statistics.median(timing.floor),
            "ratio": timing.ratio,
        }
