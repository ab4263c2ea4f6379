"""pythae's `BaseTrainer` and `AE`, with networks of the recipe's sizes; nothing saved or shown."""

import logging
from tempfile import TemporaryDirectory

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import AE, AEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from benchmarks.task import Laps, Result, Task
from benchmarks.ways.plain import dense, noisy


def train(task: Task) -> Result:
    """The trainer's `train`."""
    logging.disable()
    torch.manual_seed(task.seed)
    x, network, cut = torch.from_numpy(task.scaled(task.images)), dense(task), 2 * len(task.half)
    encoder, decoder = Encoder(task, network[: cut - 2]), Decoder(network[cut - 2 :])
    kind = CrossEntropyAE if task.bernoulli else AE
    with TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            seed=task.seed,
            num_epochs=task.epochs,
            per_device_train_batch_size=task.batch_size,
            learning_rate=task.rate,
            optimizer_params={"eps": task.epsilon * 784},  # its loss is a sum over the features
        )
        model = kind(AEConfig((784,), task.half[-1]), encoder, decoder)
        trainer = Timed(model, BaseDataset(x, torch.zeros(len(x))), training_config=config)
        trainer.train()
    parameters = sum(p.numel() for p in network.parameters())
    return Result(trainer.laps.seconds, trainer.losses[-1] / 784, parameters)


class Timed(BaseTrainer):
    """Times the epochs."""

    def train_step(self, epoch: int) -> float:
        """An epoch."""
        if epoch == 1:
            self.laps, self.losses = Laps(), []
        self.laps.start()
        self.losses.append(super().train_step(epoch))
        self.laps.stop()
        return self.losses[-1]


class CrossEntropyAE(AE):
    """pythae's AE, which has the squared error only."""

    def loss_function(self, recon_x: Tensor, x: Tensor) -> Tensor:
        """Summed over the features, as pythae's."""
        return nn.functional.binary_cross_entropy(recon_x, x, reduction="none").sum(-1).mean(0)


class Encoder(BaseEncoder):
    """Adds the recipe's noise in training."""

    def __init__(self, task: Task, network: nn.Module) -> None:
        super().__init__()
        self.task, self.network = task, network

    def forward(self, x: Tensor) -> ModelOutput:
        """Codes of a batch."""
        return ModelOutput(embedding=self.network(noisy(self.task, x) if self.training else x))


class Decoder(BaseDecoder):
    """The other half of the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> ModelOutput:
        """Reconstructions of codes."""
        return ModelOutput(reconstruction=self.network(z))
