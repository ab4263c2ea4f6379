"""The page at once: it is served while what is heavy is imported and the model is read.

What else is asked of the service waits until that is done.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from diabolo.studio.guard import Guard, Receive, RefusedError, Send

PAGE = str(resources.files("diabolo.studio") / "page")
SOON = 0.3  # seconds after which to begin to load though nobody has asked for the page
FAILED = "The studio cannot open; why is in its terminal."


def page_routes(answered: Callable[[], Any] = lambda: None) -> list[BaseRoute]:
    """The page and its files; `answered` is called when the page was."""

    async def told() -> None:
        answered()

    async def page(request: Any) -> FileResponse:
        return FileResponse(f"{PAGE}/index.html", background=BackgroundTask(told))

    return [Route("/", page), Mount("/page", StaticFiles(directory=PAGE))]


async def _refused(request: Any, error: Any) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


class Opening:
    """An application that becomes the one that `load` gives, in a thread, and is the page before.

    Where loading fails, `failure` is why, and `failed` is called.
    """

    def __init__(self, load: Callable[[], Any], failed: Callable[[], Any]) -> None:
        self.load, self.failed = load, failed
        self.failure: Exception | None = None

    def guarded(self, *, hosts: Collection[str] | None, token: str | None) -> Guard:
        """The application, for those who may ask."""
        self.asked = asyncio.Event()
        routes = [*page_routes(self.asked.set), Mount("", app=self._rest)]
        app = Starlette(
            routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: _refused}
        )
        return Guard(app, hosts=hosts, token=token)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.loading = asyncio.create_task(self._load())
        yield
        loaded = await self.loading
        if loaded is not None:
            loaded.state.service.close()

    async def _load(self) -> Any:
        """The application; None where it cannot be had."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.asked.wait(), SOON)
        try:
            return await asyncio.to_thread(self.load)
        except Exception as error:
            self.failure = error
            self.failed()

    async def _rest(self, scope: Any, receive: Receive, send: Send) -> None:
        loaded = await asyncio.shield(self.loading)
        if loaded is None:
            raise RefusedError(503, FAILED)
        await loaded(scope, receive, send)
