"""Where outputs leave by, and so the whole difference between the two guarantees.

at_least_once   at once, by a producer that all share; a checkpoint waits until they are acknowledged
exactly_once    in the transaction of the partition that their events came from, which its checkpoint commits
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer

from stream.errors import FencedError
from stream.kafka.batches import BATCH_BYTES
from stream.kafka.fenced_producer import FencedProducer, partitions_of
from stream.kafka.lease import Lease
from stream.settings import Settings


class Outlet(Protocol):
    """What takes the outputs of a source partition. A `FencedProducer` is one."""

    transactional: bool  # what it sends is part of a transaction

    def create_batch(self) -> Any:
        """An empty batch for `send`."""

    async def send(self, topic: str, partition: int, records: Any) -> asyncio.Future[Any]:
        """Hand over a batch -> its acknowledgement. Waits for room, and while what was sealed is being committed."""

    def seal(self) -> None:
        """What is sent from here on belongs to the next checkpoint."""

    def partitions(self, topic: str) -> int:
        """How many an output topic has."""


class Outlets(Protocol):
    """The outlets of all source partitions."""

    async def start(self) -> None:
        """Be ready; called whenever partitions were taken on."""

    async def stop(self) -> None:
        """Let go of what was started."""

    def of(self, source: int) -> Outlet:
        """What events of this source partition became leaves by it."""


class AtOnce:
    """Outside any transaction: subscribers have a score within milliseconds, and after a crash some of them again."""

    transactional = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started: AIOKafkaProducer | None = None
        self._lease = Lease(settings.session_timeout_ms / 1000.0)

    async def start(self) -> None:
        """Connect, once. What aiokafka raises ends the worker: the broker answered a moment ago."""
        self._lease.renew()
        if self._started is not None:
            return
        self._started = AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=2 * BATCH_BYTES,
        )
        await self._started.start()
        for topic in self._settings.output_topics:
            await self._started.partitions_for(topic)  # else send_batch never learns of the topic

    async def stop(self) -> None:
        await self._lease.end()
        if self._started is not None:
            await self._started.stop()
            self._started = None

    def of(self, source: int) -> Outlet:
        return self

    def create_batch(self) -> Any:
        return self._producer.create_batch()

    async def send(self, topic: str, partition: int, records: Any) -> asyncio.Future[Any]:
        if self._lease.is_over():
            raise FencedError(partition, "nothing ran here for most of a session, so it may be another worker's")
        future: asyncio.Future[Any] = await self._producer.send_batch(records, topic, partition=partition)
        return future

    def seal(self) -> None:
        """Nothing: what was sent has left."""

    def partitions(self, topic: str) -> int:
        return partitions_of(self._producer, topic)

    @property
    def _producer(self) -> AIOKafkaProducer:
        assert self._started is not None
        return self._started


class InTransactions:
    """By the fenced producers: subscribers that read what is committed have each score once, at the next checkpoint."""

    def __init__(self, producer_of: Callable[[int], FencedProducer]) -> None:
        self._producer_of = producer_of

    async def start(self) -> None:
        """Nothing, as at the end: they come and go with their partitions."""

    async def stop(self) -> None: ...

    def of(self, source: int) -> Outlet:
        return self._producer_of(source)
