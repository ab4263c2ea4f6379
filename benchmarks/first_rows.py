"""Rows of a benchmark, a data set and seed each, and their tables in Markdown."""

import argparse
import csv
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.first_data import DataSet
from benchmarks.table import Row


def measured(
    measure: Callable[..., Row], options: argparse.Namespace, sets: Iterable[DataSet]
) -> Iterator[tuple[DataSet, list[Row]]]:
    """Each set with a row for each seed; all rows also go into the file that is asked for."""
    rows: list[Row] = []
    seeds, changes = options.seeds, dict(options.given)
    with ProcessPoolExecutor(options.jobs) as pool:
        runner: Any = map if options.jobs == 1 else pool.map
        for data in sets:
            n = len(seeds)
            found = list(runner(measure, [data] * n, seeds, [changes] * n))
            rows += [{"set": data.name, "seed": s} | r for s, r in zip(seeds, found, strict=True)]
            write(options.csv, rows)
            yield data, found


def write(path: Path | None, rows: list[Row]) -> None:
    """All rows so far, where there is a file for them."""
    if path:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def head(*cells: str) -> None:
    """Begin a table in Markdown."""
    line(*cells)
    print("|---" * len(cells) + "|", flush=True)


def line(name: str, *cells: Any) -> None:
    """A row of it."""
    print("|", " | ".join([name.ljust(16), *(str(c).rjust(7) for c in cells)]), "|", flush=True)


def middle(rows: list[Row], key: str) -> float:
    """The median over the seeds."""
    return median(row[key] for row in rows)
