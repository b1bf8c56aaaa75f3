"""What is measured on: a broker and shoppers, topics and workers of each run, and how it is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient

from stream.commands.worker_process import WorkerProcess
from stream.kafka import inquiry, topics
from stream.kafka.embedded import EmbeddedBroker
from stream.processes import ANYWHERE, Placement, keep
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate

# Shoppers enough that a million events are of tens of thousands of users with a heavy tail, as in a shop's day.
_USERS = 50_000
_SEED = 1
# Their time begins so long ago: a million events are of 11 days, and a broker refuses records of the future.
_DAYS_AGO = 60
_DAY_MS = 86_400_000
_BROKER = {
    # Kafka's own default, by which workers begin together: without it the first to come takes everything, and gives
    # half of it back a moment later.
    "group.initial.rebalance.delay.ms": "3000",
    "log.segment.delete.delay.ms": "1000",  # topics that are dropped are gigabytes; Kafka keeps them for a minute
}
# For 15 s the JVM is still compiling what a steady rate asks of it.
WARM_UP_SECS = 20.0
_POLL_SECS = 0.1
# Nothing scored for so long: the worker has failed, or the machine cannot do this.
_STALL_SECS = 60.0

_OUTPUTS = ("purchase_intent_topic", "anomaly_scores_topic", "dead_letters_topic", "erasures_topic", "models_topic")
_SOURCES = ("clicks_topic", "searches_topic", "purchases_topic")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    settings: Settings
    workers: int
    events: int  # of the backlog
    latency_workers: int
    rate_per_sec: float
    seconds: float  # at that rate
    say: Callable[[str], None]
    warm_up_secs: float = WARM_UP_SECS  # at the same rate, before what is measured


@dataclass(frozen=True, slots=True)
class Bed:
    """A broker of one's own, and what happens in its shop."""

    broker: EmbeddedBroker
    settings: Settings  # for it
    folder: Path  # ends with it
    shop: Iterator[ShopEvent]
    start_ms: int
    users: int = _USERS
    seed: int = _SEED

    def part(self, workers: int) -> Placement:
        """CPUs for so many workers, and the broker on the others."""
        placement = Placement.of(workers)
        keep(self.broker.pid, placement.others)
        return placement


@contextlib.contextmanager
def bed(settings: Settings) -> Iterator[Bed]:
    """A broker for a benchmark with these settings."""
    start_ms = (int(time.time() * 1000) // _DAY_MS - _DAYS_AGO) * _DAY_MS
    with tempfile.TemporaryDirectory(prefix="behaviour-stream-bench-") as name:
        folder = Path(name)
        with EmbeddedBroker(folder / "broker", properties=_BROKER) as broker:
            settings = msgspec.structs.replace(
                settings, bootstrap_servers=broker.bootstrap_servers, metrics_port=0, retention_hours=-1
            )
            shop = simulate(scenario.load(), seed=_SEED, users=_USERS, start_ms=start_ms)
            yield Bed(broker, settings, folder, shop, start_ms)


def of_its_own(settings: Settings, name: str, folder: Path, **others: Any) -> Settings:
    """The settings of a run: all topics, the group and the folder have its name."""
    return _renamed(settings, name, folder, (*_SOURCES, *_OUTPUTS), others)


def of_the_same_events(settings: Settings, name: str, folder: Path, **others: Any) -> Settings:
    """The settings of another run with the source topics of this one."""
    return _renamed(settings, name, folder, _OUTPUTS, others)


def _renamed(
    settings: Settings, name: str, folder: Path, topic_fields: Sequence[str], others: Mapping[str, Any]
) -> Settings:
    names = {field: f"{getattr(settings, field)}-{name}" for field in topic_fields}
    return msgspec.structs.replace(
        settings, app_id=f"{settings.app_id}-{name}", data_dir=folder / f"state-{name}", **names, **others
    )


async def make_topics(settings: Settings) -> None:
    """All topics; those of scores with the broker's time of append, which says when a subscriber could have them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        stamped = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
        await admin.create_topics(
            [
                NewTopic(topic, settings.partitions, settings.replication_factor, topic_configs=stamped)
                for topic in (settings.purchase_intent_topic, settings.anomaly_scores_topic)
            ]
        )
    finally:
        await admin.close()
    await topics.ensure(settings)


async def drop_topics(settings: Settings, *, sources: bool) -> None:
    """What a run has on the broker, which is gigabytes of millions of events; `sources`: its events too."""
    names = {getattr(settings, field) for field in _OUTPUTS} | {settings.changelog_topic}
    if sources:
        names.update(settings.source_topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([name for name in await admin.list_topics() if name in names])
    finally:
        await admin.close()


@contextlib.contextmanager
def workers_of(
    settings: Settings, n: int, folder: Path, placement: Placement = ANYWHERE
) -> Iterator[Sequence[WorkerProcess]]:
    """Workers of one group that begin together, each with a folder, a log and, if placed, a CPU of its own."""
    with contextlib.ExitStack() as stack:
        group = [
            stack.enter_context(
                WorkerProcess(
                    msgspec.structs.replace(settings, data_dir=settings.data_dir / str(i)),
                    folder / f"{settings.app_id}-{i}.log",
                )
            )
            for i in range(n)
        ]
        for worker, cpus in zip(group, placement.workers, strict=bool(placement.workers)):
            keep(worker.pid, cpus)
        for worker in group:
            worker.begin()
        yield group


async def until_committed(settings: Settings, workers: Sequence[WorkerProcess]) -> None:
    """Returns when the workers have committed all that is on the source topics."""
    client = AIOKafkaClient(bootstrap_servers=settings.bootstrap_servers)
    await client.bootstrap()
    try:
        async with reader(settings) as consumer:
            ends = await consumer.end_offsets(partitions_of(settings, *settings.source_topics))
        left, since = sum(ends.values()) + 1, time.monotonic()
        while left:
            await asyncio.sleep(_POLL_SECS)
            for worker in workers:
                worker.check()
            committed = await inquiry.committed_offsets(client, settings.app_id)
            now_left = sum(max(0, end - committed.get((tp.topic, tp.partition), 0)) for tp, end in ends.items())
            if now_left < left:
                left, since = now_left, time.monotonic()
            elif time.monotonic() - since > _STALL_SECS:
                raise workers[0].failed(f"{left:,} events are not scored, and none was in {_STALL_SECS:.0f} s")
    finally:
        await client.close()


def partitions_of(settings: Settings, *names: str) -> list[TopicPartition]:
    """All partitions of these topics."""
    return [TopicPartition(topic, p) for topic in names for p in range(settings.partitions)]


@contextlib.asynccontextmanager
async def reader(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of what is committed, in no group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def reading(
    consumer: AIOKafkaConsumer, begins: Mapping[TopicPartition, int]
) -> AsyncIterator[tuple[TopicPartition, list[Any]]]:
    """The records from these offsets to the ends, some of a topic partition at a time."""
    consumer.assign(list(begins))
    for tp, offset in begins.items():
        consumer.seek(tp, offset)
    ends = await consumer.end_offsets(list(begins))
    while any([await consumer.position(tp) < end for tp, end in ends.items()]):
        for tp, run in (await consumer.getmany(timeout_ms=1000)).items():
            yield tp, run


async def read(consumer: AIOKafkaConsumer, begins: Mapping[TopicPartition, int]) -> dict[TopicPartition, list[Any]]:
    """The same, all of it."""
    records: dict[TopicPartition, list[Any]] = {tp: [] for tp in begins}
    async for tp, run in reading(consumer, begins):
        records[tp] += run
    return records
