"""`diabolo reconstruct`, `encode` and `decode`: a model used on files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from diabolo import data
from diabolo.arguments import Usage
from diabolo.commands import Engine, Force, Input, Model, command, runs
from diabolo.errors import InputError, complete

if TYPE_CHECKING:
    import numpy as np

    from diabolo.estimator import Estimator

SHOWN, SIGNALS = 10, 6  # samples in the picture of input and output

Out = Annotated[
    str | Path, Usage("--out PATH"), "where to, such as a file or folder of the kind of INPUT"
]
Fill = Annotated[bool, "fill the gaps of a table in, and change nothing else"]
Corrupt = Annotated[bool, "first corrupt as in training"]
CorruptionSeed = Annotated[int, Ge(0), "of the corruption"]


@command("use", "diabolo reconstruct runs/ae photos/ --out reconstructed/")
def reconstruct(
    model: Model,
    source: Input,
    out: Out,
    *,
    fill: Fill = False,
    corrupt: Corrupt = False,
    seed: CorruptionSeed = 0,
    force: Force = False,
) -> list[Path]:
    """Encode and decode images or rows; fill in a table's gaps.

    Writes the reconstructions of INPUT, in its form, and for images a picture of both.
    `fill`: writes INPUT as it is, but for its gaps. `corrupt`: first corrupted as in training, by
    the seed. Returns the paths. Raises `InputError` for a mistake, before anything is written, and
    `IncompleteError` after the work if some files were bad.
    """
    from diabolo.tasks import whole

    if fill and corrupt:
        raise InputError("Give --fill or --corrupt, not both.")
    loaded = runs.load_model(model)
    check_corrupt(loaded, model, corrupt=corrupt)
    if whole.takes_any_size(loaded) and loaded.corruption is not None:
        runs.tell([f"To clean images at their own size: diabolo denoise {model} INPUT."])
    return reconstruct_by(loaded, source, out, fill=fill, corrupt=corrupt, seed=seed, force=force)


def reconstruct_by(
    fitted: "Estimator",
    source: str,
    path: str | Path,
    *,
    fill: bool = False,
    corrupt: bool,
    seed: int,
    engine: str | None = None,
    force: bool,
) -> list[Path]:
    """As `reconstruct`, by a model that is loaded, and by an engine."""
    from diabolo.engines import over
    from diabolo.tasks.evaluation import pictured

    out = runs.free_for_result(path, source, force=force)
    picture = runs.free_to_write(out.with_name(f"{out.name}-comparison.png"), force=force)
    samples = runs.read_for(fitted, source)
    runs.tell_unlike(fitted, samples)
    clean = samples.array
    seen = fitted.corrupt(clean, random_state=seed) if corrupt else clean
    use = fitted.fill if fill else fitted.reconstruct
    output = over(use, seen, engine, condition=runs.condition_of(fitted, samples))
    data.write(out, output, like=samples)
    written = [out]
    if pictured(fitted):
        rows = {"original": clean, "corrupted": seen} if corrupt else {"input": seen}
        _draw_comparison(fitted, rows | {"output": output}, picture)
        written.append(picture)
    elif fitted.image_shape_ is None and len(fitted.grid_ or ()) == 2:
        _draw_signals(fitted, {"input": seen, "output": output}, samples, picture)
        written.append(picture)
    return complete(written, samples.failures)


@command("use", "diabolo encode runs/ae photos/ --out codes.csv")
def encode(
    model: Model,
    source: Input,
    out: Annotated[
        str | Path,
        Usage("--out PATH"),
        "where to, such as codes.csv (with names and labels), .parquet, .npz, .npy",
    ],
    *,
    engine: Engine = None,
    force: Force = False,
) -> list[Path]:
    """Write the codes of images or rows.

    The mean codes of INPUT, (N, K) float32, go to .npy, .npz, .csv or .parquet. All but .npy keep
    the names of image files and the labels, where INPUT has them.
    """
    from diabolo.engines import over

    out = runs.free_for_result(out, source, force=force)
    if out.suffix not in (".npy", ".npz", ".csv", ".parquet"):
        raise InputError(f"Codes go to .npy, .npz, .csv or .parquet, not {out.name!r}.")
    fitted = runs.load_model(model, engine)
    samples = runs.read_for(fitted, source)
    runs.tell_unlike(fitted, samples)
    beside = runs.condition_of(fitted, samples)
    codes = over(fitted.transform, samples.array, engine, condition=beside)
    data.write_codes(out, codes, of=samples)
    return complete([out], samples.failures)


@command("use", "diabolo decode runs/ae codes.npy --out decoded/")
def decode(
    model: Model,
    codes: Annotated[str, Usage("CODES"), "what encode wrote, such as codes.npy"],
    out: Annotated[str | Path, Usage("--out PATH"), "where to, such as a folder, digits.npy, ..."],
    *,
    force: Force = False,
) -> list[Path]:
    """Write the images or rows of codes, in the type of the training data."""
    out = runs.free_for_result(out, codes, force=force)
    fitted = runs.load_model(model)
    output = fitted.inverse_transform(data.read_codes(codes))
    data.write(out, output, like=runs.as_samples(fitted, output))
    return [out]


def _draw_comparison(model: "Estimator", rows: "dict[str, np.ndarray]", path: Path) -> None:
    """The first samples, row under row, with PSNR where the original is among the rows."""
    import numpy as np

    from diabolo import figures
    from diabolo.report import write_picture
    from diabolo.tasks.evaluation import decibels, shown

    pictures = {name: shown(model, np.asarray(values[:SHOWN])) for name, values in rows.items()}
    captions = {
        name: decibels(values, pictures["original"])
        for name, values in pictures.items()
        if "original" in pictures and name != "original"
    }
    write_picture(path, lambda: figures.rows(list(pictures.items()), captions=captions))


def _draw_signals(
    model: "Estimator", lines: "dict[str, np.ndarray]", samples: "data.Samples", path: Path
) -> None:
    """Some of the signals, evenly over all, and what came out."""
    import numpy as np

    from diabolo import figures
    from diabolo.report import write_picture

    count = len(samples.array)
    index = np.linspace(0, count - 1, min(count, SIGNALS)).astype(int)
    shaped = {n: np.asarray(a)[index].reshape(-1, *model.grid_) for n, a in lines.items()}
    captions = [samples.names[i] for i in index]
    names = samples.columns or []
    write_picture(path, lambda: figures.signals(shaped, captions, names=names))


def check_corrupt(model: "Estimator", name: str | Path, *, corrupt: bool) -> None:
    """Refuse to corrupt what a model that learnt from noisy samples alone would take for clean."""
    if corrupt and model.net_.of_noisy:
        raise InputError(
            f"{name} learnt from noisy images, of which there are no clean ones to corrupt: leave"
            " --corrupt out."
        )
