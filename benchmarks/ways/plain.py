"""The articles' loop in PyTorch, eager, with the scaled data in memory."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.task import Laps, Result, Task, rates

ROWS = 1024  # of a batch of inference


def train(task: Task) -> Result:
    """Batches are rows of one tensor, in a random order."""
    x = torch.from_numpy(task.scaled(task.images))
    x = x.reshape(-1, 1, 28, 28) if task.conv else x

    def batches() -> Iterable[Tensor]:
        order = torch.randperm(len(x))[: task.kept]
        return (x[index] for index in order.split(task.batch_size))

    return loop(task, batches)


def infer(task: Task) -> dict[str, float]:
    """Stored images in, numpy out, a thousand at a time."""
    network = dense(task)
    encoder = network[: 2 * len(task.half) - 2]
    return rates(partial(apply, task, encoder), partial(apply, task, network), task.images)


def apply(task: Task, module: nn.Module, images: np.ndarray) -> np.ndarray:
    """The module's answer to stored images."""
    with torch.inference_mode():
        blocks = torch.from_numpy(images).flatten(1).split(ROWS)
        scaled = (b.float() * ((1 - task.low) / 255) + task.low for b in blocks)
        return torch.cat([module(b) for b in scaled]).numpy()


def loop(task: Task, batches: Callable[[], Iterable[Tensor]]) -> Result:
    """Train on what `batches` gives in each epoch."""
    torch.manual_seed(task.seed)
    network = ConvVAE(task) if task.conv else dense(task)
    loss: Callable[..., Tensor] = conv_loss if task.conv else partial(dense_loss, task)
    epsilon = task.model["epsilon"] * 784 if task.conv else task.epsilon  # its loss is a sum
    optimizer = torch.optim.Adam(network.parameters(), task.rate, eps=epsilon)
    laps, total = Laps(), 0.0
    for _ in range(task.epochs):
        laps.start()
        total = 0.0
        for batch in batches():
            value = loss(network, batch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += value.item() * len(batch)
        laps.stop()
    return Result(laps.seconds, total / task.kept, sum(p.numel() for p in network.parameters()))


def dense(task: Task) -> nn.Sequential:
    """The network, with its output activation."""
    layers: list[nn.Module] = []
    for w, b in task.weights():
        linear = nn.Linear(*w.shape)
        linear.weight.data, linear.bias.data = torch.from_numpy(w.T.copy()), torch.from_numpy(b)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Tanh() if task.low else nn.Sigmoid())


def noisy(task: Task, x: Tensor) -> Tensor:
    """A batch as the network sees it."""
    return torch.clamp(x + task.std * torch.randn_like(x), task.low, 1) if task.std else x


def dense_loss(task: Task, network: nn.Module, x: Tensor) -> Tensor:
    """Mean loss per feature."""
    criterion = nn.BCELoss() if task.bernoulli else nn.MSELoss()
    return criterion(network(noisy(task, x)), x)


class ConvVAE(nn.Module):
    """The network of vae-conv."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        (a, b), k = task.model["hidden"], task.model["latent_dim"]
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, a, 3, 2, 1), nn.ReLU(), nn.Conv2d(a, b, 3, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(49 * b, 2 * k)),
        )
        self.decoder = nn.Sequential(
            *(nn.Linear(k, 49 * b), nn.Unflatten(1, (b, 7, 7))),
            *(nn.ConvTranspose2d(b, b, 3, 2, 1, output_padding=1), nn.ReLU()),
            *(nn.ConvTranspose2d(b, a, 3, 2, 1, output_padding=1), nn.ReLU()),
            *(nn.ConvTranspose2d(a, 1, 3, 1, 1), nn.Sigmoid()),
        )
        for weight in self.parameters():
            nn.init.xavier_uniform_(weight) if weight.ndim > 1 else nn.init.zeros_(weight)


def conv_loss(network: ConvVAE, x: Tensor) -> Tensor:
    """Half the summed squared error plus the KL, per sample."""
    mean, log_variance = network.encoder(x).chunk(2, dim=1)
    z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
    kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
    return ((network.decoder(z) - x).square().sum() / 2 + kl) / len(x)
