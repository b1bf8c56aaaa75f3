"""What waits to be committed, asked by clients of its own: what a worker's consumer believes may be what is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import OffsetOutOfRangeError

from stream.kafka.inquiry import committed_offsets
from stream.settings import Settings

_READ_SECS = 10.0
_POLL_MS = 500
_FETCH_BYTES = 4096  # of a partition; a broker gives the first batch whole, whatever its size


async def waiting(settings: Settings, stands: Mapping[TopicPartition, int] | None) -> dict[tuple[str, int], int]:
    """The topic partitions with a committed record at or after the offset where they stand -> that offset.

    Without those that the group has committed further, or elsewhere: somebody else is at them. `stands` None: all that
    the group has committed. The marker that ends a transaction is no record. Raises what aiokafka raises.
    """
    client = AIOKafkaClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        await client.bootstrap()
        of_group = await committed_offsets(client, settings.app_id)
    finally:
        await client.close()
    if stands is None:
        stands = {TopicPartition(*tp): offset for tp, offset in of_group.items() if tp[0] in settings.source_topics}
    ours = {tp: offset for tp, offset in stands.items() if of_group.get((tp.topic, tp.partition), offset) == offset}
    return {(tp.topic, tp.partition): ours[tp] for tp in await _with_records(settings, ours)} if ours else {}


async def _with_records(settings: Settings, offsets: Mapping[TopicPartition, int]) -> set[TopicPartition]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    try:
        await consumer.start()
        consumer.assign(list(offsets))
        for tp, offset in offsets.items():
            consumer.seek(tp, offset)
        ends = await consumer.end_offsets(list(offsets))
        found: set[TopicPartition] = set()
        unread = {tp for tp, offset in offsets.items() if offset < ends[tp]}
        deadline = time.monotonic() + _READ_SECS
        while unread and time.monotonic() < deadline:
            try:
                found |= (await consumer.getmany(*unread, timeout_ms=_POLL_MS)).keys()
            except OffsetOutOfRangeError as error:
                unread -= set(error.args[0])  # whoever reads it is about to notice
            unread = {tp for tp in unread - found if await _position(consumer, tp) < ends[tp]}
        return found
    finally:
        await consumer.stop()


async def _position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    async with asyncio.timeout(_READ_SECS):
        return int(await consumer.position(tp))
