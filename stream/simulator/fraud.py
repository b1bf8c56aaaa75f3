"""Five kinds of fraud, each a script of what its accounts do. They leave in events what honest people leave too.

Every event of a case carries a label beside it (`ShopEvent.label`), none within. Each kind is drawn so broadly that no
rule on one feature finds most of its accounts without accusing many others: honest shoppers share devices, buy by the
dozen, retry cards that are refused and travel; and offenders' accounts mostly have a life beside, like any shopper's.

A script is a generator: its body runs when its next visit begins, and it yields the visit and when the next one is due.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

from stream.shop_event import ShopEvent
from stream.simulator import words
from stream.simulator.catalogue import Item
from stream.simulator.rhythm import DAY_MS, HOUR_MS
from stream.simulator.shop import Actor, Shop, payment, whereabouts
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Account, Case, Visit

Script = Iterator[tuple[Visit, int]]  # a visit, and the time of the next one

# What can be sold on at once
_SELLABLE = [
    place
    for place, category in enumerate(words.CATEGORIES)
    if category.name in ("watches", "jewellery", "phones", "headphones", "laptops", "tablets", "cameras", "bags")
]
_SCRAPED_EVENTS_MAX = 2_000  # of a visit
_COVER_SHARE, _COVER_MS = 0.9, 30 * DAY_MS
_SCOUT_SHARE = 0.4  # of accounts that have a look before they act
_PACE_SPREAD, _DWELL_SPREAD = 0.5, 1.0  # of logarithms: from account to account, from page to page


def cases(shop: Shop, shoppers: Sequence[Shopper], start_ms: int) -> list[Actor]:
    """An actor per kind that happens in this scenario, which brings its cases into the shop, one after another."""
    rates = {
        kind: getattr(shop.scenario.fraud, kind).cases_per_1000_shoppers_per_day * len(shoppers) / 1000 / DAY_MS
        for kind in _KINDS
    }
    return [_Cases(shop, shoppers, kind, rate, start_ms) for kind, rate in rates.items() if rate > 0]


class _Cases:
    """Cases of a kind: a Poisson process."""

    def __init__(self, shop: Shop, shoppers: Sequence[Shopper], kind: str, per_ms: float, start_ms: int) -> None:
        self._shop, self._shoppers, self._kind, self._per_ms = shop, shoppers, kind, per_ms
        self._count = 0
        self.next_ms: int | None = start_ms + int(shop.rng.expovariate(per_ms))

    def act(self, time_ms: int) -> tuple[list[ShopEvent], Sequence[Actor]]:
        self.next_ms = time_ms + 1 + int(self._shop.rng.expovariate(self._per_ms))
        self._count += 1
        case = Case(self._kind, f"{self._kind}-{self._count:05d}")
        return [], list(_KINDS[self._kind](self._shop, self._shoppers, case, time_ms))


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

    def __init__(self, shopper: Shopper, until_ms: int) -> None:
        self._shopper, self._until_ms = shopper, until_ms
        self.next_ms = shopper.next_ms

    def act(self, time_ms: int) -> tuple[list[ShopEvent], Sequence[Actor]]:
        acted = self._shopper.act(time_ms)
        due_ms = self._shopper.next_ms
        self.next_ms = due_ms if due_ms is not None and due_ms < self._until_ms else None
        return acted


@dataclasses.dataclass(frozen=True, slots=True)
class _Account:
    """An account of a case, and where it comes from."""

    shop: Shop
    case: Case
    account: Account
    device: str
    network: str
    country: str
    address: str
    paid_with: str
    likes: Sequence[int]  # categories
    pace: float  # how long it stays at a page, in proportion to others

    def visit(self, time_ms: int, *, network: str | None = None) -> Visit:
        where = whereabouts(self.device, network or self.network, self.country)
        return Visit(self.shop.rng, self.account, where, time_ms, self.case)

    def pause(self, visit: Visit, median_secs: float) -> None:
        """Let the time of a page pass."""
        visit.time_ms += _pause(self.shop, 1000 * median_secs * self.pace, _DWELL_SPREAD)

    def facts(self, item: Item, quantity: int = 1) -> str:
        return self.shop.item_facts(item, quantity, self.account)

    def order(self, lines: Mapping[Item, int], paid_with: str, address: str, coupon: str | None = None) -> str:
        return self.shop.order_facts(list(lines.items()), self.account, paid_with, address, coupon)


def _accounts(shop: Shop, case: Case, count: int, now_ms: int) -> Iterator[tuple[_Account, Actor | None]]:
    """Accounts for a case, each with a life of its own beside it, or none."""
    for _ in range(count):
        shopper = Shopper(shop, now_ms, None)
        lives = shop.rng.random() < _COVER_SHARE
        home = shopper.home
        account = _Account(
            shop,
            case,
            shopper.account,
            home.device,
            home.network,
            home.country,
            home.address,
            home.payment,
            shopper.favourites,
            _around(shop.rng, 1.3, _PACE_SPREAD),
        )
        yield account, _Cover(shopper, now_ms + _COVER_MS) if lives else None


def _scraper(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """Reads the catalogue out, category by category, from changing addresses; the pace is that of a patient person."""
    rng = shop.rng
    pace = _Pace(1000 * _around(rng, 22, 0.8), rng.uniform(0.4, 1.1), _around(rng, 9, 0.8))
    days = rng.uniform(2, 10)
    for account, cover in _accounts(shop, case, rng.randint(1, 3), now_ms):
        begin_ms = now_ms + int(rng.random() * DAY_MS)
        yield Offender(shop, _scrape(account, pace, begin_ms, begin_ms + int(days * DAY_MS)), begin_ms)
        if cover:
            yield cover


class _Pace(NamedTuple):
    """How a scraper reads: ms between pages, median and spread of the log; pages of a visit, median."""

    pause_ms: float
    spread: float
    pages: float


def _scrape(by: _Account, pace: _Pace, time_ms: int, end_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    categories = rng.sample(range(len(words.CATEGORIES)), rng.randint(2, 12))
    rotates, clicks = rng.random() < 0.5, rng.random()  # clicks: the share of items opened from a list
    place = rng.randrange(1000)
    while time_ms < end_ms:
        visit = by.visit(time_ms, network=shop.token() if rotates else shop.carrier_network())
        for _ in range(min(_SCRAPED_EVENTS_MAX, 2 + int(_around(rng, pace.pages, 0.9)))):
            shelf = shop.catalogue.shelves[categories[place // 25 % len(categories)]]
            item = shelf.items[place % len(shelf.items)] if rng.random() < 0.7 else shelf.draw(rng)
            if rng.random() < 0.4:
                visit.add("view_item_list", f',"item_category":"{words.CATEGORIES[item.category].name}"')
            else:
                if rng.random() < clicks:
                    visit.add("select_item", by.facts(item))
                    visit.time_ms += _pause(shop, 0.3 * pace.pause_ms, pace.spread)
                visit.add("view_item", by.facts(item))
                place += 1
            visit.time_ms += _pause(shop, pace.pause_ms, pace.spread)
            if rng.random() < 0.02:  # a cart tells how many there are
                visit.add("add_to_cart", by.facts(item))
                visit.time_ms += _pause(shop, pace.pause_ms, pace.spread)
        time_ms = visit.time_ms + int(rng.expovariate(1 / (18 * HOUR_MS)))
        yield visit, time_ms


def _card_testing(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """Stolen cards, a few per account, on something cheap: most are refused, those that work are sold."""
    rng = shop.rng
    shared = [shop.token() for _ in range(rng.randint(2, 6))]
    for account, cover in _accounts(shop, case, rng.randint(4, 12), now_ms):
        begin_ms = now_ms + int(rng.expovariate(1 / (1.5 * DAY_MS)))
        device = rng.choice(shared) if rng.random() < 0.4 else account.device
        yield Offender(shop, _test_cards(dataclasses.replace(account, device=device), begin_ms), begin_ms)
        if cover:
            yield cover


def _test_cards(by: _Account, time_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    if rng.random() < _SCOUT_SHARE:
        visit, time_ms = _scout(by, time_ms)
        yield visit, time_ms
    for _ in range(1 if rng.random() < 0.7 else 2):
        visit = by.visit(time_ms, network=shop.carrier_network())
        item = min((_any_item(by) for _ in range(rng.randint(1, 4))), key=lambda item: item.cents)
        _look_around(by, visit, item, rng.randint(2, 14))
        _to_checkout(by, visit, {item: 1})
        for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3))):
            card = payment("card", shop.token())
            visit.add("add_payment_info", f"{by.facts(item)},{card}")
            by.pause(visit, 17)
            if rng.random() < 0.4:
                visit.add("purchase", by.order({item: 1}, card, by.address))
                break
        time_ms = visit.time_ms + int(rng.expovariate(1 / (20 * HOUR_MS)))
        yield visit, time_ms


def _account_takeover(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """Someone with a known user's password: other tastes, mostly another device, and something that sells, at once."""
    rng = shop.rng
    known = [shopper for shopper in rng.choices(shoppers, k=40) if shopper.visits >= 3]
    if known:
        victim = known[0]
        by = _Account(
            shop,
            case,
            victim.account,
            device=victim.device if rng.random() < 0.35 else shop.token(),  # by a stolen cookie, the victim's own
            network=shop.token() if rng.random() < 0.6 else shop.carrier_network(),
            country=victim.home.country if rng.random() < 0.75 else shop.country(),
            address=victim.home.address if rng.random() < 0.25 else shop.token(),  # intercepted at the door
            paid_with=victim.payment(other=False) if rng.random() < 0.7 else shop.payment(),
            likes=victim.favourites,
            pace=_around(rng, 1.3, _PACE_SPREAD),
        )
        yield Offender(shop, _take_over(by, now_ms), now_ms)


def _take_over(by: _Account, time_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    for _ in range(1 if rng.random() < 0.65 else 2):
        visit = by.visit(time_ms)
        category = rng.choice(_SELLABLE) if rng.random() < 0.6 else rng.choice(by.likes)
        shelf = shop.catalogue.shelves[category]
        dear = max((shelf.draw(rng) for _ in range(2)), key=lambda item: item.cents)
        if rng.random() < 0.4:
            visit.add("view_cart", "")
            by.pause(visit, 12)
        _look_around(by, visit, dear, rng.randint(1, 14))
        lines = {dear: 1 if rng.random() < 0.7 else 2}
        if rng.random() < 0.3:
            lines.setdefault(shelf.draw(rng), 1)
        _to_checkout(by, visit, lines)
        visit.add("add_payment_info", f"{by.facts(dear, lines[dear])},{by.paid_with}")
        if rng.random() < 0.8:
            by.pause(visit, 18)
            visit.add("purchase", by.order(lines, by.paid_with, by.address))
        time_ms = visit.time_ms + int(rng.expovariate(1 / (5 * HOUR_MS)))
        yield visit, time_ms


def _bulk_resale(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """What is cheap for a few days, in numbers, over several accounts, to sell it on."""
    rng, address = shop.rng, shop.token()
    for account, cover in _accounts(shop, case, rng.randint(1, 5), now_ms):
        begin_ms = now_ms + int(rng.expovariate(1 / (2 * DAY_MS)))
        goes_to = address if rng.random() < 0.5 else account.address
        yield Offender(shop, _buy_up(dataclasses.replace(account, address=goes_to), begin_ms), begin_ms)
        if cover:
            yield cover


def _buy_up(by: _Account, time_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    if rng.random() < _SCOUT_SHARE:
        visit, time_ms = _scout(by, time_ms)
        yield visit, time_ms
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        visit = by.visit(time_ms)
        promoted = shop.catalogue.promoted() or [_any_item(by)]
        liked = [item for item in promoted if item.category in by.likes]
        if liked and rng.random() < 0.5:
            promoted = liked
        chosen = rng.sample(promoted, min(len(promoted), rng.choice((1, 1, 2, 3))))
        lines = {item: max(1, round(_around(rng, 2.5, 0.7))) for item in chosen}
        item, quantity = next(iter(lines.items()))
        _look_around(by, visit, item, rng.randint(2, 20))
        _to_checkout(by, visit, lines)
        visit.add("add_payment_info", f"{by.facts(item, quantity)},{by.paid_with}")
        by.pause(visit, 18)
        address = shop.pickup_address() if rng.random() < 0.25 else by.address
        visit.add("purchase", by.order(lines, by.paid_with, address, "SAVE10" if rng.random() < 0.3 else None))
        time_ms = visit.time_ms + int(rng.expovariate(1 / (30 * HOUR_MS)))
        yield visit, time_ms


def _coupon_ring(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """New accounts, each for one order with the welcome coupon: few devices, addresses, payments behind many names."""
    rng = shop.rng
    devices, addresses, networks = (
        [shop.token() for _ in range(rng.randint(least, most))] for least, most in ((2, 5), (2, 4), (2, 4))
    )
    payments = [shop.payment() for _ in range(rng.randint(2, 5))]
    country = shop.country()
    for each, cover in _accounts(shop, case, rng.randint(6, 15), now_ms):
        now_ms += int(rng.expovariate(1 / (10 * HOUR_MS)))
        shares = [rng.random() < share for share in (0.5, 0.45, 0.45, 0.3)]
        shares[rng.randrange(len(shares))] = True  # at least one of them gives the account away
        account = dataclasses.replace(
            each,
            device=rng.choice(devices) if shares[0] else each.device,
            network=rng.choice(networks) if shares[1] else each.network,
            address=rng.choice(addresses) if shares[2] else each.address,
            paid_with=rng.choice(payments) if shares[3] else each.paid_with,
            country=country,
        )
        yield Offender(shop, _use_welcome(account, now_ms), now_ms)
        if cover:
            yield cover


def _use_welcome(by: _Account, time_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    if rng.random() < _SCOUT_SHARE:
        visit, time_ms = _scout(by, time_ms)
        yield visit, time_ms
    visit = by.visit(time_ms)
    lines = {_any_item(by): 1}
    if rng.random() < 0.3:
        lines.setdefault(_any_item(by), 1)
    item = next(iter(lines))
    _look_around(by, visit, item, rng.randint(3, 18))
    _to_checkout(by, visit, lines)
    visit.add("add_payment_info", f"{by.facts(item)},{by.paid_with}")
    by.pause(visit, 20)
    address = shop.pickup_address() if rng.random() < 0.2 else by.address
    visit.add("purchase", by.order(lines, by.paid_with, address, "WELCOME10" if rng.random() < 0.9 else None))
    yield visit, visit.time_ms


def _scout(by: _Account, time_ms: int) -> tuple[Visit, int]:
    """A look at the shop, hours before."""
    visit = by.visit(time_ms)
    _look_around(by, visit, _any_item(by), by.shop.rng.randint(1, 8))
    return visit, visit.time_ms + int(by.shop.rng.expovariate(1 / (12 * HOUR_MS)))


def _look_around(by: _Account, visit: Visit, item: Item, others: int) -> None:
    """Some pages of its category, then the item."""
    shop, rng = by.shop, by.shop.rng
    shelf = shop.catalogue.shelves[item.category]
    for _ in range(others):
        if rng.random() < 0.35:
            visit.add("view_item_list", f',"item_category":"{words.CATEGORIES[item.category].name}"')
        elif rng.random() < 0.2:
            visit.add("search", shelf.english.draw(rng, rng.randrange(2), 0.05)[0])
        else:
            visit.add("view_item", by.facts(shelf.draw(rng)))
        by.pause(visit, 18)
    visit.add("view_item", by.facts(item))
    by.pause(visit, 18)


def _to_checkout(by: _Account, visit: Visit, lines: Mapping[Item, int]) -> None:
    shop = by.shop
    for place, (item, quantity) in enumerate(lines.items()):
        if place:
            visit.add("view_item", by.facts(item))
            by.pause(visit, 18)
        visit.add("add_to_cart", by.facts(item, quantity))
        by.pause(visit, 16)
    if shop.rng.random() < 0.6:
        visit.add("view_cart", "")
        by.pause(visit, 16)
    item, quantity = next(iter(lines.items()))
    visit.add("begin_checkout", by.facts(item, quantity))
    by.pause(visit, 28)


def _any_item(by: _Account) -> Item:
    shop, rng = by.shop, by.shop.rng
    category = rng.choice(by.likes) if rng.random() < 0.5 else shop.catalogue.any_category(rng)
    return shop.catalogue.shelves[category].draw(rng)


def _around(rng: Random, median: float, spread: float) -> float:
    """Lognormal."""
    return median * math.exp(spread * rng.gauss(0, 1))


def _pause(shop: Shop, median_ms: float, spread: float) -> int:
    return 250 + int(_around(shop.rng, median_ms, spread))


_KINDS: Mapping[str, Callable[[Shop, Sequence[Shopper], Case, int], Iterator[Actor]]] = {
    "scraper": _scraper,
    "card_testing": _card_testing,
    "account_takeover": _account_takeover,
    "bulk_resale": _bulk_resale,
    "coupon_ring": _coupon_ring,
}
