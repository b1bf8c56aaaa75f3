"""The commit point of a partition: changed rows and source offsets in one Kafka transaction, fenced by its id.

    outputs acknowledged -> [rows -> changelog, offsets -> group] in one transaction -> RocksDB

Every owner of partition p takes the transactional id `<app id>-p<p>`: whoever takes it last fences all others. Without
that, a worker that wakes after its session ran out could write old rows over newer ones, and compaction would keep
those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from stream.errors import StateError
from stream.kafka.store import RowStore
from stream.settings import Settings

Row = tuple[bytes, bytes]

# Well below the broker's largest message (1 MiB by default), and large enough that its cost is shared by hundreds of
# rows.
BATCH_BYTES = 512 << 10


class Checkpointer:
    """One transactional producer per owned partition."""

    def __init__(self, settings: Settings, store: RowStore) -> None:
        self._settings, self._store = settings, store
        self._producers: dict[int, AIOKafkaProducer] = {}

    async def own(self, partitions: Iterable[int]) -> None:
        """Fence the former owners of these partitions, and let go of all others."""
        await self.close()
        await asyncio.gather(*(self._fence(partition) for partition in partitions))

    async def commit(self, partition: int, rows: Sequence[Row], offsets: Mapping[TopicPartition, int]) -> None:
        """Write rows and offsets of one partition, all or nothing.

        Raises StateError where the partition is no longer ours, or whether it was written is not known: its state must
        then be restored before anything else is applied.
        """
        producer = self._producers[partition]
        try:
            async with producer.transaction():
                last = await self._send(producer, partition, rows)
                await producer.send_offsets_to_transaction(dict(offsets), self._settings.app_id)
        except ProducerFenced:
            raise StateError(
                f"partition {partition}: another worker has taken it over; what was not committed is theirs"
            ) from None
        except KafkaError as error:
            raise StateError(f"partition {partition}: its checkpoint failed ({error!r})") from error
        if last is not None:
            # The marker that ends the transaction follows the last row: nobody else can write to the partition. With
            # it, a restart finds itself at the end of the changelog, with nothing to wait for.
            await asyncio.to_thread(self._store.write, partition, rows, last + 1)

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
        await producer.start()
        self._producers[partition] = producer
        # aiokafka takes the id in the background; the former owner is fenced only once that is done.
        await producer._txn_manager.wait_for_pid()
        await producer.partitions_for(self._settings.changelog_topic)  # else send_batch never learns of the topic

    async def _send(self, producer: AIOKafkaProducer, partition: int, rows: Sequence[Row]) -> int | None:
        """Send rows to the changelog -> the offset of the last, once all are acknowledged."""
        topic = self._settings.changelog_topic
        batches = await asyncio.to_thread(_filled, producer, rows)
        sent = [(await producer.send_batch(batch, topic, partition=partition), size) for batch, size in batches]
        # A batch's future holds the offset of its first record.
        return max([(await future).offset + size - 1 for future, size in sent], default=None)


def _filled(producer: AIOKafkaProducer, rows: Sequence[Row]) -> list[tuple[Any, int]]:
    """Closed batches of rows, in order, each with its number of rows."""
    batches: list[tuple[Any, int]] = []
    rest = iter(rows)
    row = next(rest, None)
    while row is not None:
        batch = producer.create_batch()
        while row is not None and batch.append(key=row[0], value=row[1], timestamp=None) is not None:
            row = next(rest, None)
        batch.close()
        batches.append((batch, batch.record_count()))
    return batches
