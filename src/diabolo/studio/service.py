"""What the routes share: the models that are open, the batcher and the trainer."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from diabolo.studio.batching import Batcher
from diabolo.studio.opened import Opened, Shelf
from diabolo.studio.training import Trainer

Name = Annotated[
    str, Query(description="A path below the folder that is served; empty: the default model.")
]
TEMPERATURE = "How far codes are drawn from the middle of their law; 1: as it was learnt."
HEAVY = 2  # requests at a time that may take seconds
WATCHED = 0.5  # seconds between two looks whether who asked is still there
LARGEST = 2**53 - 1  # integer that JavaScript can hold
BYTES = "application/octet-stream"
BINARY = {"schema": {"type": "string", "format": "binary"}}
BODY = {"requestBody": {"content": {BYTES: BINARY}, "required": True}}  # a file, as OpenAPI says
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
        self.shelf, self.trainer = Shelf(root, model), Trainer(root)
        self.batch = Batcher(join=join)
        self.jobs: dict[str, float] = {}  # name -> the share that is done
        self._heavy = CapacityLimiter(HEAVY)

    async def take(self, name: str) -> Opened:
        """The model of that name."""
        return await run_in_threadpool(self.shelf.take, name)

    async def heavily(self, function: Callable[[], Any]) -> Any:
        """What a function gives that may take seconds; few at a time, so that others go on."""
        return await to_thread.run_sync(function, limiter=self._heavy)

    async def watched(
        self, job: str, request: Request, function: Callable[[Callable[[float], None]], Any]
    ) -> Any:
        """As `heavily`, for a function that tells the share that is done: it is kept as `job`.

        The function ends early, by `ClientDisconnect`, where who asked is gone.
        """
        gone = False

        def told(share: float) -> None:
            if gone:
                raise ClientDisconnect
            if job:
                self.jobs[job] = share

        work = asyncio.ensure_future(self.heavily(lambda: function(told)))
        try:
            while not (await asyncio.wait({work}, timeout=WATCHED))[0]:
                gone = await request.is_disconnected()
            return work.result()
        finally:
            self.jobs.pop(job, None)

    def close(self) -> None:
        """End the training, with what it has kept, and the thread of inference."""
        self.trainer.close()
        self.batch.close()


async def served(request: Request) -> Service:
    """The service that a request is for."""
    found: Service = request.app.state.service
    return found


Served = Annotated[Service, Depends(served)]
