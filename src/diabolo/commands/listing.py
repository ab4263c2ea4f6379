"""The models below a folder, each with its numbers, as the page compares them."""

import csv
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from diabolo import recipes, store
from diabolo.commands import results, runs
from diabolo.data import atomically
from diabolo.data.samples import kind_by_name
from diabolo.errors import InputError

DEPTH = 3  # folders below the first in which models are looked for
MOST = 200  # models that are listed


@dataclass
class Entry:
    """A model below the folder: a run, or a file that stands alone."""

    path: str
    name: str
    recipe: str | None
    title: str
    kind: str
    when: str
    metrics: dict[str, Any]
    history: dict[str, list[float | None]]
    findings: list[tuple[str, str, str]]  # of the doctor: name, what was seen, what to do
    report: bool  # whether its page is there


def models(root: Path) -> Iterator[Entry]:
    """Runs and single model files below `root`, the newest first; what is damaged is left out."""
    dated = [(_changed(file), file) for file in _found(root)]
    newest = sorted((pair for pair in dated if pair[0] is not None), reverse=True)
    described = (_described(file, root) for _, file in newest[:MOST])
    return (entry for entry in described if entry is not None)


def data(root: Path) -> list[str]:
    """What below `root` could be trained on: files of samples, and folders of images."""
    found = (name for path, names in _walked(root) for name in _of_samples(path, names))
    return sorted(path.relative_to(root).as_posix() for path in islice(found, MOST))


def within(root: Path, name: str) -> Path:
    """The path of that name, if it is below `root` and there. Raises `InputError` otherwise."""
    try:
        path = (root / name).resolve(strict=True)
        if path.is_relative_to(root.resolve()):
            return root / path.relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):
        pass
    raise InputError(f"There is no {name!r} in the folder that is served.")


def report_of(model: Path) -> Path:
    """Where the page of a run folder is, or that of a detector's file."""
    return model / runs.REPORT if model.is_dir() else model.with_suffix(".html")


def report(model: Path) -> str | None:
    """The page of a run folder, or of a detector's file; None where there is none."""
    path = report_of(model)
    return path.read_text(encoding="utf-8") if path.is_file() else None


def keep(root: Path, body: bytes) -> Path:
    """Write a model file that is the body to `uploads/` below `root`, under its SHA-256.

    Raises `InputError` for what is no model file of ours; nothing is written then.
    """
    from diabolo.loading import load

    path = root / "uploads" / f"{hashlib.sha256(body).hexdigest()[:16]}.safetensors"
    path.parent.mkdir(exist_ok=True)
    with atomically(path) as temporary:
        temporary.write_bytes(body)
        try:
            load(temporary)
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), "The body")) from None
    return path


def _found(root: Path) -> Iterator[Path]:
    """Model files: of a run folder one, and those that stand alone."""
    for path, names in _walked(root):
        if runs.is_run(path):
            with suppress(InputError):
                yield runs.model_file(path)
        else:
            yield from (path / name for name in names if name.endswith(".safetensors"))


def _walked(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders below `root` and the names of the files in them, but not what is in a run."""
    for folder, inner, names in os.walk(root):
        path = Path(folder)
        deep = len(path.relative_to(root).parts) >= DEPTH or runs.is_run(path)
        inner[:] = [] if deep else sorted(name for name in inner if name[0] not in "._")
        yield path, names


def _of_samples(path: Path, names: list[str]) -> Iterator[Path]:
    """Of a folder what holds samples: itself, where it has images, and files of other kinds."""
    if runs.is_run(path):
        return
    kinds = {name: kind_by_name(Path(name)) for name in names}
    if "image" in kinds.values():
        yield path
    yield from (path / n for n, kind in kinds.items() if kind not in (None, "folder", "image"))


def _changed(file: Path) -> float | None:
    """When a model file was last written; None where it is gone, or is no file, or elsewhere."""
    try:
        return file.stat().st_mtime if file.is_file() and not file.is_symlink() else None
    except OSError:
        return None


def _described(file: Path, root: Path) -> Entry | None:
    folder = file.parent
    in_run = (folder / runs.CONFIG).is_file()
    path = folder if in_run else file
    try:
        config = store.read_config(file)
        recipe = recipes.read(folder / runs.CONFIG) if in_run else None
        changed = datetime.fromtimestamp(file.stat().st_mtime)
        entry = {
            "path": path.relative_to(root).as_posix(),
            "name": path.name if path != root else root.resolve().name,
            "recipe": recipe.name if recipe else None,
            "title": recipe.title if recipe else path.name,
            "kind": config["model"]["kind"],
            "when": changed.astimezone().isoformat("T", "seconds"),
            "metrics": results.read_metrics(folder) if in_run else config.get("metrics", {}),
            "history": _history(folder) if in_run else config["history"],
            "findings": config.get("findings", []),
            "report": report_of(path).is_file(),
        }
        return _checked(entry)
    except (InputError, OSError, KeyError, TypeError, ValueError, RecursionError, csv.Error):
        return None


def _checked(entry: dict[str, Any]) -> Entry:
    """The entry, where its values are of the right types and can be sent as JSON, so are UTF-8."""
    kind = _entries()
    checked: Entry = kind.validate_python(entry)
    kind.dump_json(checked)
    return checked


@cache
def _entries() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Entry)


def _history(folder: Path) -> dict[str, list[float | None]]:
    """`history.csv`, a list a column; without rows where it is not there yet."""
    path = folder / runs.HISTORY
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    columns = zip(*rows, strict=True)
    return {
        name: [float(value) if value else None for value in column]
        for name, column in zip(names, columns, strict=False)
    }
