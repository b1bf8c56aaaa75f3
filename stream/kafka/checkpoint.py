"""The commit point of a partition: changed rows and source offsets in one Kafka transaction, fenced by its id.

    outputs acknowledged -> [rows -> changelog, offsets -> group] in one transaction -> RocksDB

Under `exactly_once` the outputs are in that transaction too. Every owner of partition p takes the transactional id
`<app id>-p<p>`: whoever takes it last fences all others. Without that, a worker that wakes after its session ran out
could write old rows over newer ones, and compaction would keep those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from rocksdict import WriteBatch

from stream.kafka.batches import BATCH_BYTES, Batches, PreparedBatch
from stream.kafka.fenced_producer import FencedProducer
from stream.kafka.store import ROWS_AT_ONCE, RowStore
from stream.kernels import REFERENCE, Kernels
from stream.settings import Settings

Row = tuple[bytes, bytes | None]  # None: deleted


class PreparedRows(NamedTuple):
    """Rows of one partition, ready to be written."""

    batches: Sequence[Any]  # closed, of the partition's producer
    local: Sequence[WriteBatch]


class Checkpointer:
    """One transactional producer per owned partition."""

    def __init__(self, settings: Settings, store: RowStore, kernels: Kernels = REFERENCE) -> None:
        self._settings, self._store, self._write = settings, store, kernels.batches
        self._producers: dict[int, FencedProducer] = {}

    async def own(self, partitions: Iterable[int]) -> None:
        """Fence the former owners of these partitions, and let go of all others."""
        await self.close()
        self._producers = {partition: FencedProducer(self._settings, partition) for partition in partitions}
        topics = (self._settings.changelog_topic, *self._settings.output_topics)
        await asyncio.gather(*(producer.start(topics) for producer in self._producers.values()))

    def producer(self, partition: int) -> FencedProducer:
        """Of an owned partition."""
        return self._producers[partition]

    def prepare(self, partition: int, rows: Sequence[Row], now_ms: int) -> PreparedRows:
        """Rows of one partition (None: delete), at least one, as both changelog and local copy take them: 1.5 us each.

        Called on the scoring thread: in another one it would slow the scoring down four times as long as it takes here,
        since every torch call gives the interpreter away, and has to wait for it after.
        """
        local = []
        for n, (key, row) in enumerate(rows):
            if n % ROWS_AT_ONCE == 0:
                local.append(write := self._store.new_write())
            if row is None:
                write.delete(key)
            else:
                write.put(key, row)
        return PreparedRows(self._batches(partition, rows, now_ms), local)

    def _batches(self, partition: int, rows: Sequence[Row], now_ms: int) -> Sequence[Any]:
        if self._write is not None:
            return [PreparedBatch(run, now_ms, transactional=True) for run in self._write(rows, BATCH_BYTES)]
        batches = Batches(self._producers[partition], now_ms)
        for key, row in rows:
            batches.append(key, row)
        return batches.close()

    async def commit(
        self,
        partition: int,
        outputs: Sequence[Awaitable[Any]],
        rows: PreparedRows,
        offsets: Mapping[TopicPartition, int],
    ) -> None:
        """Write rows and offsets of one partition, all or nothing, once its outputs are acknowledged.

        Raises FencedError where the partition is no longer ours, BrokerError where it may not be written, PassingError
        where it is not known whether it was: its state must then be restored before anything else is applied.
        """
        last = await self._producers[partition].commit(outputs, self._settings.changelog_topic, rows.batches, offsets)
        # The marker that ends the transaction follows the last row: nobody else can write to the partition. With it, a
        # restart finds itself at the end of the changelog, with nothing to wait for.
        await asyncio.to_thread(self._store.apply, partition, rows.local, last + 1)

    async def close(self) -> None:
        """Let go of every partition, and of what is not committed of it."""
        producers, self._producers = self._producers, {}
        await asyncio.gather(*(producer.stop() for producer in producers.values()))
