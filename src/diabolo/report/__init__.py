"""A run folder's pictures and its page: every figure, and what the run was, in one file."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from diabolo import figures, measures
from diabolo.data import Samples, atomically
from diabolo.doctor import Finding, found, worse_than_linear
from diabolo.estimator import Estimator
from diabolo.params import Parameters
from diabolo.recipes import Recipe
from diabolo.report.pictures import Picture, gallery, loss
from diabolo.report.words import described, story, tested, verdict
from diabolo.tasks.evaluation import Outcome

__all__ = ["draw_loss", "verdict", "write", "write_picture"]


def write(
    folder: Path,
    model: Estimator,
    recipe: Recipe,
    numbers: dict[str, Any],
    test: Samples,
    *,
    outcome: Outcome,
) -> Path:
    """Draw all figures into `folder/figures` and write `folder/report.html`; its path.

    `outcome` is what the model makes of the samples in `test`.
    """
    with figures.theme():
        pictures = [
            _drawn(folder, picture) for picture in gallery(model, recipe, numbers, test, outcome)
        ]
    write_page(
        folder / "report.html",
        "page.html",
        name=recipe.name,
        recipe=recipe,
        story=story(model, recipe, numbers, tested(model, recipe, numbers, len(test.array))),
        verdict=verdict(numbers, model.net_),
        findings=_findings(model, numbers),
        test=measures.named(numbers["test"], outcome.nats),
        linear=measures.named(numbers.get("linear", {})),
        evaluation=measures.tables(numbers),
        pictures=pictures,
        table=model.summary(),
        parameters=_parameters(model),
    )
    return folder / "report.html"


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write a page of a template in this folder."""
    room = Environment(
        loader=PackageLoader("diabolo.report", "."), autoescape=True, trim_blocks=True
    )
    with atomically(path) as temporary:
        temporary.write_text(room.get_template(template).render(**values), encoding="utf-8")


def _drawn(folder: Path, picture: Picture) -> dict[str, str]:
    """Write a picture's file; what the page needs of it, with all its bytes."""
    png = figures.to_png(picture.figure)
    _write_bytes(folder / "figures" / f"{picture.name}.png", png)
    return embedded(picture, png)


def embedded(picture: Picture, png: bytes | None = None) -> dict[str, str]:
    """What a page needs of a picture, with all its bytes."""
    content = figures.to_png(picture.figure) if png is None else png
    source = "data:image/png;base64," + base64.b64encode(content).decode()
    words = {"heading": picture.heading, "caption": picture.caption}
    return {"name": picture.name, **words, "source": source}


def _findings(model: Estimator, numbers: dict[str, Any]) -> list[Finding]:
    """What was wrong with the training, and with its result on the test samples."""
    judged = {"worse than linear"} if "linear" in numbers else set()
    training = [finding for finding in model.findings_ if finding.name not in judged]
    return [*training, *found(worse_than_linear(numbers))]


def _parameters(model: Estimator) -> dict[str, str]:
    """The hyperparameters as one reads them."""
    values = {p.name: getattr(model, p.name) for p in model.declared() if p.name != "verbose"}
    return {
        name: described(value) if isinstance(value, Parameters) else str(value).lower()
        for name, value in values.items()
    }


def draw_loss(folder: Path, model: Estimator) -> None:
    """Draw the loss so far into `folder/loss.png`."""
    write_picture(folder / "loss.png", lambda: loss(model))


def write_picture(path: Path, draw: Callable[[], Figure]) -> None:
    """Draw a figure into a PNG file, whole or not at all."""
    with figures.theme():
        _write_bytes(path, figures.to_png(draw()))


def _write_bytes(path: Path, content: bytes) -> None:
    with atomically(path) as temporary:
        temporary.write_bytes(content)
