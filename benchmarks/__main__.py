"""The library beside its peers and the floor: python -m benchmarks [--full].

The same digits, network, batch size, threads and precision for every way; each in a process of
its own, in turn; medians over the rounds. Run it on Linux, with nothing else on the machine.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.run import Job, Row, machine, measure, problems, starts
from benchmarks.ways import WAYS

SHORT: dict[str, Any] = {
    "recipes": ["ae-36", "ae-32", "dae-32", "dae-64"],
    "samples": 12_000,
    "epochs": 3,
}
FULL: dict[str, Any] = {
    "recipes": ["ae-36", "ae-32", "dae-32", "dae-64", "vae-conv"],
    "samples": 60_000,
    "epochs": 2,
}
GROWING = ("floor", "ours", "plain", "keras_fit", "jax_scan")  # data in memory, as one array
TIMES, CODES, WIDTHS = (1, 4, 16), (8, 32, 128), (128, 512, 2048)


def main() -> int:
    """0: measured; 1: something failed, or trainings that should be alike were not."""
    options = parse()
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    os.sched_setaffinity(0, cores)  # which the workers inherit
    report: dict[str, Any] = {"machine": machine(len(cores)), "settings": vars(options)}
    print(json.dumps(report["machine"]), *(f"{n:15} {w.words}" for n, w in WAYS.items()), sep="\n")
    rows: list[Row] = []
    for name, jobs in plan(options):
        report[name] = measure(jobs, options.rounds, len(cores), say)
        rows += report[name]
        print("", text(name, report[name]), sep="\n", flush=True)
        write(options.out, report)
    report["start"] = starts(2 * options.rounds + 1)
    report["problems"] = problems(rows)
    write(options.out, report)
    print("", table.starting(report["start"]), "", *report["problems"], options.out, sep="\n")
    return 1 if report["problems"] else 0


def parse() -> argparse.Namespace:
    """The command line; what is not given is that of the short or of the full form."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all recipes, all digits, growth")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--recipes", nargs="+", choices=FULL["recipes"])
    parser.add_argument("--samples", type=positive)
    parser.add_argument("--epochs", type=positive, help="the first one does not count")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    for name, value in (FULL if options.full else SHORT).items():
        setattr(options, name, getattr(options, name) or value)
    return options


def positive(text: str) -> int:
    """A number of at least 1."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def plan(options: argparse.Namespace) -> Iterator[tuple[str, list[Job]]]:
    """The tables and their jobs."""
    n, epochs, ways = options.samples, options.epochs, options.ways
    for recipe in options.recipes:
        able = [way for way in ways if recipe != "vae-conv" or WAYS[way].conv]
        yield f"train {recipe}", [Job("train", way, recipe, n, epochs) for way in able]
    able = [way for way in ways if WAYS[way].infer]
    sizes = [10_000 * k for k in (TIMES if options.full else TIMES[:1])]
    yield "infer dae-64", [Job("infer", way, "dae-64", size) for size in sizes for way in able]
    if options.full:
        base = [Job("train", way, "ae-32", n, epochs) for way in ways if way in GROWING]
        axes = {"samples": tuple(n * k for k in TIMES), "code": CODES, "width": WIDTHS}
        for axis, values in axes.items():
            changes: list[dict[str, Any]] = [{axis: value} for value in values]
            yield f"growth {axis}", [replace(job, **c) for c in changes for job in base]


def text(name: str, rows: list[Row]) -> str:
    """The table of that name."""
    kind, what = name.split()
    if kind == "growth":
        return table.growth(what, rows)
    return table.training(rows) if kind == "train" else table.inference(rows)


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def write(path: Path, report: dict[str, Any]) -> None:
    """All that is known so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, default=str) + "\n")


if __name__ == "__main__":
    sys.exit(main())
