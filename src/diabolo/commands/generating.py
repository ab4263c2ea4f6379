"""`diabolo generate`, `interpolate`, `arithmetic` and `traverse`: pictures from codes."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from diabolo import data
from diabolo.arguments import Usage
from diabolo.commands import Force, Image, Model, Told, command, runs
from diabolo.data.files import real
from diabolo.data.samples import IMAGE_SUFFIXES
from diabolo.errors import InputError, complete

if TYPE_CHECKING:
    import numpy as np

    from diabolo.estimator import Estimator

DIMENSIONS = 32  # rows of a traversal
COMPONENTS = 32  # Gaussians of a mixture, or one for twenty samples where these are few
COLUMNS, LINES = 8, 4  # of new samples beside their nearest
UNIT = "in the units of the data"
TESTED = 1000  # test samples whose nearest training samples are looked for

First = Annotated[str, Usage("A"), "one image, such as a.png or mnist:test:3-3"]


@command("create", "diabolo generate runs/vae -n 64 --out grid.png")
def generate(
    model: Model,
    out: Annotated[
        str | Path,
        Usage("--out PATH"),
        "where to, such as grid.png (all in one), digits.npy, or a folder",
    ],
    *,
    n: Annotated[int, Ge(1), Usage("-n N"), "how many"] = 64,
    temperature: Annotated[float, Ge(0), Usage("--temperature T"), "scale of the codes"] = 1.0,
    seed: Annotated[int, Ge(0), "of the codes"] = 0,
    condition: Annotated[
        str | None,
        "label of all samples, or its numbers as 1,2.5; default: the labels in turn",
    ] = None,
    law: Annotated[
        Literal["prior", "gaussian", "mixture"] | None,
        "of the codes: prior, or a gaussian or mixture that is fitted; default: the model's"
        " prior, or a mixture where it has none",
    ] = None,
    components: Annotated[int | None, Ge(1), f"Gaussians in a mixture ({COMPONENTS})"] = None,
    source: Annotated[
        str | None,
        Usage("--data INPUT"),
        "samples to fit the law to; default: those that the run was trained on",
    ] = None,
    save: Annotated[
        str | Path | None, Usage("--save FILE"), "keep the fitted law, to be given as MODEL"
    ] = None,
    nearest: Annotated[
        bool,
        "also draw the nearest training samples, and say whether the new ones are copies",
    ] = False,
    force: Force = False,
) -> Told:
    """New samples from the model's prior, or a law of its codes.

    Writes one picture of all, an array file, or a folder. Codes are drawn from the model's prior
    or, by `law` and where it has none, from a Gaussian or a mixture of them fitted to the codes of
    its training data, or of `source`; `save` keeps that law. `nearest` also writes a picture of
    the nearest training samples, and says whether the new ones are copies. Returns the lines to
    print.
    """
    from diabolo import figures
    from diabolo.report import write_picture
    from diabolo.tasks.sampling import LatentSampler

    places = _places(out, save, nearest=nearest)
    for place in places:
        runs.free_for_result(place, str(model), force=force)
    drawn = _Drawn(Path(model), source)
    lines = drawn.choose(law, components)
    if save is not None and not isinstance(drawn.law, LatentSampler):
        raise InputError("--save keeps a fitted law: give --law mixture or gaussian as well.")
    new = drawn.sample(n, condition, temperature=temperature, random_state=seed)
    beside = _beside(drawn, new) if nearest else None
    _write(places[0], drawn.model, new)
    if isinstance(drawn.law, LatentSampler) and save is not None:
        drawn.law.save(save)
    numbers: dict[str, Any] = {"samples": len(new)}
    if beside is not None:
        rows, sentence, numbers["nearest"] = beside
        write_picture(places[-1], lambda: figures.rows(rows))
        lines.append(sentence)
    files = [*map(str, places)]
    return complete(Told([*lines, *files], **numbers, files=files), drawn.failures)


def _places(out: str | Path, save: str | Path | None, *, nearest: bool) -> list[Path]:
    """Where results go: the samples, the law, and the nearest."""
    places = [Path(out), *([Path(save)] if save is not None else [])]
    if nearest:
        places.append(places[0].with_name(f"{places[0].stem}-nearest.png"))
    if len({real(place) for place in places}) < len(places):
        raise InputError("The samples and their law would be one file: give another --save.")
    if save is not None and places[1].suffix != ".safetensors":
        raise InputError(f"A law goes to a .safetensors file, not {places[1].name!r}.")
    return places


def fitting_components(samples: int) -> int:
    """How many Gaussians a mixture has that is fitted to the codes of so many samples."""
    return max(1, min(COMPONENTS, samples // 20))


class _Drawn:
    """What new samples are drawn from: a model's prior, or a law of its codes."""

    def __init__(self, path: Path, source: str | None) -> None:
        from diabolo.tasks.sampling import LatentSampler

        loaded = runs.opened(path)
        self.path, self.source, self.failures = path, source, list[str]()
        self.model: Estimator = getattr(loaded, "model_", loaded)
        self.law = loaded if isinstance(loaded, LatentSampler) else self.model

    def sample(self, n: int, condition: str | None, **options: Any) -> Any:
        """`n` new samples, of a condition where one is asked for."""
        if condition is None:
            return self.law.sample(n, **options)
        from diabolo.tasks.sampling import LatentSampler

        if isinstance(self.law, LatentSampler):
            raise InputError("--condition goes with the model's prior: give --law prior.")
        kind = getattr(self.model.fitted_.intake.condition, "kind", "")
        value: Any = [condition.split(",")] * n if kind == "values" else condition
        return self.model.sample(n, condition=value, **options)

    def choose(self, law: str | None, components: int | None) -> list[str]:
        """Settle on a law and fit it where it is not; returns the lines that say so."""
        from diabolo.tasks.sampling import LatentSampler

        if isinstance(self.law, LatentSampler):
            if law is not None or components is not None:
                raise InputError(f"{self.path} has its law: leave out --law and --components.")
            return []
        prior = self.model.net_.bottleneck.prior() is not None
        chosen: Any = law or ("prior" if prior and components is None else "mixture")
        if components is not None and chosen != "mixture":
            raise InputError(f"--components are of a mixture: leave them out of a {chosen}.")
        if chosen == "prior":
            if not prior:
                raise InputError(f"{self.path} has no prior: give --law mixture or gaussian.")
            return []
        x = self.train
        count = components or fitting_components(len(x))
        self.law = LatentSampler(self.model, law=chosen, components=count, random_state=0).fit(x)
        gaussians = f"a mixture of {count} Gaussians" if chosen == "mixture" else "a Gaussian"
        which = "its training data" if self.source is None else self.source
        why = "has no prior: codes" if law is None and not prior else "is sampled by codes that"
        return [f"{self.path.name} {why} are drawn from {gaussians} fitted to those of {which}."]

    @cached_property
    def split(self) -> runs.Split | None:
        """The data of the run that the model is from; None for another model."""
        recipe = runs.recipe_beside(self.path)
        if recipe is None:
            return None
        found = runs.load_split(recipe, self.model.seed_)
        self.failures += found.failures
        return found

    @cached_property
    def train(self) -> "np.ndarray":
        """The samples given with --data, or those that the model was trained on."""
        if self.source is not None:
            samples = runs.read_for(self.model, self.source)
            self.failures += samples.failures
            return samples.array
        if self.split is None:
            raise InputError(
                f"{self.path} is in no run folder that knows its training data: give --data INPUT."
            )
        return self.split.train


def _beside(
    drawn: _Drawn, new: "np.ndarray"
) -> "tuple[list[tuple[str, np.ndarray]], str, dict[str, float]]":
    """Rows of new samples and of the nearest training samples, and whether they are copies.

    In words and as numbers.
    """
    import numpy as np

    from diabolo.tasks import sampling

    train = drawn.train
    found = sampling.nearest(new, train)
    columns = min(len(new), COLUMNS)
    pairs = [
        (label, images[start : start + columns])
        for pictures in [(_images(drawn.model, new), _images(drawn.model, train[found.indices]))]
        for start in range(0, min(len(new) // columns, LINES) * columns, columns)
        for label, images in zip(("new", "nearest"), pictures, strict=True)
    ]
    if drawn.source is not None or drawn.split is None:
        middle = float(np.median(found.distances))
        where = f"The nearest sample of {drawn.source} is {middle:.4g} away"
        words = f"{where} (median, Euclidean, {UNIT})."
        return pairs, words, {"samples_median": middle}
    test = sampling.nearest(drawn.split.test.array[:TESTED], train)
    numbers = sampling.compare(found.distances, test.distances)
    return pairs, _copies(numbers), numbers


def _copies(found: dict[str, float]) -> str:
    return (
        f"{found['share_near']:.0%} of the new samples are as near to a training sample as 1% of"
        f" the test samples are; the median distance (Euclidean, {UNIT}) is"
        f" {found['samples_median']:.4g}, and {found['test_median']:.4g} for test samples."
    )


def _write(out: Path, model: "Estimator", new: "np.ndarray") -> None:
    from diabolo import figures
    from diabolo.report import write_picture

    if out.suffix.lower() in IMAGE_SUFFIXES:
        images = _images(model, new)
        write_picture(runs.png(out), lambda: figures.grid(images))
    else:
        data.write(out, new, like=runs.as_samples(model, new))


@command("create", "diabolo interpolate runs/vae a.png b.png --out strip.png")
def interpolate(
    model: Model,
    a: First,
    b: Annotated[str, Usage("B"), "another"],
    out: Annotated[str | Path, Usage("--out PATH"), "where to, such as strip.png"],
    *,
    steps: Annotated[int, Ge(2), "pictures"] = 10,
    spherical: Annotated[bool, "along an arc around the code 0, not a line"] = False,
    force: Force = False,
) -> Path:
    """The way from one image to another, through the codes.

    Writes a strip of pictures from image A to image B, in equal steps of the code.
    """
    from diabolo import figures
    from diabolo.report import write_picture
    from diabolo.tasks import sampling

    out = runs.png(runs.free_for_result(runs.free_for_result(out, a, force=force), b, force=force))
    fitted = runs.load_model(model)
    first, last = (runs.read_one(fitted, source)[0] for source in (a, b))
    between = sampling.interpolate(fitted, first, last, steps, spherical=spherical)
    images = _images(fitted, between)
    write_picture(out, lambda: figures.strip(images))
    return out


@command("create", "diabolo arithmetic runs/vae a.png b.png c.png --out sum.png")
def arithmetic(
    model: Model,
    a: First,
    b: Annotated[str, Usage("B"), "one whose code is taken from that of A"],
    c: Annotated[str, Usage("C"), "one whose code is added to it"],
    out: Annotated[str | Path, Usage("--out PATH"), "where to, such as sum.png"],
    *,
    force: Force = False,
) -> Path:
    """The image whose code is A - B + C, of three images.

    Writes a picture of all four.
    """
    import numpy as np

    from diabolo import figures
    from diabolo.report import write_picture
    from diabolo.tasks import sampling

    for source in (a, b, c):
        place = runs.free_for_result(out, source, force=force)
    fitted = runs.load_model(model)
    samples = [runs.read_one(fitted, source)[0] for source in (a, b, c)]
    result = sampling.combine(fitted, [samples[0], samples[2]], [samples[1]])
    images = _images(fitted, np.stack([*samples, result]))
    captions = ["A", "less B", "plus C", "A - B + C"]
    write_picture(runs.png(place), lambda: figures.neighbours(images, captions))
    return place


@command("create", "diabolo traverse runs/vae photo.png --out grid.png")
def traverse(
    model: Model,
    source: Image,
    out: Annotated[str | Path, Usage("--out PATH"), "where to, such as grid.png"],
    *,
    steps: Annotated[int, Ge(2), "pictures a row"] = 9,
    force: Force = False,
) -> Path:
    """What each number of the code does to an image.

    Writes a picture with a row for each, moved over its range in training. The other dimensions
    stay at the code of the image. Of a code with more than 32 dimensions the 32 whose range is
    widest are shown.
    """
    import numpy as np

    from diabolo import figures
    from diabolo.report import write_picture

    out = runs.png(runs.free_for_result(out, source, force=force))
    fitted = runs.load_model(model)
    z = fitted.transform(runs.read_one(fitted, source))[0]
    low, high = fitted.code_range_
    widest = np.sort(np.argsort(low - high, kind="stable")[:DIMENSIONS])
    codes = np.tile(z, (len(widest), steps, 1))
    for row, k in enumerate(widest):
        codes[row, :, k] = np.linspace(low[k], high[k], steps)
    images = _images(fitted, fitted.inverse_transform(codes.reshape(-1, len(z))))
    rows = images.reshape(len(widest), steps, *images.shape[1:])
    labels = [f"{k}" for k in widest]
    write_picture(out, lambda: figures.traversal(rows, labels))
    return out


def _images(model: "Estimator", X: "np.ndarray") -> "np.ndarray":
    from diabolo.tasks.evaluation import pictured, shown

    if not pictured(model):
        raise InputError("There is no picture of this model's samples: they are no images.")
    return shown(model, X)
