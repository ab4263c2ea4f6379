"""Runs measurements, each in a process of its own, in turn, and sums up their rounds."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from benchmarks.table import processor
from benchmarks.ways import WAYS

Row = dict[str, Any]
ROOT = Path(__file__).parents[1]
PEERS = {"tensorflow-cpu", "keras", "jax", "pythae", "pyod", "scikit-learn"}
TOLERANCE = 0.1  # by how much the losses of equal trainings may differ, relatively
STARTS = {
    "bare interpreter": ("-c", "pass"),
    "import diabolo": ("-c", "import diabolo"),
    "from diabolo import Autoencoder": ("-c", "from diabolo import Autoencoder"),
    "diabolo --help": ("-m", "diabolo", "--help"),
}


@dataclass(frozen=True)
class Job:
    """One measurement; `code` and `width` in place of the recipe's."""

    job: str
    way: str
    recipe: str
    samples: int
    epochs: int = 1
    code: int | None = None
    width: int | None = None

    def label(self) -> str:
        """What is measured, apart from the way."""
        sizes = [f"{k} {v}" for k in ("code", "width") if (v := getattr(self, k))]
        return " ".join([self.job, self.recipe, f"{self.samples:,}", *sizes])


def measure(jobs: list[Job], rounds: int, threads: int, say: Callable[[str], None]) -> list[Row]:
    """Every job once a round, the seed; one that gave no figures is not repeated."""
    runs: dict[Job, list[Row]] = {job: [] for job in jobs}
    for number in range(rounds):
        for job, done in runs.items():
            if not any(map(stopped, done)):
                done.append(worker(job, number, threads))
                found = stopped(done[-1]) or done[-1].get("seconds") or done[-1]["reconstruct"]
                say(f"round {number + 1}/{rounds}, {job.label()}, {job.way}: {found}")
    return [asdict(job) | {"label": job.label()} | summary(done) for job, done in runs.items()]


def worker(job: Job, seed: int, threads: int) -> Row:
    """The worker's answer, or why there is none."""
    given = {k: str(v) for k, v in asdict(job).items() if v is not None}
    places = [given.pop(name) for name in ("job", "way", "recipe")]
    options = ["--seed", str(seed)]
    options += [word for k, v in given.items() for word in (f"--{k}", v)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", *places, *options],
        cwd=ROOT,
        env=environment(threads, openmp=WAYS[job.way].openmp),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"failed": (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def stopped(run: Row) -> str:
    """Why a run has no figures; empty where it has."""
    return f"missing, no package {run['missing']}" if "missing" in run else run.get("failed", "")


def environment(threads: int, *, openmp: bool) -> dict[str, str]:
    """Threads pinned. Only OpenMP's are bound: with them goes the main thread, whose cores the
    threads of TensorFlow, JAX and OpenBLAS inherit.
    """
    pools = "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS TF_NUM_INTRAOP_THREADS"
    counts = dict.fromkeys([*pools.split(), "TF_NUM_INTEROP_THREADS"], str(threads))
    several = str(threads > 1).lower()
    return (
        os.environ
        | counts
        | {
            "OMP_PROC_BIND": str(openmp).lower(),
            "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={several}",
            "JAX_PLATFORMS": "cpu",
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "TQDM_DISABLE": "1",
        }
    )


def summary(runs: list[Row]) -> Row:
    """Medians over the rounds; of a run's epochs the median of those after the first."""
    if reason := stopped(runs[-1]):
        return runs[-1] | {"stopped": reason}
    row = {
        key: statistics.median(run[key] for run in runs)
        for key, value in runs[0].items()
        if isinstance(value, int | float)
    }
    if "seconds" in runs[0]:
        times = [statistics.median(run["seconds"][1:] or run["seconds"]) for run in runs]
        row |= {"seconds": statistics.median(times), "low": min(times), "high": max(times)}
    return runs[0] | row | {"runs": runs}


def problems(rows: list[Row]) -> list[str]:
    """Failed workers, and trainings that should be alike and are not."""
    found = [f"{r['label']}, {r['way']} failed: {r['failed']}" for r in rows if "failed" in r]
    ours = {r["label"]: r for r in rows if r["way"] == "ours" and "parameters" in r}
    for row in rows:
        if "parameters" not in row or not (own := ours.get(row["label"])):
            continue
        what = f"{row['label']}, {row['way']}"
        if row["parameters"] != own["parameters"]:
            found.append(f"{what}: {row['parameters']} parameters, ours {own['parameters']}")
        alike = row["loss"] is None or row["differs"]
        if not alike and not abs(row["loss"] / own["loss"] - 1) < TOLERANCE:
            found.append(f"{what}: loss {row['loss']:.4f}, ours {own['loss']:.4f}")
    return found


def starts(rounds: int) -> dict[str, float]:
    """Median seconds of each of `STARTS`, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(rounds):
        for name, words in STARTS.items():
            start = time.perf_counter()
            command = [sys.executable, *words]
            subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine(threads: int) -> dict[str, Any]:
    """The machine in general terms, and the versions."""
    found = {d.name.lower().replace("_", "-"): d.version for d in distributions()}
    names = sorted(found.keys() & (PEERS | {"diabolo", "torch", "numpy"}))
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "versions": {"python": sys.version.split()[0]} | {name: found[name] for name in names},
    }
