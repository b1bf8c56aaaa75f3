"""Five kinds of fraud, each a script of what its accounts do. What they leave in events is what honest people leave too.

Every event of a case carries a label beside it (`ShopEvent.label`), none within. Each kind is drawn so broadly that no
rule on one feature finds most of its accounts without accusing many others: honest shoppers share devices, buy by the
dozen, retry cards that are refused and travel.

A script is a generator: its body runs when its next visit begins, and it yields the visit and when the next one is due.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

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
        return [], [
            Offender(self._shop, *begun) for begun in _KINDS[self._kind](self._shop, self._shoppers, case, time_ms)
        ]


class Offender:
    """An account at work, by its script."""

    def __init__(self, shop: Shop, script: Script, begin_ms: int) -> None:
        self._shop, self._script = shop, script
        self.next_ms: int | None = begin_ms

    def act(self, time_ms: int) -> tuple[list[ShopEvent], Sequence[Actor]]:
        self._shop.catalogue.at(self._shop.rhythm.day(time_ms))
        visit, self.next_ms = next(self._script, (None, None))
        return (visit.all() if visit else []), ()


Begun = Iterator[tuple[Script, int]]  # scripts of a case, and when each begins


def _scraper(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Begun:
    """Reads the catalogue out, category by category, from changing addresses; the pace is that of a patient person."""
    rng = shop.rng
    days, pace, evenness = rng.uniform(2, 12), 1000 * _around(rng.gauss(0, 1), 11, 0.7), rng.uniform(0.3, 1.1)
    pages = _around(rng.gauss(0, 1), 18, 0.9)
    for _ in range(rng.randint(1, 3)):
        account, begin_ms = shop.new_account(), now_ms + int(rng.random() * DAY_MS)
        yield _scrape(shop, case, account, begin_ms, int(begin_ms + days * DAY_MS), pace, evenness, pages), begin_ms


def _scrape(
    shop: Shop, case: Case, account: Account, time_ms: int, end_ms: int, pace_ms: float, evenness: float, pages: float
) -> Script:
    rng = shop.rng
    device, country = shop.token(), shop.country()
    categories = rng.sample(range(len(words.CATEGORIES)), rng.randint(2, 12))
    place = 0
    while time_ms < end_ms:
        visit = Visit(rng, account, whereabouts(device, shop.token(), country), time_ms, case)
        if rng.random() < 0.3:
            device = shop.token()
        for _ in range(min(_SCRAPED_EVENTS_MAX, 2 + int(pages * math.exp(0.8 * rng.gauss(0, 1))))):
            shelf = shop.catalogue.shelves[categories[place // 25 % len(categories)]]
            item = shelf.items[place % len(shelf.items)] if rng.random() < 0.7 else shelf.draw(rng)
            if place % 6 == 0:
                visit.add("view_item_list", f',"item_category":"{words.CATEGORIES[item.category].name}"')
            else:
                visit.add("view_item", shop.item_facts(item, 1, account))
            if rng.random() < 0.02:  # a cart tells how many there are
                visit.time_ms += _pause(shop, pace_ms, evenness)
                visit.add("add_to_cart", shop.item_facts(item, 1, account))
            place += 1
            visit.time_ms += _pause(shop, pace_ms, evenness)
        time_ms = visit.time_ms + int(rng.expovariate(1 / (14 * HOUR_MS)))
        yield visit, time_ms


def _card_testing(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Begun:
    """Stolen cards, a few per account, on something cheap: most are refused, those that work are sold."""
    rng = shop.rng
    devices = [shop.token() for _ in range(rng.randint(2, 6))]
    for _ in range(rng.randint(4, 12)):
        now_ms += int(rng.expovariate(1 / (3 * HOUR_MS)))
        yield _test_cards(shop, case, shop.new_account(), rng.choice(devices), now_ms), now_ms


def _test_cards(shop: Shop, case: Case, account: Account, device: str, time_ms: int) -> Script:
    rng = shop.rng
    address, country = shop.token(), shop.country()
    for _ in range(1 if rng.random() < 0.7 else 2):
        visit = Visit(rng, account, whereabouts(device, shop.token(), country), time_ms, case)
        item = min((_any_item(shop) for _ in range(rng.randint(2, 6))), key=lambda item: item.cents)
        _look_around(shop, visit, account, item, rng.randint(0, 4))
        _to_checkout(shop, visit, account, {item: 1})
        for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
            card = payment("card", shop.token())
            visit.add("add_payment_info", f"{shop.item_facts(item, 1, account)},{card}")
            visit.time_ms += _pause(shop, 17_000, 0.8)
            if rng.random() < 0.25:
                visit.add("purchase", shop.order_facts([(item, 1)], account, card, address, None))
                break
        time_ms = visit.time_ms + int(rng.expovariate(1 / (20 * HOUR_MS)))
        yield visit, time_ms


def _account_takeover(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Begun:
    """Someone with a known user's password: another device, other tastes, and something that sells, at once."""
    known = [shopper for shopper in shop.rng.choices(shoppers, k=40) if shopper.visits >= 3]
    if known:
        yield _take_over(shop, case, known[0], now_ms), now_ms


def _take_over(shop: Shop, case: Case, victim: Shopper, time_ms: int) -> Script:
    rng, account = shop.rng, victim.account
    device, country = shop.token(), victim.home.country if rng.random() < 0.7 else shop.country()
    address = shop.token()
    for _ in range(1 if rng.random() < 0.65 else 2):
        visit = Visit(rng, account, whereabouts(device, shop.token(), country), time_ms, case)
        category = rng.choice(_SELLABLE)
        shelf = shop.catalogue.shelves[category]
        dear = max((shelf.draw(rng) for _ in range(3)), key=lambda item: item.cents)
        if rng.random() < 0.4:
            visit.add("view_cart", "")
            visit.time_ms += _pause(shop, 12_000, 0.8)
        _look_around(shop, visit, account, dear, rng.randint(0, 5))
        lines = {dear: 1 if rng.random() < 0.7 else 2}
        if rng.random() < 0.3:
            lines[shelf.draw(rng)] = 1
        _to_checkout(shop, visit, account, lines)
        paid_with = victim.payment(other=False) if rng.random() < 0.7 else shop.payment()
        visit.add("add_payment_info", f"{shop.item_facts(dear, lines[dear], account)},{paid_with}")
        if rng.random() < 0.8:
            visit.time_ms += _pause(shop, 15_000, 0.7)
            goes_to = address if rng.random() < 0.8 else victim.home.address  # intercepted at the door
            visit.add("purchase", shop.order_facts(list(lines.items()), account, paid_with, goes_to, None))
        time_ms = visit.time_ms + int(rng.expovariate(1 / (5 * HOUR_MS)))
        yield visit, time_ms


def _bulk_resale(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Begun:
    """What is cheap for a few days, in numbers, over several accounts, to sell it on."""
    rng = shop.rng
    address, devices = shop.token(), [shop.token() for _ in range(rng.randint(1, 3))]
    for _ in range(rng.randint(1, 4)):
        now_ms += int(rng.expovariate(1 / (6 * HOUR_MS)))
        yield _buy_up(shop, case, shop.new_account(), rng.choice(devices), address, now_ms), now_ms


def _buy_up(shop: Shop, case: Case, account: Account, device: str, address: str, time_ms: int) -> Script:
    rng = shop.rng
    network, country, paid_with = shop.token(), shop.country(), shop.payment()
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        visit = Visit(rng, account, whereabouts(device, network, country), time_ms, case)
        promoted = shop.catalogue.promoted() or [_any_item(shop)]
        lines = {
            item: max(1, round(_around(rng.gauss(0, 1), 3, 0.7)))
            for item in rng.sample(promoted, min(len(promoted), rng.choice((1, 1, 2, 3))))
        }
        _look_around(shop, visit, account, next(iter(lines)), rng.randint(0, 6))
        _to_checkout(shop, visit, account, lines)
        item, quantity = next(iter(lines.items()))
        visit.add("add_payment_info", f"{shop.item_facts(item, quantity, account)},{paid_with}")
        visit.time_ms += _pause(shop, 18_000, 0.8)
        coupon = "SAVE10" if rng.random() < 0.3 else None
        goes_to = address if rng.random() < 0.7 else shop.token()
        visit.add("purchase", shop.order_facts(list(lines.items()), account, paid_with, goes_to, coupon))
        time_ms = visit.time_ms + int(rng.expovariate(1 / (30 * HOUR_MS)))
        yield visit, time_ms


def _coupon_ring(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Begun:
    """New accounts, each for one order with the welcome coupon: few devices, addresses and payments behind many names."""
    rng = shop.rng
    devices, addresses, networks = (
        [shop.token() for _ in range(rng.randint(least, most))] for least, most in ((2, 5), (2, 4), (2, 4))
    )
    payments = [shop.payment() for _ in range(rng.randint(2, 5))]
    country = shop.country()
    for _ in range(rng.randint(6, 15)):
        now_ms += int(rng.expovariate(1 / (8 * HOUR_MS)))
        where = whereabouts(rng.choice(devices), rng.choice(networks), country)
        script = _use_welcome(shop, case, where, rng.choice(addresses), rng.choice(payments), now_ms)
        yield script, now_ms


def _use_welcome(shop: Shop, case: Case, where: str, address: str, paid_with: str, time_ms: int) -> Script:
    rng, account = shop.rng, shop.new_account()
    visit = Visit(rng, account, where, time_ms, case)
    lines = {_any_item(shop): 1}
    if rng.random() < 0.3:
        lines[_any_item(shop)] = 1
    item = next(iter(lines))
    _look_around(shop, visit, account, item, rng.randint(0, 9))
    _to_checkout(shop, visit, account, lines)
    visit.add("add_payment_info", f"{shop.item_facts(item, 1, account)},{paid_with}")
    visit.time_ms += _pause(shop, 20_000, 0.9)
    coupon = "WELCOME10" if rng.random() < 0.9 else None
    visit.add("purchase", shop.order_facts(list(lines.items()), account, paid_with, address, coupon))
    yield visit, visit.time_ms


def _look_around(shop: Shop, visit: Visit, account: Account, item: Item, others: int) -> None:
    """Some pages of its category, then the item, from which it is taken into the cart."""
    rng, shelf = shop.rng, shop.catalogue.shelves[item.category]
    for _ in range(others):
        if rng.random() < 0.35:
            visit.add("view_item_list", f',"item_category":"{words.CATEGORIES[item.category].name}"')
        elif rng.random() < 0.2:
            visit.add("search", shelf.english.draw(rng, rng.randrange(2), 0.05)[0])
        else:
            visit.add("view_item", shop.item_facts(shelf.draw(rng), 1, account))
        visit.time_ms += _pause(shop, 18_000, 0.9)
    visit.add("view_item", shop.item_facts(item, 1, account))
    visit.time_ms += _pause(shop, 15_000, 0.9)


def _to_checkout(shop: Shop, visit: Visit, account: Account, lines: Mapping[Item, int]) -> None:
    for place, (item, quantity) in enumerate(lines.items()):
        if place:
            visit.add("view_item", shop.item_facts(item, 1, account))
            visit.time_ms += _pause(shop, 14_000, 0.9)
        visit.add("add_to_cart", shop.item_facts(item, quantity, account))
        visit.time_ms += _pause(shop, 12_000, 0.9)
    if shop.rng.random() < 0.6:
        visit.add("view_cart", "")
        visit.time_ms += _pause(shop, 14_000, 0.9)
    item, quantity = next(iter(lines.items()))
    visit.add("begin_checkout", shop.item_facts(item, quantity, account))
    visit.time_ms += _pause(shop, 25_000, 0.9)


def _any_item(shop: Shop) -> Item:
    return shop.catalogue.shelves[shop.catalogue.any_category(shop.rng)].draw(shop.rng)


def _around(normal: float, median: float, spread: float) -> float:
    """Lognormal, from a standard normal number."""
    return median * math.exp(spread * normal)


def _pause(shop: Shop, median_ms: float, spread: float) -> int:
    return 250 + int(_around(shop.rng.gauss(0, 1), median_ms, spread))


_KINDS: Mapping[str, Callable[[Shop, Sequence[Shopper], Case, int], Begun]] = {
    "scraper": _scraper,
    "card_testing": _card_testing,
    "account_takeover": _account_takeover,
    "bulk_resale": _bulk_resale,
    "coupon_ring": _coupon_ring,
}
