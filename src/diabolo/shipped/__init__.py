"""The models that come with the package, each described by the recipe of its name."""

from pathlib import Path

FOLDER, SUFFIX = Path(__file__).parent, ".safetensors"


def names() -> list[str]:
    """The names of the models."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def absent(path: str | Path) -> str:
    """The sentence on a model that is not there."""
    return (
        f"{path} does not exist: give a .safetensors file, a run folder or a model that comes with"
        f" diabolo ({', '.join(names())})."
    )


def find(name: str | Path) -> Path | None:
    """The file of the model of that name; None where there is none, or a path has the name."""
    known = str(name) in names() and not Path(name).exists()
    return FOLDER / f"{name}{SUFFIX}" if known else None
