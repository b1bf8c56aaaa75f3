"""Runs over backlogs that are on the topics beforehand: the base case and a value, in turns."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from stream.bench.bed import (
    Bed,
    drop_topics,
    make_topics,
    of_its_own,
    of_the_same_events,
    partitions_of,
    reader,
    until_committed,
    workers_of,
)
from stream.bench.by_rate import Steady, at_a_rate
from stream.bench.open_load import placed
from stream.bench.throughput import events_per_second, load
from stream.processes import ANYWHERE
from stream.settings import Settings
from stream.shop_event import ShopEvent
from tests.bench.bot import beside_a_bot
from tests.bench.growth.kinds import Variant

_POLL_SECS = 0.05
# Where the run of which the processor time is told ends: the last events are of few partitions, and some have no score.
_END_SHARE = 0.95


class Burden(NamedTuple):
    """What an event of the base case takes of worker, broker and changelog."""

    event_us: float
    worker_cpu_us: float
    broker_cpu_us: float
    rows: float


class Runs:
    """On one broker; a backlog is put on the topics once, and kept for all that ask for it."""

    def __init__(self, here: Bed, events: int, say: Callable[[str], None]) -> None:
        self._here, self._say = here, say
        say(f"simulating {events:,} events of up to {here.users:,} shoppers")
        self._events = list(itertools.islice(here.shop, events))
        self._backlogs: dict[tuple[int, float], Settings] = {}
        self._numbers = itertools.count()

    def per_second(self, variant: Variant) -> float:
        """Of the backlog that this is of."""
        backlog, n = self._backlog(variant), len(self._events)
        settings = of_the_same_events(backlog, self._name(), self._here.folder, **variant.fields)
        per_second = asyncio.run(events_per_second(settings, variant.workers, n, self._here.folder))
        self._drop(settings, sources=False)
        return round(per_second, 1)

    def burden(self) -> Burden:
        """By the processor time of one worker and of the broker, once it has begun to score."""
        backlog = self._backlog(Variant())
        settings = of_the_same_events(backlog, self._name(), self._here.folder)
        found = asyncio.run(self._burden(settings))
        self._drop(settings, sources=False)
        return found

    async def _burden(self, settings: Settings) -> Burden:
        n = len(self._events)
        await make_topics(settings)
        with workers_of(settings, 1, self._here.folder) as (worker,):
            processes = psutil.Process(worker.pid), psutil.Process(self._here.broker.pid)
            scored = began = 0.0
            spent: list[float] = []
            while scored < _END_SHARE * n:
                await asyncio.sleep(_POLL_SECS)
                worker.check()
                scored = await _end(settings, settings.anomaly_scores_topic)
                if scored and not spent:
                    first, began, spent = scored, time.monotonic(), [_cpu_secs(process) for process in processes]
            events, secs = scored - first, time.monotonic() - began
            took = [_cpu_secs(process) - at for process, at in zip(processes, spent, strict=True)]
            await until_committed(settings, [worker])
        rows = await _end(settings, settings.changelog_topic) / n
        return Burden(1e6 * secs / events, 1e6 * took[0] / events, 1e6 * took[1] / events, rows)

    def latency_ms(self, variant: Variant, steady: Steady) -> dict[str, float]:
        """At a rate that all can do, on CPUs that all share."""
        settings = of_its_own(
            self._here.settings, self._name(), self._here.folder, partitions=variant.partitions, **variant.fields
        )
        records = placed(_hot(self._here.shop, variant.hot_share), settings.partitions)
        n = int(steady.rate_per_sec * (steady.warm_up_secs + steady.seconds))
        found = at_a_rate(settings, self._here, steady, itertools.islice(records, n), ANYWHERE)
        self._drop(settings, sources=True)
        return found.latency_ms

    def _backlog(self, variant: Variant) -> Settings:
        """On whose source topics its events are."""
        key = variant.partitions, variant.hot_share
        if key not in self._backlogs:
            self._backlogs[key] = of_its_own(
                self._here.settings, f"backlog-{len(self._backlogs)}", self._here.folder, partitions=variant.partitions
            )
            asyncio.run(load(self._backlogs[key], _hot(iter(self._events), variant.hot_share), len(self._events)))
        return self._backlogs[key]

    def _name(self) -> str:
        return f"run-{next(self._numbers)}"

    def _drop(self, settings: Settings, *, sources: bool) -> None:
        asyncio.run(drop_topics(settings, sources=sources))
        shutil.rmtree(settings.data_dir, ignore_errors=True)


def _hot(shop: Iterator[ShopEvent], share: float) -> Iterator[ShopEvent]:
    return beside_a_bot(shop, share) if share else shop


async def _end(settings: Settings, topic: str) -> int:
    async with reader(settings) as consumer:
        return sum((await consumer.end_offsets(partitions_of(settings, topic))).values())


def _cpu_secs(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
