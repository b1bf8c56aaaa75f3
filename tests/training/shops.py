"""What tests of training are made of: events of a shop in a line, and the runs of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import orjson

from stream.replay.rows import TOPICS
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training.gathering import Gathered, Where, gather
from stream.training.runs import Runs
from stream.training.sources import EventsShop

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# So small that a few hundred events lie in several blocks and in files.
SMALL = Where(block_bytes=5_000, memory_bytes=0)


def shop_event(user: str, name: str, time_ms: int, **fields: object) -> ShopEvent:
    """An event as it would be sent at its time; its id says what it is unless `event_id` does."""
    event = {"user_id": user, "event_id": f"{user}-{name}-{time_ms}", "event_name": name, "event_time": time_ms}
    return ShopEvent(TOPICS.get(name, "clicks"), user.encode(), orjson.dumps(event | fields), time_ms)


def happened(events: Iterable[tuple[str, str, int]]) -> list[ShopEvent]:
    """(user, name, ms after the start) of each."""
    return [shop_event(user, name, START_MS + after) for user, name, after in events]


def gathered(*shops: Iterable[ShopEvent], end_ms: int | None = None, where: Where | None = None) -> Gathered:
    """What there is to learn from shops that were watched up to `end_ms`, by default up to their last event."""
    of_shops = [EventsShop(f"shop {n}", events, end_ms=end_ms) for n, events in enumerate(shops)]
    return gather(of_shops, where=where or Where())


def runs_of(events: Sequence[tuple[str, str, int]], *, end: int = 10 * DAY_MS) -> Runs:
    """Runs of (user, name, ms after the start), watched up to `end` ms after it."""
    return gathered(happened(events), end_ms=START_MS + end).runs


@cache
def simulated(*, users: int = 60, days: int = 7, seed: int = 3, honest: bool = True) -> Runs:
    """A few honest shoppers; 1,353 events of 43 by default."""
    end_ms = START_MS + days * DAY_MS
    return gathered(events_of(users, days, seed, honest), end_ms=end_ms).runs


def events_of(users: int, days: int, seed: int, honest: bool) -> list[ShopEvent]:
    """What `simulated` gathers."""
    shop = scenario.honest_and_orderly(scenario.load()) if honest else scenario.load()
    return list(simulate(shop, seed=seed, users=users, start_ms=START_MS, end_ms=START_MS + days * DAY_MS))
