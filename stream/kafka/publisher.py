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
from stream.kafka.batches import BATCH_BYTES, Batches
from stream.settings import Settings


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
        outputs = _Outputs(self._producer, now_ms)
        rows = self._encoder.scores(scored, now_ms)
        # Events come in long runs of one partition, as they were taken.
        for partition, run in groupby(zip(scored.events["partition"].tolist(), rows, strict=True), itemgetter(0)):
            add_intent = outputs.to(self._settings.purchase_intent_topic, partition)
            add_anomaly = outputs.to(self._settings.anomaly_scores_topic, partition)
            for _, (key, intent, anomaly) in run:
                add_intent(key, intent)
                add_anomaly(key, anomaly)
        for reject in rejects:
            value = self._encoder.dead_letter(reject, now_ms=now_ms, max_bytes=self._settings.dead_letter_max_bytes)
            add = outputs.to(self._settings.dead_letters_topic, reject.partition % self._dead_letter_partitions)
            add(short_key(reject.key), value)
        return outputs.close()

    async def send(self, batches: Iterable[Batch]) -> None:
        """Hand batches to the producer, in order; waits only for room in its buffer."""
        assert self._producer is not None
        for topic, partition, records in batches:
            self._unacknowledged.append(await self._producer.send_batch(records, topic, partition=partition))

    def take_unacknowledged(self) -> list[asyncio.Future[Any]]:
        """What was sent since the last call, acknowledged or not yet: a checkpoint waits for all of it."""
        futures, self._unacknowledged = self._unacknowledged, []
        return futures


class _Outputs:
    """The batches of each topic partition that are being filled."""

    def __init__(self, producer: Any, now_ms: int) -> None:
        self._producer, self._now_ms = producer, now_ms
        self._batches: dict[tuple[str, int], Batches] = {}

    def to(self, topic: str, partition: int) -> Callable[[bytes | None, bytes], None]:
        """What appends a record to this topic partition."""
        if (topic, partition) not in self._batches:
            self._batches[topic, partition] = Batches(self._producer, self._now_ms)
        return self._batches[topic, partition].append

    def close(self) -> list[Batch]:
        return [Batch(*place, batch) for place, batches in self._batches.items() for batch in batches.close()]
