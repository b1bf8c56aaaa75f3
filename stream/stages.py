"""A stage of a batch: where it runs, and how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stream.metrics import Metrics

# Events; below it, decoding and encoding take the event loop 2 ms at most, and a hand-over to a thread costs as much.
_WORTH_A_THREAD = 256


async def on_thread(
    thread: ThreadPoolExecutor, function: Callable[..., Any], *args: Any, size: int = _WORTH_A_THREAD
) -> Any:
    """Call on the thread what has this many events to do; a little, here."""
    if size < _WORTH_A_THREAD:
        return function(*args)
    return await asyncio.get_running_loop().run_in_executor(thread, function, *args)


class Laps:
    """Times stages, each from the end of the one before."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics, self._at = metrics, time.perf_counter()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self._metrics.stage_seconds.labels(stage).observe(now - self._at)
        self._at = now
