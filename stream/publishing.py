"""The batch scored last, on its way out: encoded on a thread of its own and sent, while the next one is scored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from stream.assembly import Core
from stream.errors import FencedError
from stream.events import Reject
from stream.kafka.publisher import Batch, Publisher
from stream.metrics import Metrics
from stream.pipeline import Outcome
from stream.settings import Settings
from stream.stages import Laps, on_thread


class Step(NamedTuple):
    """What became of a micro-batch."""

    taken: int
    outcome: Outcome
    rejects: Sequence[Reject]


class Publishing:
    """One batch at a time; what it says of it, it says when it is sent."""

    def __init__(
        self,
        settings: Settings,
        *,
        publisher: Publisher,
        metrics: Metrics,
        core: Core,
        fenced: Callable[[FencedError], None],
    ) -> None:
        self._settings, self._metrics, self._core = settings, metrics, core
        self._publisher, self._fenced = publisher, fenced
        self._thread = ThreadPoolExecutor(1, "encoding")
        self._task: asyncio.Task[None] | None = None

    def begin(self, step: Step) -> None:
        """Publish the next batch; the one before has ended."""
        self._task = asyncio.create_task(self._publish(step))

    async def ended(self) -> None:
        """Returns when the batch scored last is sent; raises what went wrong with it."""
        if self._task is not None:
            await self._task

    async def close(self) -> None:
        """Let the batch in flight end, however it does."""
        await asyncio.gather(*filter(None, [self._task]), return_exceptions=True)
        self._thread.shutdown()

    async def _publish(self, step: Step) -> None:
        now_ms = time.time_ns() // 1_000_000
        batches = await on_thread(self._thread, self._encode, step, now_ms, size=step.taken + len(step.rejects))
        try:
            await self._publisher.send(batches)
        except FencedError as error:
            self._fenced(error)
            return
        self._metrics.count_rejects(step.rejects, self._settings.read_topics)
        outcome = step.outcome
        self._metrics.replayed.inc(outcome.held)
        self._metrics.repeated.inc(outcome.repeated)
        self._metrics.deferred.inc(len(outcome.deferred))
        topics, model = self._settings.source_topics, self._core.model  # none other has its turn before this is sent
        self._metrics.observe_scores(outcome.scored, topics, model.name, model.card.sizes.horizons, now_ms)

    def _encode(self, step: Step, now_ms: int) -> list[Batch]:
        lap = Laps(self._metrics)
        batches = self._publisher.build(step.outcome.scored, step.rejects, now_ms)
        lap("encode")
        return batches
