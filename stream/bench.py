"""Measures the whole job on an embedded broker: events in Kafka to scores in Kafka, with table, changelog, both
outputs.

Two figures: how fast a backlog is scored, and how soon a score follows its event at a steady rate, where a worker has a
CPU of its own. Both are read off the broker's own clock: score topics are made with LogAppendTime, so a score counts
from when a subscriber could have it. The first stands beside what the core alone does on this machine, before and
after: their ratio is the worker's, whatever else the machine is busy with.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from xxhash import xxh3_64_intdigest

from stream.commands.load_run import destination
from stream.commands.worker_process import WorkerProcess
from stream.core_speed import machine_events_per_second, this_machine
from stream.kafka import topics
from stream.kafka.embedded import EmbeddedBroker
from stream.processes import Placement, keep
from stream.settings import Settings, in_force
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.load import produce
from stream.simulator.simulate import simulate

# Shoppers enough that a million events are of tens of thousands of users with a heavy tail, as in a shop's day.
_USERS = 50_000
_SEED = 1
# Their time begins so long ago: a million events are of 11 days, and a broker refuses records of the future.
_DAYS_AGO = 60
_DAY_MS = 86_400_000
# Kafka's own default, by which workers begin together: without it the first to come takes everything, and gives half of
# it back a moment later.
_ALL_AT_ONCE = {"group.initial.rebalance.delay.ms": "3000"}
_POLL_SECS = 0.1
# Nothing scored for so long: the worker has failed, or the machine cannot do this.
_STALL_SECS = 60.0
# The latency run's first seconds are left out: for 15 s the JVM is still compiling what a steady rate asks of it.
_WARM_SECS = 20.0

Say = Callable[[str], None]


class Figures(msgspec.Struct, kw_only=True):
    """What `bench --json` prints."""

    events_per_second: float
    machine_events_per_second: float  # of the core alone on all CPUs; mean of before and after
    latency_ms: dict[str, float]
    workers: int
    events: int
    latency_workers: int
    latency_events: int
    latency_rate_per_second: float
    latency_cpus_apart: bool  # each worker had a CPU of its own, and all else the others
    machine: str
    settings: dict[str, Any]


def run(
    settings: Settings,
    *,
    workers: int,
    latency_workers: int,
    events: int,
    rate_per_sec: float,
    seconds: float,
    say: Say,
) -> Figures:
    """Both figures, on a broker and with workers of their own."""
    with tempfile.TemporaryDirectory(prefix="behaviour-stream-bench-") as name:
        folder = Path(name)
        with EmbeddedBroker(folder / "broker", properties=_ALL_AT_ONCE) as broker:
            settings = msgspec.structs.replace(
                settings, bootstrap_servers=broker.bootstrap_servers, metrics_port=0, retention_hours=-1
            )
            start_ms = (int(time.time() * 1000) // _DAY_MS - _DAYS_AGO) * _DAY_MS
            shop = simulate(scenario.load(), seed=_SEED, users=_USERS, start_ms=start_ms)
            backlog = _of_its_own(settings, "backlog", folder)
            say(f"simulating {events:,} events of up to {_USERS:,} shoppers")
            machine = [machine_events_per_second(settings, seed=_SEED, users=_USERS, start_ms=start_ms)]
            per_second = asyncio.run(_throughput(backlog, workers, itertools.islice(shop, events), folder, say))
            machine += [machine_events_per_second(settings, seed=_SEED, users=_USERS, start_ms=start_ms)]
            steady = _of_its_own(settings, "steady", folder)
            say(f"{per_second:,.0f} events/s; now {rate_per_sec:,.0f} events/s for {seconds:.0f} s")
            placement = Placement.of(latency_workers)
            keep(broker.pid, placement.others)
            latency_ms = asyncio.run(
                _latency(steady, latency_workers, placement, shop, folder, rate_per_sec=rate_per_sec, seconds=seconds)
            )
    return Figures(
        events_per_second=round(per_second, 1),
        machine_events_per_second=round(sum(machine) / 2, 1),
        latency_ms={name: round(float(np.percentile(latency_ms, q)), 1) for name, q in _PERCENTILES.items()},
        workers=workers,
        events=events,
        latency_workers=latency_workers,
        latency_events=len(latency_ms),
        latency_rate_per_second=rate_per_sec,
        latency_cpus_apart=bool(placement.workers),
        machine=this_machine(),
        settings=in_force(settings),
    )


_PERCENTILES = {"p50": 50, "p99": 99, "p999": 99.9}


async def _throughput(settings: Settings, workers: int, shop: Iterable[ShopEvent], folder: Path, say: Say) -> float:
    """Events per second from the first score to the last, with all events on the topics beforehand."""
    await _make_topics(settings)
    once = _Once()
    await produce(once.counting(shop), destination(settings))
    loaded = once.events
    say(f"{loaded:,} events are on the topics; starting {workers} worker{'s' * (workers > 1)}")
    with _workers(settings, workers, folder) as group:
        await _until_scored(settings, loaded, group)
    async with _reader(settings) as consumer:
        return loaded / await _seconds_between(consumer, settings)


async def _latency(
    settings: Settings,
    workers: int,
    placement: Placement,
    shop: Iterable[ShopEvent],
    folder: Path,
    *,
    rate_per_sec: float,
    seconds: float,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[N] ms from a record's timestamp, set as it is sent, to its anomaly score's append."""
    await _make_topics(settings)
    once = _Once()
    shop = once.counting(shop)
    n = int(rate_per_sec * seconds)
    events = list(itertools.islice(shop, n))
    with _workers(settings, workers, folder) as group:
        for worker, cpus in zip(group, placement.workers, strict=bool(placement.workers)):
            keep(worker.pid, cpus)
        keep(os.getpid(), placement.others)  # what comes after in this process is not measured
        warm = int(rate_per_sec * _WARM_SECS)
        before = once.events
        await produce(itertools.islice(shop, 1000), destination(settings), record_time="now")
        await _until_scored(settings, once.events - before, group)  # they are up
        warming = list(itertools.islice(shop, warm))
        gc.freeze()  # a look at all these events would stop the load for half a second
        await produce(warming, destination(settings), rate_per_sec=rate_per_sec, record_time="now")
        await produce(events, destination(settings), rate_per_sec=rate_per_sec, record_time="now")
        await _until_scored(settings, once.events, group)
    measured = {event.value for event in events}
    async with _reader(settings) as consumer:
        sent: dict[tuple[str, int, int], int] = {}
        for topic in settings.source_topics:
            for record in await _read(consumer, _partitions(settings, topic)):
                if record.value in measured:
                    sent[topic, record.partition, record.offset] = record.timestamp
        found = []
        for record in await _read(consumer, _partitions(settings, settings.anomaly_scores_topic)):
            topic, partition, offset, _ = msgspec.json.decode(record.value)["id"].rsplit("-", 3)
            if (at := sent.get((topic, int(partition), int(offset)))) is not None:
                found.append(record.timestamp - at)
    return np.array(found, np.float64)


class _Once:
    """Counts events that are to be scored: one that is sent twice is scored once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    @property
    def events(self) -> int:
        return len(self._seen)

    def counting(self, events: Iterable[ShopEvent]) -> Iterator[ShopEvent]:
        for event in events:
            self._seen.add(xxh3_64_intdigest(event.value))
            yield event


@contextlib.contextmanager
def _workers(settings: Settings, n: int, folder: Path) -> Iterator[Sequence[WorkerProcess]]:
    """Workers of one group that begin together, each with a folder and a log of its own."""
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
        for worker in group:
            worker.begin()
        yield group


def _of_its_own(settings: Settings, name: str, folder: Path) -> Settings:
    names = [field for field in Settings.__struct_fields__ if field.endswith("_topic")]
    return msgspec.structs.replace(
        settings,
        app_id=f"{settings.app_id}-{name}",
        data_dir=folder / f"state-{name}",
        **{field: f"{getattr(settings, field)}-{name}" for field in names},
    )


async def _make_topics(settings: Settings) -> None:
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


async def _until_scored(settings: Settings, events: int, workers: Sequence[WorkerProcess]) -> None:
    partitions = _partitions(settings, settings.purchase_intent_topic, settings.anomaly_scores_topic)
    async with _reader(settings) as consumer:
        done, since = 0, time.monotonic()
        while done < 2 * events:
            await asyncio.sleep(_POLL_SECS)
            for worker in workers:
                worker.check()
            now = sum((await consumer.end_offsets(partitions)).values())
            if now > done:
                done, since = now, time.monotonic()
            elif time.monotonic() - since > _STALL_SECS:
                raise workers[0].failed(f"{done // 2:,} of {events:,} events scored, and none in {_STALL_SECS:.0f} s")


async def _seconds_between(consumer: AIOKafkaConsumer, settings: Settings) -> float:
    """From the first score to the last, by the broker's clock."""
    partitions = _partitions(settings, settings.purchase_intent_topic, settings.anomaly_scores_topic)
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    stamps = []
    for tp, end in ends.items():
        for offset in (0, end - 1) if end else ():
            consumer.seek(tp, offset)
            stamps.append((await consumer.getone(tp)).timestamp)
    return float(max(stamps) - min(stamps)) / 1000.0


async def _read(consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> list[Any]:
    consumer.assign(partitions)
    await consumer.seek_to_beginning()
    ends = await consumer.end_offsets(partitions)
    records: list[Any] = []
    while any([await consumer.position(tp) < end for tp, end in ends.items()]):
        for run_ in (await consumer.getmany(timeout_ms=1000)).values():
            records += run_
    return records


def _partitions(settings: Settings, *names: str) -> list[TopicPartition]:
    return [TopicPartition(topic, p) for topic in names for p in range(settings.partitions)]


class _reader:  # noqa: N801 - used as a function
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> AIOKafkaConsumer:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=self._settings.bootstrap_servers, enable_auto_commit=False)
        await self._consumer.start()
        return self._consumer

    async def __aexit__(self, *error: object) -> None:
        await self._consumer.stop()
