"""The floor: the matrix products of an epoch's steps, and nothing else."""

from benchmarks.task import Result, Task
from benchmarks.ways.ours import fitted
from diabolo.tasks.bench import floor


def train(task: Task) -> Result:
    """The products of the recipe's network, forward and backward."""
    net = fitted(task, 1, task.images[: task.batch_size]).net_
    parameters = sum(p.numel() for p in net.parameters())
    seconds = [floor(net, task.batch_size, task.kept) for _ in range(task.epochs)]
    return Result(seconds, parameters=parameters)
