"""Seeded shoppers and offenders: an endless stream of believable shop events. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count, takewhile
from random import Random

from stream.errors import SettingsError
from stream.shop_event import ShopEvent
from stream.simulator.disorder import disordered
from stream.simulator.fraud.cases import cases
from stream.simulator.scenario import Scenario
from stream.simulator.shop import Actor, Shop
from stream.simulator.shopper import Shopper
from stream.simulator.visitor import Visitor


def simulate(
    scenario: Scenario, *, seed: int, users: int, start_ms: int, end_ms: int | None = None
) -> Iterator[ShopEvent]:
    """Events of so many shoppers, and of who defrauds the shop, as they are sent from `start_ms` on (epoch ms).

    Up to `end_ms` (not included), or without end. The same seed gives the same bytes, and a shorter run is the
    beginning of a longer one. Memory is O(users).
    """
    if users < 1:
        raise SettingsError(f"simulate: expected 1 user or more, got {users}")
    if start_ms < 0 or (end_ms is not None and end_ms < start_ms):
        raise SettingsError(f"simulate: expected 0 <= start_ms <= end_ms, got {start_ms} and {end_ms}")
    rng = Random(seed)
    sent = disordered(_happening(rng, scenario, users, start_ms), Random(rng.getrandbits(64)), scenario.disorder)
    return sent if end_ms is None else takewhile(lambda event: event.sent_ms < end_ms, sent)


def _happening(rng: Random, scenario: Scenario, users: int, start_ms: int) -> Iterator[ShopEvent]:
    """Events by event time."""
    shop = Shop(rng, scenario, users)
    visitors = _visitors(shop, users, start_ms)
    actors: list[Actor] = [*visitors, *cases(shop, [visitor.shopper for visitor in visitors], start_ms)]
    # Who is to act, by when; and whose events are under way, by when the next one happens: few, so this one is quick.
    due = [(actor.next_ms, number, actor) for number, actor in enumerate(actors) if actor.next_ms is not None]
    heapify(due)
    under_way: list[tuple[int, int, list[ShopEvent]]] = []
    tie_break = count(len(actors))
    while True:
        while due and (not under_way or due[0][0] <= under_way[0][0]):
            time_ms, number, actor = due[0]
            events, entering = actor.act(time_ms)
            if actor.next_ms is None:
                heappop(due)
            else:
                heapreplace(due, (actor.next_ms, number, actor))
            if events:
                heappush(under_way, (events[-1].sent_ms, next(tie_break), events))
            for newcomer in entering:
                if newcomer.next_ms is not None:
                    heappush(due, (newcomer.next_ms, next(tie_break), newcomer))
        if not under_way:
            return
        _, number, events = under_way[0]
        yield events.pop()
        if events:
            heapreplace(under_way, (events[-1].sent_ms, number, events))
        else:
            heappop(under_way)


def _visitors(shop: Shop, users: int, start_ms: int) -> list[Visitor]:
    share = shop.scenario.shoppers.household_share
    visitors: list[Visitor] = []
    for _ in range(users):
        home = visitors[-1].shopper.home if visitors and shop.rng.random() < share else None
        visitors.append(Visitor(shop, Shopper(shop, home), start_ms))
    return visitors
