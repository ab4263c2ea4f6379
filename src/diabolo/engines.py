"""Engines: the uses of a fitted model over many rows, by several processes or machines.

An engine maps a function over blocks of samples, in order. The blocks are those of a single
process, so that the answers are its answers: to the bit, where the processors are alike.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from diabolo.data.files import why
from diabolo.data.mapped import Each, streamed
from diabolo.errors import InputError

LIMITS, RESTARTS = ("max_restarts", "max_task_retries"), 2  # of a worker; Ray's own: without end
MISSING = 'The engine ray is not installed: pip install "diabolo[ray]".'


def over(use: Callable[..., Any], X: Any, engine: str | None = None, **more: Any) -> Any:
    """What `use` makes of the rows of X, in order; see `streamed`."""
    return use(X, **more) if engine is None else streamed(use, X, each=mapper(engine), **more)


def mapper(engine: str | None) -> Each:
    """What maps a function over parts, in order: the builtin, or an engine in its place."""
    return map if engine is None else _by_ray


class _Worker:
    """A process that has the function, with its model, once; gives what it makes of a part."""

    def __init__(self, function: Callable[[Any], Any], parts: Sequence[Any]) -> None:
        self.function, self.parts = function, parts

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        import ray

        try:
            found = self.function(ray.get(self.parts[row["item"]]))
        except InputError as error:
            found = error
        return {"found": pickle.dumps(found)}


def _by_ray(function: Callable[[Any], Any], parts: Sequence[Any]) -> Iterator[Any]:
    """Maps a function over parts by Ray Data, a worker for each processor at most."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError(MISSING) from None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    began = not ray.is_initialized()
    if began:
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError) as error:
            raise InputError(f"Ray does not start: {why(error)}") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    most = max(1, min(len(parts), int(ray.cluster_resources()["CPU"])))
    try:
        there = [ray.put(part) for part in parts]
        numbers = ray.data.from_items(list(range(len(parts))), override_num_blocks=len(parts))
        worker: Any = _Worker
        rows = numbers.map(
            worker,
            fn_constructor_args=(function, there),
            compute=ray.data.ActorPoolStrategy(min_size=most, max_size=most),
            num_cpus=1,
            ray_remote_args_fn=lambda: dict.fromkeys(LIMITS, RESTARTS),
        )
        for row in rows.iter_rows():
            found = pickle.loads(row["found"])
            if isinstance(found, InputError):
                raise found
            yield found
    except ray.exceptions.RayError as error:
        raise InputError(
            f"A worker of Ray died, also when it was begun again ({type(error).__name__}): it may"
            " have had too little memory; with fewer processors there are fewer workers."
        ) from None
    finally:
        if began:
            ray.shutdown()
