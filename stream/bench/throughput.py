"""How fast a backlog is scored that is on the topics beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from stream.bench.bed import make_topics, partitions_of, read, reader, until_committed, workers_of
from stream.commands.load_run import destination
from stream.processes import ANYWHERE, Placement
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator.load import produce

# A partition's last record lies before the markers of at most so many transactions: each has one of the last.
_TAIL = 64


async def load(settings: Settings, shop: Iterator[ShopEvent], events: int) -> None:
    """Put so many on the source topics, which are made."""
    await make_topics(settings)
    await produce(itertools.islice(shop, events), destination(settings))


async def events_per_second(
    settings: Settings, workers: int, events: int, folder: Path, placement: Placement = ANYWHERE
) -> float:
    """From the first score's append to the last one's, by the broker's clock, of the events that are there."""
    await make_topics(settings)
    with workers_of(settings, workers, folder, placement) as group:
        await until_committed(settings, group)
    partitions = partitions_of(settings, settings.purchase_intent_topic, settings.anomaly_scores_topic)
    async with reader(settings) as consumer:
        ends = await consumer.end_offsets(partitions)
        used = [tp for tp, end in ends.items() if end]
        consumer.assign(used)
        first = []
        for tp in used:
            consumer.seek(tp, 0)
            first.append((await consumer.getone(tp)).timestamp)
        tails = await read(consumer, {tp: max(0, ends[tp] - _TAIL) for tp in used})
    last = [records[-1].timestamp for records in tails.values()]
    return events / (float(max(last) - min(first)) / 1000.0)
