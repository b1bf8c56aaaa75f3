"""When each partition is committed, and what goes into it: its changed rows, and the offsets that they reach up to.

A checkpoint takes its rows, offsets and outputs between two batches, so that they belong together; while it waits for
the broker, scoring goes on. All of this is on the event loop, but for `_prepare`, on the scoring thread, and for what
the watch asks from its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from math import inf

from aiokafka import TopicPartition
from faust.types.tuples import TP

from stream.changing.offered import Offer
from stream.cuts import Cut, with_cut
from stream.erasing import Erasing
from stream.errors import FencedError
from stream.events import SOURCES
from stream.expiry import Expiry
from stream.intake import Intake
from stream.kafka.checkpoint import Checkpointer, PreparedRows
from stream.kafka.publisher import Publisher
from stream.liveness import Liveness
from stream.merge import Position, Source
from stream.metrics import Metrics
from stream.rows import PARTITION_KEY, PartitionRow, SourceTopic
from stream.settings import Settings
from stream.stages import on_thread
from stream.standing import Standing
from stream.table import Table

# Between two looks at what is due: what is owned may change meanwhile, and what is overdue may have to wait.
_LEAST_SECS, _MOST_SECS = 0.005, 0.1


class Failure:
    """What went wrong first, if anything has: nothing is committed after it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def note(self, error: BaseException) -> None:
        """Commit nothing from here on; the first failure is the one that is told."""
        self.error = self.error or error


class Committing:
    """The checkpoints of the owned partitions, each in its turn."""

    def __init__(
        self,
        settings: Settings,
        *,
        intake: Intake,
        table: Table,
        erasing: Erasing,
        expiry: Expiry,
        publisher: Publisher,
        checkpointer: Checkpointer,
        metrics: Metrics,
        liveness: Liveness,
        scoring: ThreadPoolExecutor,
        between_batches: Callable[[], AbstractAsyncContextManager[None]],
        failure: Failure,
        fenced: Callable[[FencedError], None],
    ) -> None:
        """Within `between_batches` no batch is being scored, and the last one is sent."""
        self._settings, self._metrics, self._liveness = settings, metrics, liveness
        self._intake, self._table, self._erasing, self._expiry = intake, table, erasing, expiry
        self._publisher, self._checkpointer = publisher, checkpointer
        self._scoring, self._between_batches, self._failure = scoring, between_batches, failure
        self._fenced = fenced
        self._one_at_a_time = asyncio.Lock()  # a checkpoint or a change of ownership
        self._interval_secs = settings.checkpoint_interval_ms / 1000.0
        self._due_at: dict[int, float] = {}  # by partition, when its next checkpoint is due
        self._topics: dict[Source, SourceTopic] = {}
        self._committed: dict[Source, tuple[Position, SourceTopic]] = {}
        self.partitions: set[int] = set()
        self._owned_any = False  # since the start, if perhaps nothing
        self.cuts: dict[int, tuple[Cut, ...]] = {}  # of each partition, as its row has them

    # -- ownership -----------------------------------------------------------------------------------------------------

    def paused(self) -> AbstractAsyncContextManager[None]:
        """Within it, no checkpoint is made."""
        return self._one_at_a_time

    async def own(self, partitions: set[int]) -> None:
        """Take these partitions on, and fence their former owners. Only while paused."""
        self._committed.clear()
        self._topics.clear()
        self._due_at.clear()
        self.cuts.clear()
        self.partitions, self._owned_any = partitions, True
        self._expiry.clear()
        await self._checkpointer.own(partitions)
        await self._publisher.start()

    def disown(self) -> None:
        """Commit nothing more of what is owned."""
        self.partitions = set()
        self._due_at.clear()

    def begin(self, standings: Mapping[Source, Standing]) -> None:
        """The owned partitions are restored, and go on from there: their intervals begin."""
        self._topics |= {source: at.topic for source, at in standings.items()}
        self._committed |= {source: at.committed for source, at in standings.items()}
        now = time.monotonic()
        # Their turns are spread over the interval, so that the load is even.
        gap_secs = self._interval_secs / max(1, len(self.partitions))
        self._due_at = {p: now + turn * gap_secs for turn, p in enumerate(sorted(self.partitions), 1)}

    # -- for the watch, from its thread --------------------------------------------------------------------------------

    def moved_at(self) -> float:
        """When something was last committed or restored."""
        return self._liveness.moved_at

    def topic_ids(self) -> dict[str, str]:
        """By name, the ids of the topics that are being read."""
        return {self._settings.read_topics[source]: topic.id for (source, _), topic in self._topics.copy().items()}

    def stands(self) -> dict[TopicPartition, int] | None:
        """The committed offset of each owned source partition; None while they are not known."""
        topics, committed = self._settings.source_topics, self._committed.copy()
        at = {TopicPartition(topics[s], p): at.offset for (s, p), (at, _) in committed.items() if s in SOURCES}
        return at if self._owned_any and (at or not self.partitions) else None

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    async def checkpoint(self) -> Mapping[TP, int]:
        """Checkpoint every partition -> the offsets committed by it."""
        return await self._each(lambda: self.partitions)

    async def checkpoint_due(self) -> Mapping[TP, int]:
        """Checkpoint the partitions whose interval is over, or all where rows fill the memory that cannot go before ->
        the offsets committed by it."""
        return await self._each(self._due)

    def _due(self) -> list[int]:
        now = inf if self._table.crowded else time.monotonic()
        return [partition for partition, due_at in self._due_at.items() if due_at <= now]

    def secs_until_due(self) -> float:
        """How long to wait before the next `checkpoint_due`."""
        due_at = min(self._due_at.values(), default=inf)
        return min(max(due_at - time.monotonic(), _LEAST_SECS), _MOST_SECS)

    async def cut(self, partitions: Iterable[int], offer: Offer, owned: set[int]) -> None:
        """Checkpoint these partitions, of which nothing is applied meanwhile, with it in their rows that what follows
        is this model's. Nothing where they are no longer the same `owned` ones."""
        await self._each(lambda: partitions, offer, owned)

    async def _each(
        self, which: Callable[[], Iterable[int]], offer: Offer | None = None, owned: set[int] | None = None
    ) -> Mapping[TP, int]:
        """One after the other: all at once they are a burst that keeps the interpreter from scoring. Which ones is
        asked when it is their turn: others who waited for theirs may have made them meanwhile.

        After a failure nothing is committed again: Faust commits once more while it shuts down, and rows that were
        written in part would then be taken for whole.
        """
        committed: dict[TP, int] = {}
        async with self._one_at_a_time:
            if owned is not None and owned is not self.partitions:
                return committed
            for partition in sorted(which()):
                if self._failure.error is not None or partition not in self.partitions:
                    continue
                started = time.monotonic()
                try:
                    offsets = await self._checkpoint(partition, offer)
                except FencedError as error:
                    self._fenced(error)
                    continue
                except BaseException as error:
                    self._failure.note(error)
                    raise
                if (due_at := self._due_at.get(partition, inf)) <= started:  # those between leave its turn as it is
                    self._due_at[partition] = max(due_at + self._interval_secs, started)
                if offsets:
                    self._liveness.committed()
                    self._metrics.checkpoints.inc()
                    self._metrics.checkpoint_seconds.observe(time.monotonic() - started)
                    committed |= offsets
        return committed

    async def _checkpoint(self, partition: int, offer: Offer | None) -> dict[TP, int]:
        """Outputs acknowledged, then rows and offsets committed; nothing where nothing moved."""
        async with self._between_batches():
            if self._failure.error is not None or partition not in self.partitions:
                return {}  # the batch that was waited for has failed
            passed = self._erasing.passed(partition)
            prepared, row = await on_thread(self._scoring, self._prepare, partition, passed, offer)
            if prepared is None:
                return {}
            outputs = self._publisher.cut(partition)
        topics = self._settings.read_topics
        offsets = {TopicPartition(topics[s], partition): at.offset for s, at in row.positions.items() if at.offset}
        await self._checkpointer.commit(partition, outputs, prepared, offsets)
        await on_thread(self._scoring, self._table.durable, partition)
        self._erasing.committed(partition)
        for source, at in row.positions.items():
            self._committed[source, partition] = (at, self._topics[source, partition])
        self.cuts[partition] = row.cuts
        return {TP(*tp): offset for tp, offset in offsets.items()}

    def _prepare(
        self, partition: int, passed: Mapping[int, int], offer: Offer | None
    ) -> tuple[PreparedRows | None, PartitionRow]:
        """The partition's changed rows and its own, or None where nothing moved since that was committed."""
        positions = {source: at for (source, p), at in self._intake.positions().items() if p == partition}
        self._erasing.grant(partition, positions, passed)
        positions |= {source: at for (source, p), at in self._erasing.positions().items() if p == partition}
        topics = {source: self._topics[source, partition] for source in positions}
        cuts = self.cuts.get(partition, ())
        if offer is not None:
            offsets = {source: at.offset for source, at in positions.items() if source in SOURCES}
            cuts = with_cut(cuts, offer.id, offer.model.name, offsets)
        row = PartitionRow(positions=positions, topics=topics, cuts=cuts)
        moved = any(self._committed[s, partition] != (at, topics[s]) for s, at in positions.items())
        if moved:
            self._metrics.users_expired.labels("deleted").inc(self._expiry.delete(partition, positions))
        changed = self._table.take_changed(partition)
        if not moved and not len(changed) and offer is None:
            return None, row
        # The partition's own row is the last of its checkpoint: whoever wants it alone finds it at the changelog's end.
        rows = [*changed.to_bytes(), (PARTITION_KEY, row.to_bytes())]
        self._metrics.rows_flushed.inc(len(rows))
        return self._checkpointer.prepare(partition, rows, time.time_ns() // 1_000_000), row
