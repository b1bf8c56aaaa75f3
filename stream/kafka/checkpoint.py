"""The commit point of a partition: changed rows and source offsets in one Kafka transaction, fenced by its id.

    outputs acknowledged -> [rows -> changelog, offsets -> group] in one transaction -> RocksDB

Every owner of partition p takes the transactional id `<app id>-p<p>`: whoever takes it last fences all others. Without
that, a worker that wakes after its session ran out could write old rows over newer ones, and compaction would keep
those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from rocksdict import WriteBatch

from stream.errors import StateError
from stream.kafka.batches import BATCH_BYTES, Batches
from stream.kafka.store import ROWS_AT_ONCE, RowStore
from stream.settings import Settings

Row = tuple[bytes, bytes | None]  # None: deleted


class PreparedRows(NamedTuple):
    """Rows of one partition, ready to be written."""

    batches: Sequence[Any]  # closed, of the partition's producer
    local: Sequence[WriteBatch]
    now_ms: int


class Checkpointer:
    """One transactional producer per owned partition."""

    def __init__(self, settings: Settings, store: RowStore) -> None:
        self._settings, self._store = settings, store
        self._producers: dict[int, AIOKafkaProducer] = {}

    async def own(self, partitions: Iterable[int]) -> None:
        """Fence the former owners of these partitions, and let go of all others."""
        await self.close()
        await asyncio.gather(*(self._fence(partition) for partition in partitions))

    def prepare(self, partition: int, rows: Iterable[Row], now_ms: int) -> PreparedRows:
        """Rows of one partition, at least one, as both changelog and local copy take them: 1.5 us each.

        Called on the scoring thread: in another one it would slow the scoring down four times as long as it takes here,
        since every torch call gives the interpreter away, and has to wait for it after.
        """
        batches = Batches(self._producers[partition], now_ms)
        local = []
        for n, (key, row) in enumerate(rows):
            if n % ROWS_AT_ONCE == 0:
                local.append(write := self._store.new_write())
            batches.append(key, row)
            if row is None:
                write.delete(key)
            else:
                write.put(key, row)
        return PreparedRows(batches.close(), local, now_ms)

    async def commit(self, partition: int, rows: PreparedRows, offsets: Mapping[TopicPartition, int]) -> None:
        """Write rows and offsets of one partition, all or nothing.

        Raises StateError where the partition is no longer ours, or whether it was written is not known: its state must
        then be restored before anything else is applied.
        """
        producer = self._producers[partition]
        try:
            async with producer.transaction():
                last = await self._send(producer, partition, rows.batches)
                await producer.send_offsets_to_transaction(dict(offsets), self._settings.app_id)
        except ProducerFenced:
            raise StateError(
                f"partition {partition}: another worker has taken it over; what was not committed is theirs"
            ) from None
        except KafkaError as error:
            raise StateError(f"partition {partition}: its checkpoint failed ({error!r})") from error
        # The marker that ends the transaction follows the last row: nobody else can write to the partition. With it, a
        # restart finds itself at the end of the changelog, with nothing to wait for.
        await asyncio.to_thread(self._store.apply, partition, rows.local, last + 1, rows.now_ms)

    async def close(self) -> None:
        """Let go of every partition."""
        producers, self._producers = self._producers, {}
        await asyncio.gather(*(producer.stop() for producer in producers.values()))

    async def _fence(self, partition: int) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap_servers,
            transactional_id=f"{self._settings.app_id}-p{partition}",
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
        )
        await producer.start()  # has the id once it returns, which fences the former owner
        self._producers[partition] = producer
        await producer.partitions_for(self._settings.changelog_topic)  # else send_batch never learns of the topic

    async def _send(self, producer: AIOKafkaProducer, partition: int, batches: Sequence[Any]) -> int:
        """Send batches of rows to the changelog -> the offset of the last row, once all are acknowledged."""
        topic = self._settings.changelog_topic
        sent = [await producer.send_batch(batch, topic, partition=partition) for batch in batches]
        # A batch's future holds the offset of its first record.
        ends = [(await future).offset + batch.record_count() for future, batch in zip(sent, batches, strict=True)]
        return int(max(ends)) - 1
