"""Connections of which nothing comes: they end, so that they keep nobody out."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

WAIT = 10.0  # seconds after which a connection without a request is ended
MOST = 512  # at a time: fewer than the files that a process may have open


class Patient(H11Protocol):
    """HTTP of uvicorn, with a deadline for every request's head, and a most of connections.

    Where there are more, the one that has waited longest for a request makes room.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since, self.watch = self.loop.time(), self.loop.call_later(WAIT, self._look)
        if len(self.connections) > MOST:
            waiting = [c for c in self.connections if isinstance(c, Patient) and c.idle]
            min(waiting, key=lambda c: c.since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.watch.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        """End where the head of a request has not come in time."""
        if self.idle and self.loop.time() - self.since >= WAIT:
            self.transport.abort()
        else:
            self.watch = self.loop.call_later(WAIT / 2, self._look)
