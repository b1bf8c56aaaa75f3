"""What a round sends: simulated events, hostile records among them, by seed; and how it goes onto the topics.

More of the traffic is late, sent twice or overtaken than in the default scenario: that is what replays get wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from stream.settings import Settings
from stream.shop_event import ROLES
from stream.simulator import scenario
from stream.simulator.scenario import Disorder
from stream.simulator.simulate import simulate
from tests.faults.hostile.mutations import Raw, mutated

DISORDER = Disorder(late_share=0.02, late_secs_median=90.0, repeated_share=0.02, swapped_share=0.03)
_REQUEST_MAX_BYTES = 2 << 20  # above the broker's own limit of 1 MiB, which is the one that counts


class Outgoing(NamedTuple):
    """A record on its way to a source topic."""

    source: int
    key: bytes | None
    value: bytes | None
    time_ms: int
    hostile: bool


def traffic(seed: int, *, users: int, start_ms: int, hostile_share: float) -> Iterator[Outgoing]:
    """Without end; hostile records are made of events that are not sent themselves."""
    rng = Random(seed)
    shop = msgspec.structs.replace(scenario.load(), disorder=DISORDER)
    for event in simulate(shop, seed=seed, users=users, start_ms=start_ms):
        source, hostile = ROLES.index(event.topic), rng.random() < hostile_share
        raw = Raw(event.key, event.value)
        if hostile:
            _, raw = mutated(rng, raw)
        yield Outgoing(source, *raw, event.sent_ms, hostile)


class Sent(NamedTuple):
    """What was acknowledged."""

    records: int
    hostile: int


async def send(
    settings: Settings,
    records: Iterable[Outgoing],
    *,
    rate_per_sec: float | None = None,
    own_time: bool,
    stop: asyncio.Event | None = None,
) -> Sent:
    """Send until the records or `stop` end it, and return once all are acknowledged; it outlives a broker's restart.

    The record's time is its own or now: a broker that is killed forgets producers whose records are of long ago, and
    would then store twice what it had taken.
    """
    partitions, started, total, hostile = settings.partitions, time.monotonic(), 0, 0
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        max_request_size=_REQUEST_MAX_BYTES,
        linger_ms=2,
    ) as producer:
        for record in records:
            if rate_per_sec:
                await asyncio.sleep(max(0.0, started + total / rate_per_sec - time.monotonic()))
            if stop is not None and stop.is_set():
                break
            if record.key is None and record.value is None:
                continue  # aiokafka refuses it, though Kafka does not
            # As every Kafka client places a key, so that one user's events meet in one partition number.
            partition = (murmur2(record.key or b"") & 0x7FFF_FFFF) % partitions
            await producer.send(
                settings.source_topics[record.source],
                record.value,
                key=record.key,
                partition=partition,
                timestamp_ms=record.time_ms if own_time else None,
            )
            total += 1
            hostile += record.hostile
        await producer.flush()
    return Sent(total, hostile)
