"""Scores and dead letters -> output topics, in prebuilt batches, to the source's own partition number.

Batches are built where they are encoded, and sent from the event loop. At least once: they go out at once, outside any
transaction, and are acknowledged before the rows they belong to are committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from stream.encode import Encoder, Scored, short_key
from stream.events import Reject
from stream.kafka.checkpoint import BATCH_BYTES
from stream.settings import Settings

_NO_HEADERS: list[Any] = []  # the builder takes nothing but a list


class Batch(NamedTuple):
    """A closed batch of records of one topic partition."""

    topic: str
    partition: int
    records: Any


class Publisher:
    """One idempotent producer for all outputs."""

    def __init__(self, settings: Settings, encoder: Encoder) -> None:
        self._settings, self._encoder = settings, encoder
        self._producer: AIOKafkaProducer | None = None
        self._dead_letter_partitions = 1
        self._unacknowledged: list[asyncio.Future[Any]] = []

    async def start(self) -> None:
        """Connect, once. What aiokafka raises ends the worker: the broker answered a moment ago."""
        if self._producer is not None:
            return
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=2 * BATCH_BYTES,
        )
        await self._producer.start()
        # send_batch never asks for a topic's metadata: without this it waits until it times out.
        for topic in self._settings.output_topics:
            partitions = await self._producer.partitions_for(topic)
        self._dead_letter_partitions = len(partitions)

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    def build(self, scored: Scored, rejects: Sequence[Reject], now_ms: int) -> list[Batch]:
        """Two records per event and one per reject, in order, as closed batches."""
        intent = _Batches(self._producer, self._settings.purchase_intent_topic, now_ms)
        anomaly = _Batches(self._producer, self._settings.anomaly_scores_topic, now_ms)
        rows = self._encoder.scores(scored, now_ms)
        # Events come in long runs of one partition, as they were taken.
        for partition, run in groupby(zip(scored.events["partition"].tolist(), rows, strict=True), itemgetter(0)):
            add_intent, add_anomaly = intent.appender(partition), anomaly.appender(partition)
            for _, (key, intent_value, anomaly_value) in run:
                add_intent(key, intent_value)
                add_anomaly(key, anomaly_value)
        dead = _Batches(self._producer, self._settings.dead_letters_topic, now_ms)
        for reject in rejects:
            value = self._encoder.dead_letter(reject, now_ms=now_ms, max_bytes=self._settings.dead_letter_max_bytes)
            dead.appender(reject.partition % self._dead_letter_partitions)(short_key(reject.key), value)
        return [*intent.close(), *anomaly.close(), *dead.close()]

    async def send(self, batches: Iterable[Batch]) -> None:
        """Hand batches to the producer, in order; waits only for room in its buffer."""
        assert self._producer is not None
        for topic, partition, records in batches:
            self._unacknowledged.append(await self._producer.send_batch(records, topic, partition=partition))

    def take_unacknowledged(self) -> list[asyncio.Future[Any]]:
        """What was sent since the last call, acknowledged or not yet: a checkpoint waits for all of it."""
        futures, self._unacknowledged = self._unacknowledged, []
        return futures


class _Batches:
    """Fills batches of one topic, one at a time per partition."""

    def __init__(self, producer: Any, topic: str, now_ms: int) -> None:
        self._producer, self._topic, self._now_ms = producer, topic, now_ms
        self._open: dict[int, _Open] = {}
        self._closed: list[Batch] = []

    def appender(self, partition: int) -> Callable[[bytes | None, bytes], None]:
        """A function that appends a record to the partition, starting a new batch where one is full."""
        now_ms = self._now_ms

        def append(key: bytes | None, value: bytes) -> None:
            at = self._open.get(partition) or self._start(partition)
            if at.append(at.count, now_ms, key, value, _NO_HEADERS) is None:
                self._close(partition)
                at = self._start(partition)
                at.append(at.count, now_ms, key, value, _NO_HEADERS)
            at.count += 1

        return append

    def close(self) -> list[Batch]:
        for partition in list(self._open):
            self._close(partition)
        return self._closed

    def _start(self, partition: int) -> _Open:
        self._open[partition] = at = _Open(self._producer.create_batch())
        return at

    def _close(self, partition: int) -> None:
        at = self._open.pop(partition)
        at.batch._relative_offset = at.count
        at.batch.close()
        self._closed.append(Batch(self._topic, partition, at.batch))


class _Open:
    """A batch being filled, through the builder inside: aiokafka's own `append` costs three times as much."""

    __slots__ = ("append", "batch", "count")

    def __init__(self, batch: Any) -> None:
        self.batch, self.append, self.count = batch, batch._builder.append, 0
