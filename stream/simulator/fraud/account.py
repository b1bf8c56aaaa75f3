"""Accounts that offenders work with: where they come from, what they do in a visit, and the life that hides them.

A script is a generator: its body runs when its next visit begins, and it yields the visit and when the next one is due.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from random import Random

from stream.shop_event import ShopEvent
from stream.simulator.catalogue import Item
from stream.simulator.rhythm import DAY_MS, HOUR_MS
from stream.simulator.shop import Actor, Shop, whereabouts
from stream.simulator.shopper import Shopper, new_home
from stream.simulator.visit import Case, Visit
from stream.simulator.visitor import Visitor

Script = Iterator[tuple[Visit, int]]  # a visit, and the time of the next one

_COVER_SHARE, _COVER_MS = 0.9, 30 * DAY_MS
_SCOUT_SHARE = 0.4  # of accounts that have a look before they act
_LEAST_PAUSE_MS = 250
# Of logarithms: from account to account, from page to page
_PACE_SPREAD, _DWELL_SPREAD = 0.5, 1.0
_PACE_MEDIAN = 1.3  # of someone who copies what is new to them


@dataclasses.dataclass(frozen=True, slots=True)
class CaseAccount:
    """An account of a case, and where it comes from."""

    shop: Shop
    case: Case
    owner: Shopper  # whom the account was opened for, if only in name
    device: str
    network: str
    country: str
    address: str
    paid_with: str  # JSON, of `shop.payment`
    pace: float  # how long it stays at a page, in proportion to others
    cover: Actor | None = None  # its life beside

    def begin(self, script: Script, begin_ms: int) -> Iterator[Actor]:
        """Who enters the shop when the script is to begin."""
        yield Offender(self.shop, script, begin_ms)
        if self.cover is not None:
            yield self.cover

    def visit(self, time_ms: int, *, network: str | None = None) -> Visit:
        """One that begins now."""
        where = whereabouts(self.device, network or self.network, self.country)
        return Visit(self.shop.rng, self.owner.account, where, time_ms, self.case)

    def pause(self, visit: Visit, median_secs: float) -> None:
        """Let the time of a page pass."""
        visit.time_ms += pause_ms(self.shop.rng, 1000 * median_secs * self.pace, _DWELL_SPREAD)

    def facts(self, item: Item, quantity: int = 1) -> str:
        """JSON of an event about an item."""
        return self.shop.item_facts(item, quantity, self.owner.account)

    def order(self, lines: Mapping[Item, int], paid_with: str, address: str, coupon: str | None = None) -> str:
        """JSON of an order, which is now the account's latest."""
        self.owner.orders += 1
        return self.shop.order_facts(list(lines.items()), self.owner.account, paid_with, address, coupon)

    def any_item(self) -> Item:
        """One of what it likes, or of what all like."""
        rng, catalogue = self.shop.rng, self.shop.catalogue
        category = rng.choice(self.owner.favourites) if rng.random() < 0.5 else catalogue.any_category(rng)
        return catalogue.shelves[category].draw(rng)

    def scout(self, time_ms: int) -> Generator[tuple[Visit, int], None, int]:
        """Perhaps a look at the shop, as a part of a script -> when the account then comes to act."""
        rng = self.shop.rng
        if rng.random() < _SCOUT_SHARE:
            visit = self.visit(time_ms)
            self.look_around(visit, self.any_item(), rng.randint(1, 8))
            time_ms = visit.time_ms + int(rng.expovariate(1 / (12 * HOUR_MS)))
            yield visit, time_ms
        return time_ms

    def look_around(self, visit: Visit, item: Item, others: int) -> None:
        """Some pages of the item's category, then the item."""
        rng, shelf = self.shop.rng, self.shop.catalogue.shelves[item.category]
        searches = shelf.german if self.owner.german else shelf.english
        for _ in range(others):
            if rng.random() < 0.35:
                visit.add("view_item_list", shelf.facts)
            elif rng.random() < 0.2:
                visit.add("search", searches.draw(rng, rng.randrange(2), 0.05)[0])
            else:
                visit.add("view_item", self.facts(shelf.draw(rng)))
            self.pause(visit, 18)
        visit.add("view_item", self.facts(item))
        self.pause(visit, 18)

    def to_checkout(self, visit: Visit, lines: Mapping[Item, int]) -> None:
        """From the first item's page to the checkout."""
        for place, (item, quantity) in enumerate(lines.items()):
            if place:
                visit.add("view_item", self.facts(item))
                self.pause(visit, 18)
            visit.add("add_to_cart", self.facts(item, quantity))
            self.pause(visit, 16)
        if self.shop.rng.random() < 0.6:
            visit.add("view_cart", "")
            self.pause(visit, 16)
        item, quantity = next(iter(lines.items()))
        visit.add("begin_checkout", self.facts(item, quantity))
        self.pause(visit, 28)


def accounts(shop: Shop, case: Case, count: int, now_ms: int, *, country: str | None = None) -> Iterator[CaseAccount]:
    """New accounts for a case, of any country or of one, most of them with a life of their own beside it."""
    for _ in range(count):
        shopper = Shopper(shop, new_home(shop, country))
        life = Visitor(shop, shopper, now_ms)
        home = shopper.home
        yield CaseAccount(
            shop=shop,
            case=case,
            owner=shopper,
            device=home.device,
            network=home.network,
            country=home.country,
            address=home.address,
            paid_with=home.payment,
            pace=any_pace(shop.rng),
            cover=_Cover(life, now_ms + _COVER_MS) if shop.rng.random() < _COVER_SHARE else None,
        )


def any_pace(rng: Random) -> float:
    """How long someone stays at a page, in proportion to others."""
    return around(rng, _PACE_MEDIAN, _PACE_SPREAD)


def around(rng: Random, median: float, spread: float) -> float:
    """Lognormal; `spread` is the standard deviation of the logarithm."""
    return median * math.exp(spread * rng.gauss(0, 1))


def pause_ms(rng: Random, median_ms: float, spread: float) -> int:
    """A time between two pages."""
    return _LEAST_PAUSE_MS + int(around(rng, median_ms, spread))


class Offender:
    """An account at work, by its script."""

    def __init__(self, shop: Shop, script: Script, begin_ms: int) -> None:
        self._shop, self._script = shop, script
        self.next_ms: int | None = begin_ms

    def act(self, time_ms: int) -> tuple[list[ShopEvent], Sequence[Actor]]:
        self._shop.catalogue.at(self._shop.rhythm.day(time_ms))
        visit, self.next_ms = next(self._script, (None, None))
        return (visit.all() if visit else []), ()


class _Cover:
    """The life of an account beside what it was made for: a shopper's, for some weeks, and no part of the case."""

    def __init__(self, life: Visitor, until_ms: int) -> None:
        self._life, self._until_ms = life, until_ms
        self.next_ms = self._due_ms()

    def act(self, time_ms: int) -> tuple[list[ShopEvent], Sequence[Actor]]:
        acted = self._life.act(time_ms)
        self.next_ms = self._due_ms()
        return acted

    def _due_ms(self) -> int | None:
        due_ms = self._life.next_ms
        return due_ms if due_ms is not None and due_ms < self._until_ms else None
