"""The models topic: announcing on it, and reading all of it, again and again what is new. By no consumer group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from stream.changing.offered import Announced
from stream.errors import SettingsError
from stream.settings import Settings

logger = logging.getLogger(__name__)

_POLL_MS = 500
_RETRY_SECS = 2.0
_REQUEST_BYTES = 2 << 20  # above the largest announcement


class Reading(NamedTuple):
    """What a poll brought."""

    announced: Sequence[Announced]
    whole: bool  # the topic is read to its end with it


async def announce(settings: Settings, key: str, value: bytes) -> int:
    """Write an announcement -> its version, once it is acknowledged."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        max_request_size=_REQUEST_BYTES,
    )
    try:
        await producer.start()
        sent = await producer.send_and_wait(settings.models_topic, value, key=key.encode(), partition=0)
        return int(sent.offset) + 1
    finally:
        await producer.stop()


async def read_all(settings: Settings) -> list[Announced]:
    """All that is on it now, the latest last. SettingsError where it is missing."""
    async with _consumer(settings) as consumer:
        if settings.models_topic not in await consumer.topics():
            raise SettingsError(f"{settings.models_topic}: missing; `behaviour-stream topics` creates it")
        found: list[Announced] = []
        async for reading in _readings(consumer, settings.models_topic):
            found += reading.announced
            if reading.whole:
                break
        return found


async def follow(settings: Settings) -> AsyncIterator[Reading]:
    """All that is on it, and then what comes, for ever: a broker that is away is waited for."""
    at, said = 0, False
    while True:
        try:
            async with _consumer(settings) as consumer:
                async for reading in _readings(consumer, settings.models_topic, at):
                    said = False
                    yield reading
                    at = reading.announced[-1].version if reading.announced else at
        except (KafkaError, OSError) as error:
            if not said:
                logger.warning("topic %s: cannot be read (%r); trying on", settings.models_topic, error)
            said = True
        await asyncio.sleep(_RETRY_SECS)


async def _readings(consumer: Any, topic: str, at: int = 0) -> AsyncIterator[Reading]:
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    if at:
        consumer.seek(place, at)
    else:
        await consumer.seek_to_beginning(place)
    end = (await consumer.end_offsets([place]))[place]
    whole = False
    while True:
        if not whole and await consumer.position(place) >= end:
            whole = True
            yield Reading((), whole)
        records = (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, [])
        if records:
            yield Reading([Announced(record.offset + 1, record.value) for record in records], whole)


@contextlib.asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
