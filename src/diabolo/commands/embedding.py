"""`diabolo neighbours` and `map`: which samples are alike, and how they lie, by their codes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from diabolo.arguments import Usage
from diabolo.commands import Force, Input, Model, command, runs
from diabolo.data.spec import INPUT
from diabolo.errors import InputError, complete
from diabolo.names import is_frame

if TYPE_CHECKING:
    import numpy as np

    from diabolo.data import Samples
    from diabolo.estimator import Estimator

SLOW = 3000  # samples that t-SNE takes long for


def _table(rows: list[dict[str, Any]]) -> None:
    name = "file" if "file" in rows[0] else "number"
    wide = max(len(name), *(len(row[name]) for row in rows))
    labelled = "label" in rows[0]
    print(f"rank  {name:{wide}}{'  label' if labelled else ''}  distance")
    for row in rows:
        label = f"  {row['label']!s:>5}" if labelled else ""
        same = "  the image itself" if row["same"] else ""
        print(f"{row['rank']:4}  {row[name]:{wide}}{label}  {row['distance']:8.4g}{same}")


@command(
    "use", "diabolo neighbours runs/ae photo.png --in photos/ --out neighbours.png", show=_table
)
def neighbours(
    model: Model,
    image: Annotated[str, Usage("IMAGE"), "one image, such as mnist:test:3-3"],
    among: Annotated[str | None, Usage("--in INPUT"), f"where to look: {INPUT}"] = None,
    out: Annotated[str | Path | None, Usage("--out PNG"), "draw them into this picture"] = None,
    *,
    codes: Annotated[
        str | None,
        Usage("--codes FILE"),
        "the codes of INPUT, or of samples that are not at hand, as encode wrote them",
    ] = None,
    n: Annotated[int, Ge(1), Usage("-n N"), "how many"] = 10,
    force: Force = False,
) -> list[dict[str, Any]]:
    """The images most like one, by the distance of their codes.

    The `n` samples of the INPUT `among` (all, where it has fewer) that are nearest. Each has its
    `rank`, its `file` or `number`, its `label` where it has one, and its `distance`; `same` marks
    those that are the image itself, value by value. `out`: where to draw them.

    With `codes` no samples are encoded. A large .npy stays on disk, and is read in blocks. Without
    `among` there are numbers and distances alone.
    """
    import numpy as np

    from diabolo import figures
    from diabolo.report import write_picture
    from diabolo.tasks import embedding
    from diabolo.tasks.evaluation import pictured, shown

    if among is None and (codes is None or out is not None):
        raise InputError("Give --in INPUT: without it there are only numbers, of a file --codes.")
    if out is not None:
        out = runs.free_for_result(out, image, force=force)
        out = runs.png(runs.free_for_result(out, str(among), force=force))
    fitted = runs.load_model(model)
    if out is not None and not pictured(fitted):
        raise InputError(
            "There is no picture of this model's samples, which are no images: leave --out away"
            " for the table alone."
        )
    query = runs.read_one(fitted, image)
    samples = None if among is None else runs.read_for(fitted, among)
    z = _codes(fitted, samples, codes)
    found = embedding.near_codes(fitted.transform(query), z, min(n, len(z)))
    if samples is None:
        return [
            {"rank": rank, "number": str(i), "distance": float(distance), "same": False}
            for rank, (i, distance) in enumerate(zip(*(f[0] for f in found), strict=True), 1)
        ]
    rows = _ranked(query, samples, found.indices[0], found.distances[0])
    if out is not None:
        pictures = [
            shown(fitted, query),
            shown(fitted, np.asarray(samples.array[found.indices[0]])),
        ]
        captions = ["the image", *map(_caption, rows)]
        write_picture(out, lambda: figures.neighbours(np.concatenate(pictures), captions))
    return complete(rows, samples.failures)


@command("use", "diabolo map runs/ae photos/ --out map.png", name="map")
def draw_map(
    model: Model,
    source: Input,
    out: Annotated[str | Path, Usage("--out PATH"), "where to, such as map.png"],
    *,
    by: Annotated[
        Literal["label", "error"] | None,
        Usage("--by WHAT"),
        "what the colours are, label or error; default: label if known",
    ] = None,
    method: Annotated[
        Literal["pca", "tsne"] | None,
        "how codes get two dimensions, pca or tsne; default: pca, but two numbers as they are",
    ] = None,
    seed: Annotated[int, Ge(0), "of tsne"] = 0,
    force: Force = False,
) -> Path:
    """A picture of all images where their codes are.

    Images are small pictures of themselves, rows of a table are points. Coloured `by` label or by
    reconstruction error; without it by label where there are labels. `method`: see `plane`.
    """
    import numpy as np

    from diabolo import figures
    from diabolo.report import write_picture
    from diabolo.tasks import embedding
    from diabolo.tasks.evaluation import errors, pictured, shown

    out = runs.png(runs.free_for_result(out, source, force=force))
    fitted = runs.load_model(model)
    samples = runs.read_for(fitted, source)
    runs.tell_unlike(fitted, samples)
    if by == "label" and samples.labels is None:
        raise InputError(f"{source} has no labels to colour by: give --by error.")
    labels = samples.labels if by != "error" else None
    X = samples.array
    if method == "tsne" and len(X) > SLOW:
        print(f"t-SNE of {len(X):,} samples takes minutes.", file=sys.stderr, flush=True)
    points, axes = embedding.plane(np.asarray(fitted.transform(X)), method, random_state=seed)
    wrong = errors(fitted, X) if labels is None else None
    options: dict[str, Any] = {"labels": labels, "values": wrong, "unit": "mean squared error"}
    what = f"{'image' if pictured(fitted) else 'sample'}{'' if len(X) == 1 else 's'}"
    options["title"] = f"{len(X):,} {what} by {'its code' if len(X) == 1 else 'their codes'}"
    options["note"] = f"To the right {axes[0]}, up {axes[1]}. "
    if method == "tsne":
        options["note"] = "By t-SNE: near is alike, but how far is far says little. "
    if pictured(fitted):
        options["shape"] = fitted.image_shape_
        options["images"] = lambda index: shown(fitted, np.asarray(X[index]))
    write_picture(out, lambda: figures.sample_map(points, **options))
    return complete(out, samples.failures)


def _codes(model: "Estimator", samples: "Samples | None", file: str | None) -> Any:
    """The codes of samples, or those in a file, which must be of these and of the model."""
    import numpy as np

    from diabolo import data

    if file is None:
        assert samples is not None
        return model.transform(samples.array)
    codes = data.read_codes(file)
    if samples is None:
        return codes
    same = len(codes) == len(samples.array)
    few = [0, len(codes) // 2, len(codes) - 1]
    if same and codes.shape[1:] == (model.code_size_,):
        own = model.transform(samples.rows(np.array(few)).array)
        same = np.allclose(np.asarray(codes[few]), own, rtol=1e-3, atol=1e-3)
    if not same:
        raise InputError(f"{file} has other codes than those of the samples: encode them again.")
    return codes


def _ranked(
    query: Any, samples: "Samples", indices: "np.ndarray", distances: "np.ndarray"
) -> list[dict[str, Any]]:
    """What is told of each neighbour, the nearest first."""
    kind = "file" if samples.kind in ("image", "folder") else "number"
    rows = []
    for rank, (i, distance) in enumerate(zip(indices, distances, strict=True), start=1):
        row: dict[str, Any] = {"rank": rank, kind: samples.names[i]}
        if samples.labels is not None:
            row["label"] = samples.labels[i].item()
        same = _alike(samples.rows(slice(i, i + 1)).array, query)
        rows.append(row | {"distance": float(distance), "same": same})
    return rows


def _alike(one: Any, other: Any) -> bool:
    """Whether two samples (1, ...) are the same value by value; of a table also in their gaps."""
    import numpy as np

    if is_frame(one):
        one, other = (
            row.astype(object).where(row.notna(), None).sort_index(axis=1) for row in (one, other)
        )
    return np.array_equal(np.ravel(one), np.ravel(other))


def _caption(row: dict[str, Any]) -> str:
    """Name, label and distance of a neighbour, a line each."""
    lines = [row.get("file") or f"number {row['number']}"]
    if "label" in row:
        lines.append(f"label {row['label']}")
    lines.append("the same" if row["same"] else f"{row['distance']:.3g} away")
    return "\n".join(lines)
