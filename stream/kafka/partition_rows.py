"""The row of each partition, read from the end of the changelog, where each checkpoint has its own last."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka.topics import equal_partitions
from stream.rows import PARTITION_KEY, PartitionRow
from stream.settings import Settings

# Records looked at first: the marker that ends a transaction is one, and so is a checkpoint that was aborted.
_LOOKED_AT = 64
_POLL_MS = 500


async def read_partition_rows(settings: Settings) -> dict[int, PartitionRow | None]:
    """Of every partition, as committed last; None of one that was never committed. SettingsError without a changelog.

    A few records of each are read, or all, where the last checkpoint of a former version is a large one.
    """
    topic = settings.changelog_topic
    places = [TopicPartition(topic, p) for p in range(await equal_partitions(settings.bootstrap_servers, [topic]))]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        consumer.assign(places)
        begin, end = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return {place.partition: await _last(consumer, place, begin[place], end[place]) for place in places}
    finally:
        await consumer.stop()


async def _last(consumer: Any, place: TopicPartition, begin: int, end: int) -> PartitionRow | None:
    looked_at = _LOOKED_AT
    while True:
        start = max(begin, end - looked_at)
        row = await _last_from(consumer, place, start, end)
        if row is not None or start == begin:
            return row
        looked_at *= 16


async def _last_from(consumer: Any, place: TopicPartition, start: int, end: int) -> PartitionRow | None:
    consumer.seek(place, start)
    found: bytes | None = None
    while await consumer.position(place) < end:
        for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, []):
            if record.key == PARTITION_KEY:
                found = record.value
    return None if found is None else PartitionRow.from_bytes(found)
