"""Parts of samples: some of them, those held out to test on, and those that fit into memory."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diabolo.data import Samples, spec
from diabolo.errors import IncompleteError, InputError
from diabolo.names import check_names, is_frame
from diabolo.recipes import Recipe

if TYPE_CHECKING:
    import numpy as np

SIZE = "64 MiB"  # `mapped.LARGE`, in words


def hold_out(samples: Samples, seed: int) -> tuple[Samples, Samples]:
    """A tenth of the samples, drawn by the seed, for testing; of a series its end."""
    import numpy as np

    n = len(samples.array)
    if n < 2:
        what, other = ("sample", ", or --test") if samples.noisy is None else ("pair", "")
        few = f"One {what} is too few to train and to test on: give more{other}."
        raise IncompleteError([few, *samples.failures], None)
    if samples.series is not None:
        return parted(samples, samples.series.parted())
    order, held = np.random.default_rng(seed).permutation(n), max(1, n // 10)
    if samples.on_disk:  # few
        from diabolo.data.mapped import LARGE

        tenth, held = held, max(1, min(held, LARGE * n // samples.array.nbytes))
        if held < tenth:
            note = f"Of {n:,} samples {held:,}, as many as {SIZE} have, are drawn to test on."
            samples = replace(samples, told=[*samples.told, note])
    training, testing = parted(samples, (np.sort(order[held:]), np.sort(order[:held])))
    return training, in_memory(testing)


def parted(samples: Samples, parts: "Sequence[np.ndarray]") -> tuple[Samples, Samples]:
    """The samples of two indices; what is to be said of them is said of the first."""
    training, testing = (samples.rows(part) for part in parts)
    return training, replace(testing, failures=[], told=[])


def in_memory(samples: Samples, most: int | None = None) -> Samples:
    """Samples to test on, which are few: of those on disk the first that are not too many."""
    import numpy as np

    if not samples.on_disk:
        return samples
    from diabolo.data.mapped import LARGE

    few = max(1, LARGE * len(samples.array) // max(samples.array.nbytes, 1))
    count = min(len(samples.array), most or few, few)
    cut = samples.rows(np.arange(count))
    told = list(samples.told)
    if most is None and count < len(samples.array):
        told.append(
            f"Of {len(samples.array):,} test samples the first {count:,} are used, as many as"
            f" {SIZE} have."
        )
    return replace(cut, array=np.asarray(cut.array), told=told)


def with_columns(samples: Samples, names: Sequence[Any]) -> Samples:
    """A table of which a model takes columns of these names, in any order."""
    assert samples.frame is not None
    frame = samples.frame.only(names)
    return replace(samples, array=frame.table, columns=frame.columns, frame=frame)


def check_alike(train: Any, test: Any, name: str) -> None:
    """Refuse test samples that a model of the training samples could not take."""
    if is_frame(train):
        check_names(f"The table {name}", list(test.columns), list(train.columns))
        return
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"The test samples of {name} have shape {test.shape[1:]}, those to train on"
            f" {train.shape[1:]}."
        )
    floats = train.dtype.kind == test.dtype.kind == "f"
    if train.dtype != test.dtype and not floats:
        raise InputError(f"The test samples of {name} are {test.dtype}, not {train.dtype}.")


def image_shape(array: "np.ndarray") -> tuple[int, int, int] | None:
    shapes = {3: (1, *array.shape[1:]), 4: array.shape[1:]}
    return shapes.get(array.ndim)


def needed(recipe: Recipe) -> int | None:
    """How many samples, from the first on, are read to train on `limit` of them; None: all."""
    limit: int | None = recipe.data.get("limit")
    if limit is None or recipe.test == spec.HELD_OUT:
        return None
    return limit + (max(1, (limit - 1) // 9) if recipe.test == spec.HELD_OUT_FIRST else 0)
