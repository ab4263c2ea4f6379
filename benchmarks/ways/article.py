"""The articles' own way: a PyTorch DataLoader over a data set with a per-sample transform.

The data set does what torchvision's `MNIST` with `ToTensor` does, and `Normalize(0.5, 0.5)`
where the recipe's range is [-1, 1].
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.task import Result, Task
from benchmarks.ways.plain import loop


def train(task: Task) -> Result:
    """Shuffled, no workers, as in the articles."""
    digits = Digits(torch.from_numpy(task.images.copy()), task.low)
    loader = DataLoader(digits, batch_size=task.batch_size, shuffle=True)
    return loop(task, lambda: (x.view(x.size(0), -1) for x, _ in loader))


class Digits(Dataset[tuple[Tensor, int]]):
    """Images through PIL, one at a time."""

    def __init__(self, data: Tensor, low: int) -> None:
        self.data, self.targets, self.low = data, torch.zeros(len(data), dtype=torch.long), low

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = self.data[index], int(self.targets[index])
        x = to_tensor(Image.fromarray(image.numpy()))
        return (normalize(x) if self.low else x), target


def to_tensor(image: Image.Image) -> Tensor:
    """torchvision's `ToTensor`."""
    x = torch.from_numpy(np.array(image, np.uint8, copy=True))
    x = x.view(image.size[1], image.size[0], 1).permute(2, 0, 1).contiguous()
    return x.to(torch.float32).div(255)


def normalize(x: Tensor) -> Tensor:
    """torchvision's `Normalize`."""
    mean, std = torch.as_tensor([0.5]), torch.as_tensor([0.5])
    return x.clone().sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))
