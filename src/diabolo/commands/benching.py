"""`diabolo bench`: how fast this machine trains, beside its matrix products alone."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from annotated_types import Ge

from diabolo import recipes
from diabolo.arguments import Usage
from diabolo.commands import command, runs

ARTICLES = ("ae-36", "ae-32", "dae-32", "dae-64", "vae-conv")


def _table(rows: Iterator[dict[str, Any]]) -> None:
    """Print each line when it is there."""
    for number, row in enumerate(rows):
        if number == 0:
            print(f"{'recipe':12}  {'samples/s':>10}  {'s an epoch':>10}  {'products':>10}  ratio")
        print(
            f"{row['recipe']:12}  {row['samples_per_second']:10,.0f}  {row['seconds']:10.3f}"
            f"  {row['products']:10.3f}  {row['ratio']:5.2f}",
            flush=True,
        )


@command("measure", "diabolo bench ae-36 --limit 6400", show=_table)
def bench(
    names: Annotated[Sequence[str], Usage("RECIPE"), "default: the articles'"] = (),
    *,
    limit: Annotated[int, Ge(1), "samples"] = 12_800,
    rounds: Annotated[int, Ge(1), "medians of N"] = 3,
) -> Iterator[dict[str, Any]]:
    """How fast this machine trains, beside its matrix products alone.

    Times each recipe (by default the articles') on its first `limit` samples. Gives the medians
    over the rounds: `seconds` of an epoch, `products` (those of its matrix products alone), their
    `ratio`, and `samples_per_second`.
    """
    from statistics import median

    from diabolo.estimator import Estimator
    from diabolo.models import kinds
    from diabolo.params import from_config
    from diabolo.tasks.bench import compare

    plans = [recipes.read(name) for name in names or ARTICLES]
    for plan in plans:
        model = from_config(plan.model, kinds())
        assert isinstance(model, Estimator)
        if plan.patches:
            X = runs.load_split(plan, 0).train[:limit]
        else:
            X = runs.read_source(plan, limit).array
        timing = compare(model, X, rounds=rounds)
        seconds = median(timing.seconds)
        yield {
            "recipe": plan.name,
            "samples_per_second": timing.samples / seconds,
            "seconds": seconds,
            "products": median(timing.floor),
            "ratio": timing.ratio,
        }
