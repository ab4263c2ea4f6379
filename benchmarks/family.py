"""The speed of each model beside pythae's: python -m benchmarks.family [ROW ...] [--rounds 7].

Samples a second of training, as ratios ours / theirs: 784-200-K-200-784 with ReLU on digits in
float32, squared error, Adam, no validation, one thread of a process in which each takes its turn,
medians over the rounds, by the processor's time. `trainer` is pythae's as it comes, which collates
samples one by one; `steps` is the same, given batches that are cut from memory as ours are; `at
most` is what the matrix products of these steps alone would reach. Start-up, saving and the first
epoch of each training are left out. Needs the benchmarks' requirements.
"""

import argparse
import logging
import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}

import numpy as np
import torch
from pythae import models, trainers
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
from torch import Tensor, nn

import diabolo
from benchmarks.table import Table
from benchmarks.task import Laps
from diabolo.data.mnist import read_split
from diabolo.net import Net
from diabolo.tasks.bench import floor

HIDDEN, CRITIC, DRAWS, WORDS, COMPONENTS = 200, 64, 5, 512, 128
EPOCHS = 3


class Pair(NamedTuple):
    """A model of ours and of theirs, with what each is told."""

    ours: str
    told: dict[str, Any]
    theirs: str
    asked: dict[str, Any]


PAIRS = {
    "autoencoder": Pair("Autoencoder", {}, "AE", {}),
    "VAE": Pair("VAE", {}, "VAE", {}),
    "beta-VAE": Pair("VAE", {"beta": 4.0}, "BetaVAE", {"beta": 4.0}),
    "beta-VAE, capacity": Pair(
        "VAE",
        {"beta": 4.0, "capacity": 25.0, "warmup": 1000},
        "DisentangledBetaVAE",
        {"beta": 4.0, "C": 25.0},
    ),
    "VampPrior": Pair("VAE", {"prior": "vamp"}, "VAMP", {"number_components": COMPONENTS}),
    "IWAE": Pair("IWAE", {"samples": DRAWS}, "IWAE", {"number_samples": DRAWS}),
    "WAE-MMD": Pair("WAE", {}, "WAE_MMD", {"kernel_choice": "rbf"}),
    "InfoVAE-MMD": Pair("InfoVAE", {}, "INFOVAE_MMD", {"kernel_choice": "rbf"}),
    "VQ-VAE": Pair("VQVAE", {"codebook_size": WORDS}, "VQVAE", {"num_embeddings": WORDS}),
    "adversarial": Pair("AdversarialAutoencoder", {}, "Adversarial_AE", {}),
}


@dataclass(frozen=True)
class Setting:
    """Samples (N, 784), numbers in a code, and samples in a step."""

    x: np.ndarray
    code: int
    batch: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.family", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(PAIRS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--samples", type=int, default=12_800)
    parser.add_argument("--code", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the table there")
    options = parser.parse_args()
    logging.disable()
    torch.set_num_threads(1)
    time.perf_counter = time.process_time  # in both: the time of others is not theirs
    images = read_split("train")[0][: options.samples]
    x = images.reshape(len(images), -1) / np.float32(255)
    setting = Setting(x, options.code, options.batch)
    head = ["model", "ours, samples/s", "x trainer", "x steps", "least-most", "x at most"]
    table = Table("family", head, options.json)
    for name in options.rows or PAIRS:
        table.row(name, *compared(PAIRS[name], setting, options.rounds))


def compared(pair: Pair, setting: Setting, rounds: int) -> list[str]:
    """The cells of a row."""
    turns = np.array([turn(pair, setting) for _ in range(rounds)])
    own, *others = turns.T
    trainer, steps, bound = (np.median(other / own) for other in others)
    spread = f"{(others[1] / own).min():.2f}-{(others[1] / own).max():.2f}"
    rate = len(setting.x) / np.median(own)
    return [f"{rate:,.0f}", f"{trainer:.2f}", f"{steps:.2f}", spread, f"{steps / bound:.2f}"]


def turn(pair: Pair, setting: Setting) -> list[float]:
    """Seconds of an epoch: of ours, their trainer, their steps, and the products alone."""
    net, seconds = ours(pair, setting)
    others = [theirs(pair, setting, cut=cut) for cut in (False, True)]
    return [seconds, *others, floor(net, setting.batch, len(setting.x))]


def ours(pair: Pair, setting: Setting) -> tuple[Net, float]:
    """The network, and seconds of an epoch."""
    size = {"code_dim": setting.code} if pair.ours == "VQVAE" else {}  # of a whole code, as theirs
    model = getattr(diabolo, pair.ours)(
        latent_dim=setting.code,
        hidden=(HIDDEN,),
        linear=False,
        activation="relu",
        output_activation="identity",
        scaling=None,
        epochs=EPOCHS,
        batch_size=setting.batch,
        learning_rate=1e-3,
        schedule="constant",
        validation_fraction=0.0,
        early_stopping=None,
        random_state=0,
        device="cpu",
        **size,
        **pair.told,
    ).fit(setting.x)
    return model.net_, statistics.median(model.history_["seconds"][1:])


def theirs(pair: Pair, setting: Setting, *, cut: bool) -> float:
    """Seconds of an epoch; `cut`: of batches that are cut from memory."""
    kind, features = getattr(models, pair.theirs), setting.x.shape[1]
    named = f"{pair.theirs}_Config" if "_" in pair.theirs else f"{pair.theirs}Config"
    asked = {"use_ema": True} if pair.theirs == "VQVAE" else {}  # as ours
    config = getattr(models, named)(
        input_dim=(features,), latent_dim=setting.code, **asked, **pair.asked
    )
    spread = hasattr(config, "reconstruction_loss")  # its codes have a variance
    parts: list[Any] = [Encoder(setting.code, features, spread=spread)]
    parts.append(Decoder(setting.code, features))
    adversarial = pair.theirs == "Adversarial_AE"
    parts += [Critic(setting.code)] if adversarial else []
    trainer = AdversarialTimed if adversarial else Timed
    data = BaseDataset(torch.from_numpy(setting.x), torch.zeros(len(setting.x)))
    with TemporaryDirectory() as folder:
        told = getattr(trainers, f"{'Adversarial' if adversarial else 'Base'}TrainerConfig")(
            output_dir=folder,
            num_epochs=EPOCHS,
            per_device_train_batch_size=setting.batch,
            **({} if adversarial else {"learning_rate": 1e-3}),
        )
        training = trainer(kind(config, *parts), data, training_config=told)
        if cut:
            training.train_loader = Cut(data.data, setting.batch)
        training.train()
    return statistics.median(training.laps.seconds[1:])


class Timing:
    """Times the epochs of a trainer."""

    def train_step(self, epoch: int) -> Any:
        """An epoch."""
        if epoch == 1:
            self.laps = Laps()
        self.laps.start()
        found = super().train_step(epoch)  # type: ignore[misc]
        self.laps.stop()
        return found


class Timed(Timing, trainers.BaseTrainer):
    """Of one optimiser."""


class AdversarialTimed(Timing, trainers.AdversarialTrainer):
    """Of two."""


@dataclass
class Cut:
    """Batches in a random order, as a loader gives them."""

    dataset: Tensor
    rows: int

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.rows)

    def __iter__(self) -> Iterator[DatasetOutput]:
        for index in torch.randperm(len(self.dataset)).split(self.rows):
            yield DatasetOutput(data=self.dataset[index])


def layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Encoder(BaseEncoder):
    """Codes, or their means and log-variances."""

    def __init__(self, code: int, features: int, *, spread: bool) -> None:
        super().__init__()
        self.parts = 2 if spread else 1
        self.network = layers(features, HIDDEN, self.parts * code)

    def forward(self, x: Tensor) -> ModelOutput:
        """Those of a batch."""
        found = self.network(x).chunk(self.parts, 1)
        names = ("embedding", "log_covariance")
        return ModelOutput(**dict(zip(names, found, strict=False)))


class Decoder(BaseDecoder):
    """Reconstructions."""

    def __init__(self, code: int, features: int) -> None:
        super().__init__()
        self.network = layers(code, HIDDEN, features)

    def forward(self, z: Tensor) -> ModelOutput:
        """Of codes."""
        return ModelOutput(reconstruction=self.network(z))


class Critic(BaseDiscriminator):
    """How probable it is that codes are draws of the prior; of our sizes."""

    def __init__(self, code: int) -> None:
        super().__init__()
        first = [nn.Linear(code, CRITIC), nn.LeakyReLU(), nn.Linear(CRITIC, CRITIC)]
        self.network = nn.Sequential(*first, nn.LeakyReLU(), nn.Linear(CRITIC, 1), nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:
        """Of codes."""
        return ModelOutput(embedding=self.network(z))


if __name__ == "__main__":
    main()
