"""What the routes share: the models that are open, the batcher and the trainer."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from diabolo.studio.batching import Batcher
from diabolo.studio.opened import Opened, Shelf
from diabolo.studio.training import Trainer

Name = Annotated[
    str, Query(description="A path below the folder that is served; empty: the default model.")
]
TEMPERATURE = "How far codes are drawn from the middle of their law; 1: as it was learnt."
HEAVY = 2  # requests at a time that may take seconds
LARGEST = 2**53 - 1  # integer that JavaScript can hold
Seed = Annotated[int, Query(ge=0, le=LARGEST, description="The same seed, the same answer.")]


class Error(BaseModel):
    """What was wrong, and what to do, in a sentence."""

    error: str


class Service:
    """The folder that is served, and what is done with its models."""

    def __init__(
        self, root: Path, model: Path | None = None, *, join: bool = True, uploads: bool = False
    ) -> None:
        self.root, self.uploads = root, uploads
        self.shelf, self.batch, self.trainer = (
            Shelf(root, model),
            Batcher(join=join),
            Trainer(root),
        )
        self._heavy = CapacityLimiter(HEAVY)

    async def take(self, name: str) -> Opened:
        """The model of that name."""
        return await run_in_threadpool(self.shelf.take, name)

    async def heavily(self, function: Callable[[], Any]) -> Any:
        """What a function gives that may take seconds; few at a time, so that others go on."""
        return await to_thread.run_sync(function, limiter=self._heavy)

    def close(self) -> None:
        """End the training, with what it has kept, and the thread of inference."""
        self.trainer.close()
        self.batch.close()


async def served(request: Request) -> Service:
    """The service that a request is for."""
    found: Service = request.app.state.service
    return found


Served = Annotated[Service, Depends(served)]
