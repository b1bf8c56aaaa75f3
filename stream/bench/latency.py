"""How soon a score follows its event at a steady rate, where a worker has a CPU of its own."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream.bench.bed import Bed, Plan, make_topics, partitions_of, read, reader, reading, until_committed, workers_of
from stream.bench.live_reader import LiveReader
from stream.bench.seen import Seen
from stream.commands.load_run import destination
from stream.processes import Placement, keep
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator.load import produce


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
    with (
        workers_of(settings, plan.latency_workers, here.folder, placement) as group,
        LiveReader(settings, read_live) as live,
    ):
        keep(os.getpid(), placement.others)  # what comes after in this process is not measured
        await produce(itertools.islice(shop, 1000), destination(settings), record_time="now")
        await until_committed(settings, group)  # they are up
        warming = list(itertools.islice(shop, int(rate_per_sec * plan.warm_up_secs)))
        gc.freeze()  # a look at all these events would stop the load for half a second
        await produce(warming, destination(settings), rate_per_sec=rate_per_sec, record_time="now")
        await produce(events, destination(settings), rate_per_sec=rate_per_sec, record_time="now")
        await until_committed(settings, group)
    sent = await _sent_ms(settings, {event.value for event in events if of(event)})
    seen = live.seen if read_live else await appended(settings)
    latency_ms = [seen.at(*of_it, np.array(list(ms), np.int64)) - list(ms.values()) for of_it, ms in sent.items()]
    found = np.concatenate(latency_ms) if latency_ms else np.empty(0)
    return found[~np.isnan(found)]


async def appended(settings: Settings) -> Seen:
    """When each score was appended, by the broker's clock."""
    seen = Seen()
    async with reader(settings) as consumer:
        async for _, records in reading(
            consumer, dict.fromkeys(partitions_of(settings, settings.anomaly_scores_topic), 0)
        ):
            for record in records:
                seen.note(record.value, record.timestamp)
    return seen


async def _sent_ms(settings: Settings, measured: set[bytes]) -> dict[tuple[str, int], dict[int, int]]:
    """When each of these records was sent, by topic partition and offset."""
    async with reader(settings) as consumer:
        sources = await read(consumer, dict.fromkeys(partitions_of(settings, *settings.source_topics), 0))
    return {
        (tp.topic, tp.partition): {record.offset: record.timestamp for record in records if record.value in measured}
        for tp, records in sources.items()
    }
