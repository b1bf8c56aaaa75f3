"""After a change of the model: carries of users in memory are made anew before their next event comes.

A small slice of them between two batches, so that a batch waits for one slice at most; where there is nothing to score,
one slice after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager

from stream.assembly import Core
from stream.metrics import Metrics
from stream.stages import on_thread

# Users of a slice, of 16 events each: 10 ms of a core, 40 us a user; and 4.4 ms, 70 us a user.
_SLICE_USERS, _BETWEEN_BATCHES_USERS = 256, 64
_COUNTED_SECS = 1.0  # how often those left are counted, which takes 10 ms for 500,000 users
_WAIT_SECS = 0.1  # for a checkpoint to make room


class Refreshing:
    """Begins when it is told to, and goes on until nobody is left."""

    def __init__(
        self,
        core: Core,
        *,
        between_batches: Callable[[], AbstractAsyncContextManager[None]],
        scoring: ThreadPoolExecutor,
        events_wait: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self._core, self._between_batches, self._scoring, self._metrics = core, between_batches, scoring, metrics
        self._events_wait = events_wait
        self._to_do = asyncio.Event()

    def begin(self) -> None:
        """The model has changed."""
        self._to_do.set()

    def pause(self) -> None:
        """It is about to change: what is made now would be made anew."""
        self._to_do.clear()

    async def run(self) -> None:
        """Until cancelled; a slice that was begun is finished."""
        counted_at = 0.0
        while True:
            await self._to_do.wait()
            if self._core.table.crowded:  # by rows that wait for a checkpoint: no more of them
                await asyncio.sleep(_WAIT_SECS)
                continue
            await asyncio.shield(self._slice())
            if not self._to_do.is_set() or time.monotonic() - counted_at > _COUNTED_SECS:
                await asyncio.shield(self._count())
                counted_at = time.monotonic()

    async def _slice(self) -> None:
        async with self._between_batches():
            if not self._to_do.is_set():
                return  # paused meanwhile
            users = _BETWEEN_BATCHES_USERS if self._events_wait() else _SLICE_USERS
            made: int = await on_thread(self._scoring, self._core.pipeline.refresh, users)
            if not made:
                self._to_do.clear()
        self._metrics.carries_rebuilt_ahead.inc(made)

    async def _count(self) -> None:
        async with self._between_batches():
            left = await on_thread(self._scoring, self._core.table.stale_users)
        self._metrics.stale_users.set(left)
