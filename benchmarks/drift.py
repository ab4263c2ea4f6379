"""False alarms and delays of `diabolo watch`.

    python -m benchmarks.drift [--streams 1000] [--json FOLDER]

Scores are drawn from a normal law; 200 calibrate. A stream has 2,000 samples: in the first row
nothing changes, in the others the mean falls by so many standard deviations after 500.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.table import Table
from diabolo.tasks.watching import watch


def main() -> None:
    """Print a row for each change."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = ("change, sd", "streams", "early alarms", "seen", "median delay")
    table = Table("drift", head, options.json)
    for shift in (0.0, 0.5, 1.0, 2.0):
        count = options.streams if not shift else options.streams // 10
        alarms = [alarm(shift, seed) for seed in range(count)]
        begin = 500 if shift else 2000
        early = sum(a is not None and a < begin for a in alarms)
        late = [a - begin + 1 for a in alarms if a is not None and a >= begin]
        delay = f"{np.median(late):.0f}" if late else "-"
        table.row(f"{shift:g}", f"{count:,}", early, len(late), delay)


def alarm(shift: float, seed: int) -> int | None:
    """Where a stream raises an alarm."""
    draw = np.random.default_rng(seed)
    calibration, scores = draw.normal(size=200), draw.normal(size=2000)
    scores[500:] -= shift
    return watch(calibration, scores, seed=seed).alarm


if __name__ == "__main__":
    main()
