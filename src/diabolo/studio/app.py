"""The application: the routes under /api, the page, and what is answered when something is wrong.

A mistake is answered by `{"error": "One sentence."}`, never by a trace.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from diabolo import __version__
from diabolo.errors import InputError, out_of_memory
from diabolo.studio import programs, views
from diabolo.studio.guard import Guard
from diabolo.studio.opening import page_routes
from diabolo.studio.service import Error, Service
from diabolo.studio.training import BusyError

UNKNOWN = "The service failed; what happened is in its terminal."
REFUSALS = {
    400: "The body cannot be read.",
    401: "The token is missing or wrong.",
    403: "The request is from elsewhere, or is for something that is not allowed.",
    404: "There is nothing of that name.",
    408: "The body did not arrive in time.",
    409: "Something else is under way.",
    413: "The body is too large.",
    415: "The body is of a type that cannot be read.",
    422: "Something that was given is wrong.",
    503: "There are too many requests at a time.",
}


class Health(BaseModel):
    """That the service answers."""

    status: str = "ok"
    version: str = __version__


def create_app(
    service: Service, *, hosts: Collection[str] | None = None, token: str | None = None
) -> FastAPI:
    """The application of a service, guarded. `hosts`: the names it is known under; None: any."""
    app = application(service)
    app.add_middleware(Guard, hosts=hosts, token=token)
    return app


def application(service: Service) -> FastAPI:
    """The application of a service, for whoever asks."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="diabolo",
        version=__version__,
        description="Autoencoders: reconstruct, denoise, encode, generate, score, train.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        routes=page_routes(),
        responses={code: {"model": Error, "description": d} for code, d in REFUSALS.items()},
    )

    @app.get("/api/health")
    async def health() -> Health:
        """Whether the service answers."""
        return Health()

    app.state.service = service
    for module in (programs, views):
        app.include_router(module.api, prefix="/api")
    _explain(app)
    return app


def _explain(app: FastAPI) -> None:
    """Answer every failure with a sentence."""

    def said(status: int, sentence: str, headers: Any = None) -> JSONResponse:
        return JSONResponse({"error": sentence}, status, headers)

    @app.exception_handler(InputError)
    async def mistaken(request: Request, error: InputError) -> JSONResponse:
        return said(409 if isinstance(error, BusyError) else 422, " ".join(str(error).split()))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return said(422, f"{place or 'The request'}: {first['msg']}.")

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return said(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return said(400, "The body ended too early.")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        full = out_of_memory(error)
        return said(507 if full else 500, full or UNKNOWN)
