"""`diabolo cluster`: groups of samples, without labels."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from diabolo.arguments import Usage
from diabolo.commands import Input, Told, command, runs
from diabolo.data.files import folder_atomically, quietly, write_csv
from diabolo.errors import InputError, complete

if TYPE_CHECKING:
    import numpy as np

    from diabolo.data import Samples
    from diabolo.tasks.grouping import LatentClusterer

TABLE, PICTURE, FILE = "groups.csv", "groups.png", "clusterer.safetensors"
SHOWN = 6  # typical members of a group in the picture, and borderline ones
MOST = 40  # groups in the picture
AUTO = "auto"


@command("use", "diabolo cluster runs/embed photos/ --groups 10 --out groups/")
def cluster(
    model: Annotated[
        str | Path, Usage("MODEL"), "a .safetensors file or a run folder, or a saved clusterer"
    ],
    source: Input,
    out: Annotated[str | Path, Usage("--out DIR"), "folder of the results"],
    *,
    groups: Annotated[
        str | None,
        Usage("--groups K|auto"),
        "how many; default: auto, as many as there are dense clusters of codes",
    ] = None,
    seed: Annotated[int, Ge(0), "of the fits"] = 0,
    force: Annotated[bool, "replace earlier results in DIR"] = False,
) -> Told:
    """Part samples into groups by their codes, without labels.

    Writes a folder with the group of each sample, a picture of typical and borderline members of
    each, and the clusterer, which may be given as MODEL to part other samples into the same
    groups. Where the samples have labels, says how the groups agree with them.
    """
    path = runs.free_folder(out, [source, str(model)], (TABLE, PICTURE, FILE), force=force)
    clusterer = _clusterer(model, groups, seed)
    own = clusterer.prefit and hasattr(clusterer, "n_groups_")
    fitted = clusterer.model if not own else clusterer.model_
    assert fitted is not None
    samples = runs.read_for(fitted, source)
    if not own:
        clusterer.fit(samples.array)
    else:
        runs.tell_unlike(fitted, samples)
    joint = clusterer.joint(samples.array)
    with folder_atomically(path) as folder, quietly():
        _write_table(folder / TABLE, clusterer, samples, joint)
        _draw(folder / PICTURE, clusterer, samples, joint)
        clusterer.save(folder / FILE)
        written = [str(path / p.name) for p in sorted(folder.iterdir())]
    lines, numbers = _said(samples, joint)
    return complete(Told([*lines, *written], **numbers, files=written), samples.failures)


def _clusterer(model: str | Path, groups: str | None, seed: int) -> "LatentClusterer":
    """The one in a file, or one that is to be fitted to the codes of a model."""
    from diabolo.loading import load
    from diabolo.tasks.grouping import LatentClusterer

    loaded: Any = load(runs.model_file(model))
    if isinstance(loaded, LatentClusterer):
        if groups is not None:
            raise InputError(f"{model} has its {loaded.n_groups_} groups: leave --groups out.")
        return loaded
    loaded = getattr(loaded, "model_", loaded)
    return LatentClusterer(loaded, groups=_count(groups), prefit=True, random_state=seed)


def _count(groups: str | None) -> Any:
    """How many groups are asked for."""
    if groups in (None, AUTO):
        return AUTO
    if not (groups.isdecimal() and int(groups)):
        raise InputError(f"--groups is a number from 1, or auto, but is {groups!r}.")
    return int(groups)


def _write_table(
    path: Path, clusterer: "LatentClusterer", samples: "Samples", joint: "np.ndarray"
) -> None:
    """A line a sample: its group, how sure that is, and its label where it has one."""
    from scipy.special import softmax

    chosen, sure = joint.argmax(axis=1), softmax(joint, axis=1).max(axis=1)
    first = "file" if samples.kind in ("image", "folder") else "number"
    header = [first, "group", "probability", "log_density"]
    columns: list[Iterable[Any]] = [samples.names, chosen]
    columns += [(f"{p:.4f}" for p in sure), (f"{d:.4f}" for d in joint.max(axis=1))]
    if samples.labels is not None:
        header.append("label")
        columns.append(samples.labels)
    write_csv(path, header, zip(*columns, strict=True))


def _draw(
    path: Path, clusterer: "LatentClusterer", samples: "Samples", joint: "np.ndarray"
) -> None:
    """Of images, a row for each group: typical members, and those on the border to others."""
    import numpy as np

    from diabolo import figures
    from diabolo.report import write_picture
    from diabolo.tasks.evaluation import pictured, shown
    from diabolo.tasks.grouping import members

    model = clusterer.model_
    if not pictured(model):
        return
    counts = np.bincount(joint.argmax(axis=1), minlength=joint.shape[1])
    rows = []
    for c, found in enumerate(members(joint, SHOWN)[:MOST]):
        if not counts[c]:
            continue
        index = np.concatenate([_filled(part) for part in found])
        pictures = shown(model, np.asarray(samples.array[index.clip(0)]))
        pictures[index < 0] = 1
        rows.append((f"group {c}: {counts[c]:,}", pictures))
    captions = {rows[-1][0]: ["typical", *[""] * (SHOWN - 1), "borderline", *[""] * (SHOWN - 1)]}
    write_picture(path, lambda: figures.rows(rows, captions=captions))


def _filled(index: "np.ndarray") -> "np.ndarray":
    """As many numbers as are shown, -1 for those that are not there."""
    import numpy as np

    return np.pad(index, (0, SHOWN - len(index)), constant_values=-1)


def _said(samples: "Samples", joint: "np.ndarray") -> tuple[list[str], dict[str, Any]]:
    """How many groups, how large they are, and how they agree with labels."""
    import numpy as np

    from diabolo.tasks.grouping import agreement

    chosen = joint.argmax(axis=1)
    counts = np.bincount(chosen, minlength=joint.shape[1])
    sizes = ", ".join(f"{count:,}" for count in counts[:MOST])
    lines = [f"{len(counts)} group{'s' * (len(counts) > 1)} of {len(joint):,}: {sizes}."]
    numbers: dict[str, Any] = {"samples": len(joint), "groups": counts.tolist()}
    if samples.labels is not None:
        numbers |= (found := agreement(samples.labels, chosen))
        right, nmi = 100 * found["accuracy"], found["nmi"]
        lines.append(f"Their labels, which were not used, agree: {right:.1f} %, NMI {nmi:.2f}.")
    return lines, numbers
