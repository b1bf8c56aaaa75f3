"""A scraper: reads the catalogue out, for its prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stream.simulator import words
from stream.simulator.fraud.account import CaseAccount, Script, accounts, around, pause_ms
from stream.simulator.rhythm import DAY_MS, HOUR_MS
from stream.simulator.shop import Actor, Shop
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Case

_VISIT_EVENTS_MAX = 2_000
_PAGE_ITEMS = 25


def begin(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """Reads the catalogue out, category by category, from changing addresses; the pace is that of a patient person."""
    rng = shop.rng
    pace = _Pace(1000 * around(rng, 22, 0.8), rng.uniform(0.4, 1.1), around(rng, 7, 0.8))
    days = rng.uniform(2, 10)
    for account in accounts(shop, case, rng.randint(1, 3), now_ms):
        begin_ms = now_ms + int(rng.random() * DAY_MS)
        yield from account.begin(_scrape(account, pace, begin_ms, begin_ms + int(days * DAY_MS)), begin_ms)


class _Pace(NamedTuple):
    """How a scraper reads: ms between pages, median and spread of the log; pages of a visit, median."""

    pause_ms: float
    spread: float
    pages: float


def _scrape(by: CaseAccount, pace: _Pace, time_ms: int, end_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    categories = rng.sample(range(len(words.CATEGORIES)), rng.randint(2, 12))
    rotates, clicks = rng.random() < 0.5, rng.random()  # clicks: the share of items opened from a list
    place = rng.randrange(1000)
    while time_ms < end_ms:
        visit = by.visit(time_ms, network=shop.token() if rotates else shop.carrier_network())
        for _ in range(min(_VISIT_EVENTS_MAX, 2 + int(around(rng, pace.pages, 0.9)))):
            page, at = divmod(place, _PAGE_ITEMS)  # the categories in turn, a page of each at a time
            shelf = shop.catalogue.shelves[categories[page % len(categories)]]
            next_item = (page // len(categories) * _PAGE_ITEMS + at) % len(shelf.items)
            item = shelf.items[next_item] if rng.random() < 0.7 else shelf.draw(rng)
            if rng.random() < 0.4:
                visit.add("view_item_list", shelf.facts)
            else:
                if rng.random() < clicks:
                    visit.add("select_item", by.facts(item))
                    visit.time_ms += pause_ms(rng, 0.3 * pace.pause_ms, pace.spread)
                visit.add("view_item", by.facts(item))
                place += 1
            visit.time_ms += pause_ms(rng, pace.pause_ms, pace.spread)
            if item.in_stock and rng.random() < 0.02:  # a cart tells how many there are
                visit.add("add_to_cart", by.facts(item))
                visit.time_ms += pause_ms(rng, pace.pause_ms, pace.spread)
        time_ms = visit.time_ms + int(rng.expovariate(1 / (18 * HOUR_MS)))
        yield visit, time_ms
