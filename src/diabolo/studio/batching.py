"""Joining requests: calls that wait for the same function are made as one.

One thread works. A call that finds it idle starts at once; those that come while it works wait,
and whatever waits for the first one's function then goes with it, up to `ROWS` rows. Inference
works in blocks of rows and gives each row the same answer whatever is beside it, so that joining
saves time and changes nothing.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

ROWS = 512  # of one call: what another request may have to wait for


@dataclass(eq=False)
class _Call:
    function: Callable[[np.ndarray], Any]
    rows: np.ndarray
    future: asyncio.Future[Any]

    def joins(self, other: "_Call") -> bool:
        alike = self.rows.shape[1:], self.rows.dtype
        return self.function == other.function and alike == (
            other.rows.shape[1:],
            other.rows.dtype,
        )


class Batcher:
    """Calls functions of rows (N, ...) that answer with N rows, or with a tuple of such."""

    def __init__(self, *, join: bool = True) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._waiting: list[_Call] = []
        self._working: asyncio.Task[None] | None = None
        self._most = ROWS if join else 1

    async def __call__(self, function: Callable[[np.ndarray], Any], rows: np.ndarray) -> Any:
        """`function(rows)`; raises what it raises."""
        parts = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
        return _joined([await self._call(function, part) for part in parts or [rows]])

    def close(self) -> None:
        """End the thread."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[np.ndarray], Any], rows: np.ndarray) -> Any:
        call = _Call(function, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await call.future

    async def _work(self) -> None:
        while self._waiting:
            await self._answer(self._next())
        self._working = None

    def _next(self) -> list[_Call]:
        """The first call that waits, and those that join it."""
        first, *others = self._waiting
        taken, left, count = [first], list[_Call](), len(first.rows)
        for call in others:
            joins = call.joins(first) and count + len(call.rows) <= self._most
            (taken if joins else left).append(call)
            count += len(call.rows) if joins else 0
        self._waiting = left
        return taken

    async def _answer(self, calls: list[_Call]) -> None:
        loop = asyncio.get_running_loop()
        try:
            rows = calls[0].rows if len(calls) == 1 else np.concatenate([c.rows for c in calls])
            answer = await loop.run_in_executor(self._worker, calls[0].function, rows)
        except Exception as error:
            if len(calls) == 1:
                _settle(calls[0], error=error)
                return
            for call in calls:  # one bad request fails alone
                await self._answer([call])
            return
        start = 0
        for call in calls:
            stop = start + len(call.rows)
            _settle(call, _part(answer, slice(start, stop)))
            start = stop


def _settle(call: _Call, answer: Any = None, error: Exception | None = None) -> None:
    """Give the answer to a caller who has not gone away."""
    if call.future.done():
        return
    if error is None:
        call.future.set_result(answer)
    else:
        call.future.set_exception(error)


def _part(answer: Any, rows: slice) -> Any:
    return tuple(a[rows] for a in answer) if isinstance(answer, tuple) else answer[rows]


def _joined(answers: list[Any]) -> Any:
    if len(answers) == 1:
        return answers[0]
    if isinstance(answers[0], tuple):
        return tuple(map(np.concatenate, zip(*answers, strict=True)))
    return np.concatenate(answers)
