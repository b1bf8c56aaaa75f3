"""How soon a score follows its event at a steady rate, where a worker has a CPU of its own."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.bench.bed import Bed, Plan, make_topics, partitions_of, read, reader, until_committed, workers_of
from stream.bench.live_reader import LiveReader, Place, place
from stream.commands.load_run import destination
from stream.processes import Placement, keep
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator.load import produce

# The first seconds are left out: for 15 s the JVM is still compiling what a steady rate asks of it.
_WARM_SECS = 20.0
_PERCENTILES = {"p50": 50, "p99": 99, "p999": 99.9}


async def latencies_ms(
    settings: Settings,
    plan: Plan,
    placement: Placement,
    here: Bed,
    *,
    read_live: bool,
    of: Callable[[ShopEvent], bool] = lambda event: True,
) -> NDArray[np.float64]:
    """[N] from a record's timestamp, set as it is sent, to its anomaly score's append, by the broker's clock; of the
    events that are asked for.

    `read_live`: to the moment when a subscriber to what is committed has read it, which is what a score in a
    transaction has to be judged by; that includes the subscriber's own 10 ms or so.
    """
    await make_topics(settings)
    shop, rate_per_sec = here.shop, plan.rate_per_sec
    events = list(itertools.islice(shop, int(rate_per_sec * plan.seconds)))
    with workers_of(settings, plan.latency_workers, here.folder) as group, LiveReader(settings, read_live) as live:
        for worker, cpus in zip(group, placement.workers, strict=bool(placement.workers)):
            keep(worker.pid, cpus)
        keep(os.getpid(), placement.others)  # what comes after in this process is not measured
        await produce(itertools.islice(shop, 1000), destination(settings), record_time="now")
        await until_committed(settings, group)  # they are up
        warming = list(itertools.islice(shop, int(rate_per_sec * _WARM_SECS)))
        gc.freeze()  # a look at all these events would stop the load for half a second
        await produce(warming, destination(settings), rate_per_sec=rate_per_sec, record_time="now")
        await produce(events, destination(settings), rate_per_sec=rate_per_sec, record_time="now")
        await until_committed(settings, group)
    sent = await _sent_ms(settings, {event.value for event in events if of(event)})
    seen = live.read_ms if read_live else await _appended_ms(settings)
    return np.array([at - sent[at_place] for at_place, at in seen.items() if at_place in sent], np.float64)


def percentiles(latency_ms: NDArray[np.float64]) -> dict[str, float]:
    """p50, p99, p999 of [N]."""
    return {name: round(float(np.percentile(latency_ms, q)), 1) for name, q in _PERCENTILES.items()}


async def _sent_ms(settings: Settings, measured: set[bytes]) -> dict[Place, int]:
    """When each of these records was sent."""
    return {
        (tp.topic, tp.partition, record.offset): record.timestamp
        for tp, records in (await _read(settings, *settings.source_topics)).items()
        for record in records
        if record.value in measured
    }


async def _appended_ms(settings: Settings) -> dict[Place, int]:
    """When each score was appended."""
    scores = await _read(settings, settings.anomaly_scores_topic)
    return {place(record.value): record.timestamp for records in scores.values() for record in records}


async def _read(settings: Settings, *names: str) -> Mapping[Any, list[Any]]:
    async with reader(settings) as consumer:
        return await read(consumer, dict.fromkeys(partitions_of(settings, *names), 0))
