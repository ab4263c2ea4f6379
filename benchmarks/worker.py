"""One measurement in a process of its own: prints a line of JSON.

python -m benchmarks.worker train ours ae-36 --samples 12000
"""

import argparse
import json
import resource
from dataclasses import asdict
from importlib import import_module
from typing import Any

from benchmarks.task import make_task
from benchmarks.ways import WAYS


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("train", "infer"))
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("recipe")
    parser.add_argument("--samples", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--code", type=int)
    parser.add_argument("--width", type=int)
    print(json.dumps(run(**vars(parser.parse_args()))))


def run(job: str, way: str, **sizes: Any) -> dict[str, Any]:
    """The measurement, or which package it misses."""
    try:
        module = import_module(f"benchmarks.ways.{way}")
    except ModuleNotFoundError as error:
        if str(error.name).startswith(("benchmarks", "diabolo")):
            raise
        return {"missing": error.name}
    imported = peak()
    result = getattr(module, job)(make_task(**sizes))
    found = asdict(result) if job == "train" else result
    return found | {"imported_mb": imported, "peak_mb": peak()}


def peak() -> int:
    """The most memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
