"""Who may ask, and how much: what every request passes before it reaches a route.

A page of another site may send requests to a service on this machine, or make its own name point
here (DNS rebinding). So the `Host` must be one the service was opened under, and where the
browser names an `Origin` it must be this service's. Beyond this machine a token is needed, too.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

BODY_BYTES = 64 << 20
HELD_BYTES = 512 << 20  # in all bodies at a time
JSON_BYTES = 16 << 20  # of which to read more would keep every other request waiting
BODY_SECONDS = 30.0  # in which a body must have arrived
REQUESTS = 128  # answered at a time
LISTS = 1 << 18  # in a JSON body: each takes as long to read as some hundred digits
TOO_MANY = "Too many requests at a time: try again in a second."
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


class RefusedError(HTTPException):
    """A request that is not answered, with its status and the sentence that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence, {"connection": "close", **_asked_for(status)})


class Guard:
    """ASGI middleware: refuses strangers, bodies that are too large, and too many at a time."""

    def __init__(
        self,
        app: App,
        *,
        hosts: Collection[str] | None,
        token: str | None = None,
        most_bytes: int = BODY_BYTES,
        most_json: int = JSON_BYTES,
        most_requests: int = REQUESTS,
    ) -> None:
        self.app, self.hosts, self.token = app, hosts, token
        self.most_bytes, self.most_json = most_bytes, most_json
        self.most_requests, self.active, self.held = most_requests, 0, 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> None:
        started, body = False, None

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                extra = ((k.encode(), v.encode()) for k, v in HEADERS.items())
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
            self._check(scope["path"], headers)
            body = _Body(self, self._most(headers), is_json=_is_json(headers))
            await body.arrived(receive)
            self._begin()
            try:
                await self.app(scope, body.receive, guarded)
            finally:
                self.active -= 1
        except RefusedError as error:
            if not started:
                said = {"error": error.detail}
                answer = JSONResponse(said, error.status_code, headers=error.headers)
                await answer(scope, receive, guarded)
        finally:
            self.held -= body.size if body else 0

    def _begin(self) -> None:
        """Count a request whose body is there."""
        if self.active >= self.most_requests:
            raise RefusedError(503, TOO_MANY)
        self.active += 1

    def _most(self, headers: dict[str, str]) -> int:
        """The bytes that a body may have, by its content type."""
        return min(self.most_json, self.most_bytes) if _is_json(headers) else self.most_bytes

    def _check(self, path: str, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if self.hosts is not None and host not in self.hosts:
            raise RefusedError(403, f"This service is not known as {host!r}.")
        origin = headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        foreign |= headers.get("sec-fetch-site") in ("cross-site", "same-site")
        asks = path.startswith("/api")
        if foreign and asks:
            raise RefusedError(403, "Pages of other sites may not ask this service.")
        if self.token is not None and asks:
            given = headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                raise RefusedError(
                    401, "The token is missing or wrong: open the address as printed."
                )
        length, most = headers.get("content-length", "0"), self._most(headers)
        if length.isdecimal() and int(length) > most:
            raise _too_large(most)


class _Body:
    """The body of a request, which must arrive within its limits of size and time.

    While it does the request is not among those that are answered: slow ones keep nobody out.
    """

    def __init__(self, guard: Guard, most: int, *, is_json: bool) -> None:
        self._guard, self._most, self._is_json = guard, most, is_json
        self._parts: list[bytes] = []
        self.size, self._lists = 0, 0

    async def arrived(self, receive: Receive) -> None:
        """Wait until it is there."""
        self._receive = receive
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while self._take(await receive()):
                    pass
        except TimeoutError:
            raise RefusedError(
                408, f"The body did not arrive in {BODY_SECONDS:.0f} seconds."
            ) from None

    def _take(self, message: Message) -> bool:
        """Keep a part of it; whether there is more."""
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The body ended too early.")
        part = message.get("body", b"")
        self._parts.append(part)
        self.size += len(part)
        self._guard.held += len(part)
        if self.size > self._most:
            raise _too_large(self._most)
        if self._guard.held > HELD_BYTES:
            raise RefusedError(503, TOO_MANY)
        self._lists += part.count(b"[") if self._is_json else 0
        if self._lists > LISTS:
            raise RefusedError(413, f"The body has more than {LISTS} lists: send samples as .npy.")
        return bool(message.get("more_body", False))

    async def receive(self) -> Message:
        if not self._parts:
            return await self._receive()
        whole = b"".join(self._parts)
        self._parts.clear()
        return {"type": "http.request", "body": whole, "more_body": False}


def _is_json(headers: dict[str, str]) -> bool:
    return "json" in headers.get("content-type", "").lower()


def _too_large(most: int) -> RefusedError:
    return RefusedError(
        413, f"The body has more than {most >> 20} MiB: send fewer samples at a time, as .npy."
    )


def _asked_for(status: int) -> dict[str, str]:
    """The headers that HTTP asks for beside a status."""
    return {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}.get(status, {})
