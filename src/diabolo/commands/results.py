"""What a run leaves in its folder: the recipe that repeats it, its history and its numbers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diabolo.commands.runs import CONFIG, HISTORY, METRICS, Split, condition_of
from diabolo.data.files import atomically, write_csv
from diabolo.recipes import Recipe

if TYPE_CHECKING:
    from diabolo.estimator import Estimator
    from diabolo.tasks.evaluation import Outcome


def write_config(folder: Path, recipe: Recipe) -> None:
    """Write `config.toml`, a recipe that repeats the run."""
    import tomli_w

    origin = {} if recipe.pairs else {"source": recipe.source, "test": recipe.test}
    content = {
        "name": recipe.name,
        "title": recipe.title,
        "article": recipe.article,
        "notes": recipe.notes,
        "start": recipe.start,
        "model": recipe.model,
        "data": {**recipe.data, **origin},
        "report": recipe.report,
    }
    text = tomli_w.dumps({name: value for name, value in content.items() if value})
    write_text(folder / CONFIG, text, lasting=True)


def write_history(folder: Path, history: dict[str, list[Any]]) -> None:
    """Write `history.csv`: a line per epoch."""
    with atomically(folder / HISTORY) as temporary:
        write_csv(temporary, history, zip(*history.values(), strict=True))


def write_metrics(folder: Path, numbers: dict[str, Any]) -> None:
    """Write `metrics.json`."""
    write_json(folder / METRICS, numbers)


def read_metrics(folder: Path) -> dict[str, Any]:
    """The numbers of `metrics.json`; none where it is not there."""
    path = folder / METRICS
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def measure(model: "Estimator", recipe: Recipe, split: Split) -> "tuple[dict[str, Any], Outcome]":
    """The numbers of `metrics.json`, what the run took and how good its model is.

    And what these come from: what the model makes of the test samples.
    """
    from diabolo.tasks import evaluation

    found = evaluation.outcome(
        model,
        split.test.array,
        noisy=split.test.noisy,
        without_clean=recipe.without_clean,
        condition=condition_of(model, split.test),
        window=split.test.window,
        seed=model.seed_,
    )
    test = evaluation.measured(
        model, found, split.learnt, noisy_train=split.noisy, seed=model.seed_
    )
    return costs(model, recipe, len(split.learnt)) | test, found


def costs(model: "Estimator", recipe: Recipe, samples: int) -> dict[str, Any]:
    """What a run was and what it took."""
    seconds, epochs = sum(model.history_["seconds"]), len(model.history_["epoch"])
    method = {"method": "linear"} if model.net_.linear else {}  # see `fitting.Fit.finish`
    return {
        "recipe": recipe.name,
        "seed": model.seed_,
        "epochs": epochs,
        "samples": samples,
        "parameters": sum(p.numel() for p in model.net_.parameters()),
        "seconds": round(seconds, 3),
        "images_per_second": round(samples * epochs / seconds) if seconds else 0,
        "device": str(model.net_.device),
        **method,
    }


def write_json(path: Path, numbers: dict[str, Any]) -> None:
    """Write numbers whole or not at all."""
    write_text(path, json.dumps(numbers, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str, *, lasting: bool = False) -> None:
    """Write a text file whole or not at all; see `atomically`."""
    with atomically(path, lasting=lasting) as temporary:
        temporary.write_text(text, encoding="utf-8")
