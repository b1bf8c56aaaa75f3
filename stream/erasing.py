"""Users who are forgotten on request: from the topic of erasures to the checkpoint that deletes their rows.

    request -> all that was sent before it is applied -> row deleted in memory and on the device
            -> [tombstone, offset of the request] in the partition's transaction -> RocksDB -> its files compacted

A crash before the transaction has the request brought again. Nobody's id is logged here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from faust.types.tuples import TP

from stream import rows as row_format
from stream.erasures import Erasures
from stream.events import SOURCES, Reject
from stream.intake import Intake
from stream.kafka import faults
from stream.kafka.store import RowStore
from stream.merge import Position, Source
from stream.metrics import Metrics
from stream.settings import Settings
from stream.table import Table

logger = logging.getLogger(__name__)

_ASK_TIMEOUT_SECS, _ASK_AGAIN_SECS = 10.0, 1.0


class Reach(Protocol):
    """What this asks of the consumer."""

    def read_to(self) -> Mapping[TP, int]: ...
    async def end(self, tp: TP) -> int: ...


class Erasing:
    """The requests of the owned partitions. On the event loop, but for what is said to be on the scoring thread."""

    def __init__(
        self,
        settings: Settings,
        *,
        intake: Intake,
        table: Table,
        store: RowStore,
        metrics: Metrics,
        reach: Callable[[], Reach],
        waiting: Callable[[], Counter[Source]],
        wake: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """`waiting` tells of each source how many records were fetched and not applied."""
        self._settings, self._metrics = settings, metrics
        self._intake, self._table, self._store = intake, table, store
        self._reach, self._waiting, self._wake, self._fail = reach, waiting, wake, fail
        self._erasures = Erasures(settings.merge_hold_max_ms)
        self._arrived: defaultdict[int, list[Any]] = defaultdict(list)  # by partition, records not asked for yet
        # Each partition by itself: one may have to wait for its leader.
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._forgotten: dict[int, tuple[int, frozenset[bytes]]] = {}  # by partition, with the checkpoint under way
        self._to_compact: dict[int, set[bytes]] = {}
        self._compacting: asyncio.Task[None] | None = None

    # -- requests ------------------------------------------------------------------------------------------------------

    def deliver(self, frames: Iterable[tuple[TP, Sequence[Any]]]) -> None:
        """Take records of the topic of erasures; never waits."""
        for tp, records in frames:
            self._arrived[tp.partition] += records
            if tp.partition not in self._asking or self._asking[tp.partition].done():
                self._asking[tp.partition] = asyncio.create_task(self._ask(tp.partition))

    def full(self) -> set[TP]:
        """The topic partitions of which no more are to be fetched until some are granted."""
        limit, topic = self._settings.buffer_max_events, self._settings.erasures_topic
        waiting = {p: self._erasures.waiting(p) + len(self._arrived.get(p, ())) for p in self._asking}
        return {TP(topic, partition) for partition, n in waiting.items() if n >= limit}

    async def _ask(self, partition: int) -> None:
        """Find out where the sources end: what the consumer has heard of last may be older than the request."""
        try:
            while records := self._arrived.pop(partition, None):
                came_at = time.monotonic()
                deadline = came_at + self._settings.merge_hold_max_ms / 1000.0
                found = await asyncio.gather(*(self._end(source, partition, deadline) for source in SOURCES))
                ends = {source: end for source, end in zip(SOURCES, found, strict=True) if end is not None}
                self._erasures.put(partition, records, ends, int(came_at * 1000))
                self._wake()
        except Exception as error:
            self._fail(error)

    async def _end(self, source: int, partition: int, deadline: float) -> int | None:
        tp = TP(self._settings.source_topics[source], partition)
        while True:
            try:
                async with asyncio.timeout(_ASK_TIMEOUT_SECS):
                    return await self._reach().end(tp)
            except faults.KAFKA_FAULTS as error:
                if time.monotonic() > deadline:
                    logger.warning("%s[%d]: cannot tell where it ends: %r", *tp, error)
                    return None
            await asyncio.sleep(_ASK_AGAIN_SECS)

    def absorb(self) -> list[Reject]:
        """On the scoring thread: look at what came -> what is no request, to be published."""
        return self._erasures.absorb()

    def positions(self) -> dict[Source, Position]:
        """The first record of each partition that is neither granted nor refused, under ERASURES."""
        return self._erasures.positions()

    def observe(self) -> None:
        """Set the gauge."""
        self._metrics.erasures_waiting.set(len(self._erasures))

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def passed(self, partition: int) -> Mapping[int, int]:
        """By source, an offset before which all is applied. Between two batches."""
        if not len(self._erasures):
            return {}
        positions, waiting, read_to = self._intake.positions(), self._waiting(), self._reach().read_to()
        passed = {}
        for source, topic in enumerate(self._settings.source_topics):
            at = positions.get((source, partition))
            passed[source] = at.offset if at else 0
            if not waiting[source, partition]:  # a topic may end with what is no record: the marker of a transaction
                passed[source] = max(passed[source], read_to.get(TP(topic, partition), 0))
        return passed

    def grant(self, partition: int, positions: Mapping[int, Position], passed: Mapping[int, int]) -> None:
        """On the scoring thread: forget the users whose time has come with the checkpoint of these positions."""
        generations = self._table.generations(partition)
        granted, keys = 0, set()
        for request in self._erasures.ready(partition, passed, int(time.monotonic() * 1000)):
            header = self._table.header(partition, request.key)
            if row_format.may_come_again(header, positions, generations).any():
                break  # another user's events, which come first, are deferred
            granted += 1
            if len(header):
                keys.add(request.key)
        self._table.forget(partition, keys)
        self._erasures.granted(partition, granted)
        self._forgotten[partition] = (granted, frozenset(keys))

    def committed(self, partition: int) -> None:
        """That checkpoint is made, in the store too: what is left of those rows in its files is to go."""
        granted, keys = self._forgotten.pop(partition, (0, frozenset()))
        self._metrics.erasures.inc(granted)
        if granted:
            self._wake()  # for what is no request, and has waited behind
        if keys:
            self._to_compact.setdefault(partition, set()).update(keys)
            if self._compacting is None or self._compacting.done():
                self._compacting = asyncio.create_task(self._compact())

    async def _compact(self) -> None:
        try:
            while self._to_compact:
                partition, keys = self._to_compact.popitem()
                if await asyncio.to_thread(self._store.compact, partition, keys):
                    logger.info(
                        "partition %d: %d erased rows are gone from the files of its copy", partition, len(keys)
                    )
        except Exception as error:
            self._fail(error)

    # -- ownership -----------------------------------------------------------------------------------------------------

    def start(self, partition: int, position: Position) -> None:
        """Own a partition, whose first request is at this position."""
        self._erasures.start(partition, position)

    async def settled(self) -> None:
        """Returns when nothing is compacted any more."""
        if self._compacting is not None:
            await self._compacting

    def clear(self) -> None:
        """Own nothing: what was not granted comes again, here or elsewhere."""
        for asking in self._asking.values():
            asking.cancel()
        self._asking.clear()
        self._arrived.clear()
        self._forgotten.clear()
        self._to_compact.clear()
        self._erasures.clear()
