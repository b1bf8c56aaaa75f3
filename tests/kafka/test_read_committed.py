"""Whoever of ours reads scores passes over what a transaction left uncommitted."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.commands.client import reading
from stream.examples.keep_first import batches
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.stretch import Stretch


@pytest.fixture
async def topic(broker: EmbeddedBroker) -> str:
    """A topic that holds one record that counts, between two whose transactions were aborted."""
    name = f"scores-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, transactional_id=name) as producer:
        for value, end in ((b"1", "abort"), (b"2", "commit"), (b"3", "abort")):
            await producer.begin_transaction()
            await producer.send_and_wait(name, value, partition=0)
            await getattr(producer, f"{end}_transaction")()
    return name


async def _until_quiet(consumer: Any) -> list[bytes]:
    """All that comes until nothing does."""
    values: list[bytes] = []
    while polled := await consumer.getmany(timeout_ms=1_000):
        values += [record.value for records in polled.values() for record in records]
    return values


async def test_watch_and_demo(broker: EmbeddedBroker, topic: str) -> None:
    async with reading(broker.bootstrap_servers, topic, from_start=True) as consumer:
        assert await _until_quiet(consumer) == [b"2"]


async def test_the_subscriber_that_teams_copy(broker: EmbeddedBroker, topic: str) -> None:
    async with contextlib.aclosing(batches(broker.bootstrap_servers, topic, topic)) as source:
        assert [record.value for record in await anext(source)] == [b"2"]


async def test_parity_evaluation_and_training(broker: EmbeddedBroker, topic: str) -> None:
    stretch = await Stretch.find(broker.bootstrap_servers, [topic], None, None)
    try:
        fetched = await stretch.fetch()
        assert [record.value for frame in fetched.frames for record in frame.records] == [b"2"]
        assert (await stretch.fetch()).share == 1.0  # the marker at the end is no record to wait for
    finally:
        await stretch.close()
