"""What must be after any fault: every event in the rows once, and scored at least once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import numpy as np

from stream import rows
from stream.errors import BrokerError
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator.load import Destination, produce
from tests.running import read

RETRY_SECS = 0.5


async def load(settings: Settings, events: Iterator[ShopEvent], stop: asyncio.Event, *, rate_per_sec: float) -> None:
    """Send events until told to stop, over any outage: what one batch of the load had in hand may be sent twice."""
    topics = dict(zip(("clicks", "searches", "purchases"), settings.source_topics, strict=True))
    destination = Destination(settings.bootstrap_servers, topics)
    while not stop.is_set():
        try:
            await produce(events, destination, rate_per_sec=rate_per_sec, stop=stop)
        except BrokerError:
            await asyncio.sleep(RETRY_SECS)


async def sent(settings: Settings) -> Counter[bytes]:
    """Events on the source topics, by user; what was sent twice once."""
    events = {
        (record.key, json.loads(record.value)["event_id"])
        for topic in settings.source_topics
        for record in await read(settings, topic)
    }
    return Counter(user for user, _ in events)


async def counted(settings: Settings) -> Counter[bytes]:
    """Events that the rows have seen, by user: the changelog's last row of each."""
    state = {record.key: record.value for record in await read(settings, settings.changelog_topic)}
    state.pop(rows.PARTITION_KEY, None)
    return Counter({key: int(np.frombuffer(row, rows.HEADER, count=1)[0]["events_seen"]) for key, row in state.items()})


async def scored(settings: Settings) -> Counter[str]:
    """How often each event was scored, by where it came from."""
    records = await read(settings, settings.anomaly_scores_topic)
    return Counter(json.loads(record.value)["id"].rsplit("-", 1)[0] for record in records)
