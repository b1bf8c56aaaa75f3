"""`python -m stream.bench.generator`: an open-loop load, in a process that does nothing else. `open_load` starts it.

Every event has its time on a schedule that is made beforehand, and is sent then, or as soon after it as this process
and the broker let it be: a slow answer delays records, never the schedule. A record's timestamp is the time at which
it was meant to be sent, rounded down to a millisecond, whenever it is sent.

One batch is in flight per topic partition; what becomes due meanwhile is the next one.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from stream.bench import pipe
from stream.bench.lane import Lane
from stream.bench.schedule import due_secs
from stream.kafka.batches import PreparedBatch

# Between looks at the clock: what collecting a batch adds to a latency at most, as of any producer that collects.
_TICK_SECS = 0.005
# From the word to begin until the first event is due.
_START_SECS = 0.2


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, before the records."""

    bootstrap_servers: str
    topics: Sequence[str]
    events: int  # of which records come
    rate_per_sec: float


# Of a record: which of the topics, partition, key, value.
Placed = tuple[int, int, bytes, bytes]


class SentLane(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent to a topic partition: columns of float64 and int64, as bytes."""

    topic: str
    partition: int
    due_secs: bytes
    behind_secs: bytes
    offsets: bytes


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    start_ms: float  # since 1970, when the schedule began
    lanes: Sequence[SentLane]


class _Topics:
    """The lanes of a load, and what is in flight of each."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._lanes: dict[tuple[int, int], Lane] = {}
        self._flying: dict[tuple[int, int], tuple[asyncio.Future[Any], int]] = {}

    def append(self, due: float, record: Placed) -> None:
        topic, partition, key, value = record
        self._lanes.setdefault((topic, partition), Lane()).append(due, key, value)

    async def send(self, producer: AIOKafkaProducer) -> Sent:
        """By the schedule, which begins now."""
        for topic, _ in self._lanes:
            await producer.partitions_for(self._names[topic])
        start_ms = 1000 * (time.time() + _START_SECS)
        start = time.perf_counter() + _START_SECS
        for lane in self._lanes.values():
            lane.begin(start_ms)
        while any(lane.left for lane in self._lanes.values()):
            now = time.perf_counter() - start
            for lane in self._lanes.values():
                lane.notice(now)
            await self._send_idle(producer)
            await asyncio.sleep(_TICK_SECS)
        for place in list(self._flying):
            await self._acknowledged(place)
        return Sent(start_ms=start_ms, lanes=[self._sent(place) for place in self._lanes])

    async def _send_idle(self, producer: AIOKafkaProducer) -> None:
        for place, lane in self._lanes.items():
            if place in self._flying:
                if not self._flying[place][0].done():
                    continue
                await self._acknowledged(place)
            if (taken := lane.take()) is not None:
                run, first_ms = taken
                topic, partition = place
                batch = PreparedBatch(run, first_ms, transactional=False)
                sent = await producer.send_batch(batch, self._names[topic], partition=partition)
                self._flying[place] = sent, run.records

    async def _acknowledged(self, place: tuple[int, int]) -> None:
        sent, records = self._flying.pop(place)
        self._lanes[place].acknowledged((await sent).offset, records)

    def _sent(self, place: tuple[int, int]) -> SentLane:
        due, behind, offsets = (column.tobytes() for column in self._lanes[place].columns())
        return SentLane(
            topic=self._names[place[0]], partition=place[1], due_secs=due, behind_secs=behind, offsets=offsets
        )


async def _load(order: Order, topics: _Topics) -> Sent:
    producer = AIOKafkaProducer(
        bootstrap_servers=order.bootstrap_servers, acks="all", enable_idempotence=True, max_batch_size=1 << 20
    )
    async with producer:
        return await topics.send(producer)


def main() -> None:
    """Take order and records, say so, wait for the word to begin, and tell what was sent."""
    order = msgspec.msgpack.decode(pipe.read(sys.stdin.buffer), type=Order)
    topics, due = _Topics(order.topics), iter(due_secs(order.events, order.rate_per_sec).tolist())
    decode = msgspec.msgpack.Decoder(list[Placed]).decode
    while message := pipe.read(sys.stdin.buffer):
        for record in decode(message):
            topics.append(next(due), record)
    gc.freeze()  # a look at all these records would stop the load for half a second
    pipe.write(sys.stdout.buffer, b"ready")
    pipe.read(sys.stdin.buffer)
    pipe.write(sys.stdout.buffer, msgspec.msgpack.encode(asyncio.run(_load(order, topics))))


if __name__ == "__main__":
    main()
