"""A trained network put to the test, beside the methods that need no training.

On samples that were held out, or else on some of those in training: the mean sample, what linear
methods of the same code size make of them (`diabolo.linear`, `diabolo.denoiser`), and, where
samples are corrupted, leaving them as they are. Errors are in scaled units; gaps do not count.
"""

import copy
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diabolo import doctor
from diabolo.data.source import Batch, Source
from diabolo.denoiser import fit_denoiser
from diabolo.doctor import Finding
from diabolo.infer import in_blocks
from diabolo.linear import LinearMap, fit_principal
from diabolo.net import Net
from diabolo.train import generator
from diabolo.unlike import outputs, signs, usual

MOST, VALUES, FEWEST = 2048, 2**22, 64  # samples; values in them; samples however wide
TRIED = 16  # samples on the device and on the CPU
WORTH = 16  # samples that teach the plain methods something


class Trial(NamedTuple):
    """Scaled rows of samples, as the network saw them, as they are, and what it made of them.

    `signs` (N, 4) are those of `diabolo.unlike`; where they differ, of both kinds of rows.
    """

    seen: np.ndarray
    clean: np.ndarray
    output: np.ndarray
    signs: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The mean sample, (D,)."""
        there = ~np.isnan(self.clean)
        total = np.where(there, self.clean, 0).sum(axis=0)
        return np.asarray(total / np.maximum(there.sum(axis=0), 1))

    def error(self, output: np.ndarray) -> float:
        """The mean squared error of an output (N, D), or of one for all samples (D,)."""
        return float(np.nanmean(np.square(output - self.clean, dtype=np.float64)))


def on_cpu(net: Net) -> Net | None:
    """The same network on the CPU, if it is elsewhere."""
    return None if net.device.type == "cpu" else copy.deepcopy(net).cpu()


def round_trip(net: Net, batch: Batch) -> Finding | None:
    """What a device makes of a few samples otherwise than the CPU, beyond rounding.

    Codes and reconstructions, as shares of the largest number that the CPU has there. (A card may
    round factors to ten bits; what is wrong is off by far more.)
    """
    twin = on_cpu(net)
    if twin is None:
        return None
    rows = [batch.source[:TRIED], *(part[:TRIED] for part in batch.beside)]
    off = 0.0
    for way in ("encode", "reconstruct"):
        own, true = (
            in_blocks(n, getattr(n, way), *(part.to(n.device) for part in rows)).double()
            for n in (net, twin)
        )
        share = (own - true).abs().max() / true.abs().max().clamp(min=1e-12)
        off = max(off, float(share.nan_to_num(math.inf)))
    return doctor.wrong_device(str(net.device), off)


def tried(
    net: Net, source: Source, validation: Source | None, seed: int
) -> tuple[list[Finding], dict[str, list[float]]]:
    """What is wrong with what a network makes of samples that it learnt from, or validates on.

    And by what signs others are known to be unlike these.
    """
    most = min(MOST, max(VALUES // net.features, FEWEST))
    draw = generator(seed, "trial")
    learnt = torch.randperm(len(source), generator=draw)[: 2 * most]
    if validation is None:
        learnt, held = learnt.tensor_split(2)
    else:
        learnt, held = learnt[:most], torch.randperm(len(validation), generator=draw)[:most]
    if not (len(learnt) and len(held)):
        return [], {}
    first, second = (
        _trial(net, samples, index, seed + n)
        for n, (samples, index) in enumerate([(source, learnt), (validation or source, held)])
    )
    plain = 0.0 if validation is not None else second.error(first.mean)
    return compared(net, first, second), usual(second.signs, first.signs, plain)


def compared(net: Net, learnt: Trial, held: Trial) -> list[Finding]:
    """What is wrong with held-out samples, for those who know others that were learnt from."""
    error, clean = held.error(held.output), np.nan_to_num(held.clean)
    findings = [
        doctor.exploding_output(clean, held.output),
        doctor.worse_than_mean(error, held.error(learnt.mean)),
    ]
    if held.seen is not held.clean:
        findings.append(doctor.worse_than_nothing(error, held.error(held.seen)))
    sparse = net.bottleneck.overcomplete  # whose code is no smaller than a sample
    linear = None if any(findings) or sparse else _linear(learnt, net.probe[0])
    if linear is not None:
        test = {"mse": error} | dict.fromkeys(net.probe[1], 0.0)
        best = held.error(linear(np.nan_to_num(held.seen)))
        findings.append(doctor.worse_than_linear({"test": test, "linear": {"mse": best}}))
    return doctor.found(*findings)


def _linear(learnt: Trial, size: int) -> LinearMap | None:
    """The best linear method with codes of a size; None where that is no task for it."""
    count, width = learnt.clean.shape
    seen, clean = np.nan_to_num(learnt.seen), np.nan_to_num(learnt.clean)
    if count < WORTH:
        return None
    if learnt.seen is not learnt.clean:
        return fit_denoiser([(seen, clean)], [size if size < width else None])[0]
    if size >= min(count - 1, width):
        return None
    return fit_principal([(clean, clean)], [size])[0]


def _trial(net: Net, source: Source, index: Tensor, seed: int) -> Trial:
    """What a network makes of the samples of an index, corrupted as in training."""
    batch = source.take(index.sort().values.to(net.device))
    draw = generator(seed, "trial", device=net.device.type)
    with torch.inference_mode():
        seen, clean = net.seen(batch, draw, hiding=False)
    kinds = [seen] if seen is clean else [seen, clean]
    found = np.concatenate([signs(net, rows, *batch.beside) for rows in kinds])
    rows = [kind.cpu().numpy() for kind in kinds]
    if net.fills:
        rows[0] = net.filled(seen).cpu().numpy()
    return Trial(rows[0], rows[-1], outputs(net, seen, *batch.beside), found)
