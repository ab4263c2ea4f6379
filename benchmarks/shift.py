"""False alarms where normal samples are mixed otherwise than those that calibrated.

    python -m benchmarks.shift [--json FOLDER]

Normal are digits 0 to 6. In the new samples two of them, drawn for each split, are eight times as
common as in the 1,500 that calibrate; of the 800 new ones a share is odd (7, 8 and 9). Prints the
rate of false alarms (asked: 5 %) and its spread over the splits, and the share of odd ones that
are found, by the detector's own p-values and by weighed ones.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.table import Table
from diabolo import AnomalyDetector, Autoencoder, data
from diabolo.tasks import conformal, shift

NORMAL, FAVOURED, TIMES = 7, 2, 8
LEARNT, CALIBRATING, NEW, SPLITS, RATE = 8000, 1500, 800, 40, 0.05


def splits(folder: Path | None) -> None:
    """A row for each share of odd samples and each kind of p-values."""
    train, test = data.read("mnist:train:20000"), data.read("mnist:test")
    x, y = (
        np.concatenate(pair) for pair in ((train.array, test.array), (train.labels, test.labels))
    )
    draw = np.random.default_rng(0)
    normal, odd = draw.permutation(np.flatnonzero(y < NORMAL)), np.flatnonzero(y >= NORMAL)
    model = Autoencoder(latent_dim=16, hidden=(128,), epochs=6, random_state=0)
    model.fit(x[normal[:LEARNT]])
    detector = AnomalyDetector(model, prefit=True).fit(x[normal[-CALIBRATING:]])
    codes, scores = model.transform(x), detector.score_samples(x)
    table = Table(
        "shift", ("odd", "p-values", "false alarms %", "spread", "largest", "found %"), folder
    )
    for share in (0.0, 0.05, 0.2):
        found: dict[str, list[tuple[float, float]]] = {"own": [], "weighed": []}
        for _ in range(SPLITS):
            rest = draw.permutation(normal[LEARNT:])
            known, pool = rest[:CALIBRATING], rest[CALIBRATING:]
            common = np.isin(y[pool], draw.choice(NORMAL, FAVOURED, replace=False))
            likely = np.where(common, float(TIMES), 1.0)
            many = round(NEW * (1 - share))
            new = draw.choice(pool, many, replace=False, p=likely / likely.sum())
            new = np.concatenate([new, draw.choice(odd, NEW - many, replace=False)])
            own, weights = shift.ratios(codes[new], codes[known])
            for name, p in {
                "own": conformal.p_values(np.sort(scores[known]), scores[new]),
                "weighed": shift.weighted(scores[new], own, scores[known], weights),
            }.items():
                flags = p <= RATE
                found[name].append((flags[:many].mean(), flags[many:].mean() if share else np.nan))
        for name, rates in found.items():
            alarms, hits = 100 * np.array(rates).T
            cells = (f"{v:.1f}" for v in (alarms.mean(), alarms.std(), alarms.max()))
            table.row(f"{share:.0%}", name, *cells, f"{hits.mean():.1f}" if share else "-")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    splits(parser.parse_args().json)
