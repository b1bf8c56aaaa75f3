"""The topics that are read as the broker has them now: their ids, and from where to where each partition reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient

from stream.errors import PassingError
from stream.kafka import faults
from stream.kafka.inquiry import committed_offsets, describe_topics
from stream.merge import Source
from stream.settings import Settings
from stream.standing import SourceNow

# Whoever asks does so between a rebalance and the first record, with nothing else to do; leaders may be on their way.
_LOOK_SECS = 60.0


async def look(settings: Settings, partitions: Iterable[int]) -> dict[Source, SourceNow]:
    """Every source of these partitions, and the erasures behind them. PassingError where that cannot be told now,
    BrokerError where it is refused."""
    places = {
        TopicPartition(topic, partition): (source, partition)
        for source, topic in enumerate(settings.read_topics)
        for partition in partitions
    }
    try:
        async with asyncio.timeout(_LOOK_SECS):
            return await _look(settings, places) if places else {}
    except faults.KAFKA_FAULTS as error:
        raise faults.told(error, f"{', '.join(settings.read_topics)}: cannot tell how far they reach") from error


async def _look(settings: Settings, places: dict[TopicPartition, Source]) -> dict[Source, SourceNow]:
    client = AIOKafkaClient(bootstrap_servers=settings.bootstrap_servers)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers)
    try:
        await asyncio.gather(client.bootstrap(), consumer.start())
        topics = await describe_topics(client, settings.read_topics)
        if missing := [name for name in settings.read_topics if name not in topics]:
            raise PassingError(f"{', '.join(missing)}: missing")
        starts, ends, committed = await asyncio.gather(
            consumer.beginning_offsets(places),
            consumer.end_offsets(places),
            committed_offsets(client, settings.app_id),
        )
        # Asked twice, so that ids and offsets are of the same topics.
        again = await describe_topics(client, settings.read_topics)
        if {name: topic.id for name, topic in topics.items()} != {name: topic.id for name, topic in again.items()}:
            raise PassingError(f"{', '.join(settings.read_topics)}: made anew just now")
        return {
            place: SourceNow(topics[tp.topic].id, starts[tp], ends[tp], committed.get((tp.topic, tp.partition)))
            for tp, place in places.items()
        }
    finally:
        await asyncio.gather(client.close(), consumer.stop())
