"""Seeded shoppers: an endless stream of believable shop events, in event-time order. Pure: no clock, no I/O.

A shopper has lasting tastes and a lasting propensity to buy; a session has an intent, drawn around it, which bends the
funnel's Markov chain (search -> list -> item -> cart -> checkout -> purchase). What came before therefore says
something about what comes next, but never all: every step is drawn. The numbers are chosen, not fitted to any shop.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate, count
from random import Random

from stream.errors import SettingsError
from stream.shop_event import Role, ShopEvent

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# How busy the shop is at each local hour, 1 at its peak: quiet at night, a shoulder at noon, a peak in the evening.
_DAY_RHYTHM = (
    *(0.20, 0.10, 0.06, 0.05, 0.06, 0.12, 0.25, 0.42, 0.55, 0.62, 0.68, 0.74),
    *(0.80, 0.74, 0.68, 0.66, 0.70, 0.78, 0.88, 0.96, 1.00, 0.96, 0.74, 0.42),
)
_LOCAL_OFFSET_MS = _HOUR_MS  # central European winter time for everyone
# Countries of the euro area, so that one currency is right for all; shares in percent.
_COUNTRIES, _COUNTRY_SHARES = ("DE", "FR", "NL", "AT", "ES", "IT", "BE", "IE"), (46, 14, 10, 9, 8, 6, 5, 2)
_PAYMENTS, _PAYMENT_SHARES = ("card", "paypal", "invoice", "transfer"), (42, 30, 20, 8)
_TEXT_SHARE = 0.15  # of shoppers whose data layer writes decimals and times as strings
_LOCATION_SHARE, _LOCATIONS = 0.2, 60  # of sessions near one of the shop's branches

# Sessions a day before the night's thinning. A lognormal has the heavy tail of real shops: the busiest 1 % of the
# shoppers come 16 times as often as the median one.
_SESSIONS_A_DAY_MEDIAN, _SESSIONS_A_DAY_SIGMA, _SESSIONS_A_DAY_MAX = 0.4, 1.2, 12.0
_SESSION_EVENTS_MAX = 300  # the chain ends long before; a bound for its tail
_DWELL_SIGMA = 0.9  # of the log of the time to the next event
_DWELL_MIN_MS = 250  # also keeps the events of a user strictly in order
_CART_ITEMS_MAX, _CART_KEPT_MS = 12, 3 * _DAY_MS
_REFUND_SHARE, _REFUND_DAYS_MEDIAN = 0.06, 4.0

# fmt: off
_CATEGORIES = (
    "running-shoes", "sneakers", "boots", "sandals", "jackets", "coats", "jeans", "shirts", "dresses", "knitwear",
    "socks", "hats", "bags", "watches", "jewellery", "phones", "phone-cases", "headphones", "laptops", "tablets",
    "monitors", "keyboards", "cameras", "printers", "lamps", "sofas", "chairs", "bedding", "towels", "cookware",
    "knives", "coffee", "tea", "toys", "puzzles", "books", "bicycles", "tents", "garden-tools", "pet-food",
)
# fmt: on
_CATEGORY_ITEMS = 50
_ADJECTIVES = ("", "black ", "cheap ", "new ", "small ", "women ", "men ", "sale ")

_START, _END = "", "end"
# From each event to the next: weights at an intent of 0, in percent.
_FUNNEL: dict[str, dict[str, float]] = {
    _START: {"search": 44, "view_item_list": 34, "view_item": 18, "view_cart": 4},
    "search": {"view_item_list": 38, "select_item": 30, "search": 16, _END: 16},
    "view_item_list": {"select_item": 48, "view_item_list": 20, "search": 10, _END: 22},
    "select_item": {"view_item": 97, _END: 3},
    "view_item": {
        "view_item_list": 30,
        "search": 14,
        "view_item": 12,
        "add_to_cart": 9,
        "add_to_wishlist": 4,
        _END: 31,
    },
    "add_to_wishlist": {"view_item_list": 40, "search": 20, "view_item": 15, _END: 25},
    "add_to_cart": {"view_cart": 34, "view_item_list": 22, "search": 12, "begin_checkout": 7, _END: 25},
    "view_cart": {"begin_checkout": 15, "remove_from_cart": 14, "view_item": 13, "view_item_list": 24, _END: 34},
    "remove_from_cart": {"view_cart": 25, "view_item_list": 35, "search": 10, _END: 30},
    "begin_checkout": {"add_payment_info": 52, "view_cart": 18, _END: 30},
    "add_payment_info": {"purchase": 70, "view_cart": 8, _END: 22},
    "purchase": {"view_item_list": 12, _END: 88},
}
_NEEDS_CART = {"view_cart", "remove_from_cart", "begin_checkout", "add_payment_info", "purchase"}
# What one level of intent multiplies a weight by, as a logarithm.
_PULL = {"add_to_cart": 0.45, "begin_checkout": 0.5, "add_payment_info": 0.4, "purchase": 0.3, _END: -0.25}
# Intent is about normal; above each bound it is one level higher. Level 1, the commonest, is the table as it stands.
_INTENT_BOUNDS = (-0.8, 0.3, 1.3, 2.2)
# Seconds to the next event, median by the event just sent: a click on a list opens its item soon.
_DWELL_SECS = dict.fromkeys(_FUNNEL, 19.0) | {"select_item": 5.0, "view_item": 26.0, "begin_checkout": 35.0}
_DWELL_LOG_MS = {name: math.log(1000 * secs) for name, secs in _DWELL_SECS.items()}


def simulate(*, seed: int, users: int, start_ms: int, end_ms: int | None = None) -> Iterator[ShopEvent]:
    """Events from `start_ms` on (epoch ms), by event time, up to `end_ms` (not included) or without end.

    The same seed gives the same bytes, and a shorter run is the beginning of a longer one. Memory is O(users).
    """
    if users < 1:
        raise SettingsError(f"simulate: expected 1 user or more, got {users}")
    if start_ms < 0 or (end_ms is not None and end_ms < start_ms):
        raise SettingsError(f"simulate: expected 0 <= start_ms <= end_ms, got {start_ms} and {end_ms}")
    return _simulate(Random(seed), users, start_ms, end_ms)


def _simulate(rng: Random, users: int, start_ms: int, end_ms: int | None) -> Iterator[ShopEvent]:
    catalogue = _Catalogue(rng)
    # An entry per shopper, due at their next event, or at their next session when none is waiting; and one per refund.
    queue: list[tuple[int, int, _Shopper | None, list[ShopEvent]]] = []
    for index in range(users):
        shopper = _Shopper(rng, index, start_ms)
        queue.append((shopper.next_ms, index, shopper, []))
    heapify(queue)
    tie_break = count(users)
    while queue:
        time_ms, number, visitor, waiting = queue[0]
        if end_ms is not None and time_ms >= end_ms:
            return
        if not waiting and visitor is not None:
            waiting, refund = _Session(rng, catalogue, visitor).run(time_ms)
            if refund is not None:
                heappush(queue, (refund.sent_ms, next(tie_break), None, [refund]))
        yield waiting.pop()
        if waiting:
            heapreplace(queue, (waiting[-1].sent_ms, number, visitor, waiting))
        elif visitor is not None:
            heapreplace(queue, (visitor.next_ms, number, visitor, waiting))
        else:
            heappop(queue)


class _Item:
    """A shop item; `facts` and `line` are ready JSON, each as (decimal as number, decimal as string)."""

    def __init__(self, number: int, category: int, price_level: float, cents: int) -> None:
        self.category = category
        self.price_level = price_level  # standard deviations from the median log price of its category
        self.cents = cents
        facts = [
            f'"item_id":"sku-{number:04d}","item_category":"{_CATEGORIES[category]}","price":{_decimal(cents, text)}'
            for text in (False, True)
        ]
        self.facts = [f',{fact},"currency":"EUR","quantity":' for fact in facts]
        self.line = [f'{{{fact},"quantity":' for fact in facts]


class _Catalogue:
    """2,000 items in 40 categories, both Zipf popular; prices are lognormal, 1.00 and up."""

    def __init__(self, rng: Random) -> None:
        self.shelves: list[list[_Item]] = []
        self.searches: list[list[str]] = []
        for category, name in enumerate(_CATEGORIES):
            typical = 30 * math.exp(0.9 * rng.gauss(0, 1))
            shelf = []
            for rank in range(_CATEGORY_ITEMS):
                level = rng.gauss(0, 1)
                cents = max(100, round(100 * typical * math.exp(0.5 * level)))
                shelf.append(_Item(category * _CATEGORY_ITEMS + rank, category, level, cents))
            self.shelves.append(shelf)
            terms = [adjective + name.replace("-", " ") for adjective in _ADJECTIVES]
            self.searches.append([f',"search_term":"{term}","results_count":{rng.randint(0, 400)}' for term in terms])


def _zipf(n: int, steepness: float) -> list[float]:
    sums = list(accumulate(1 / (rank + 1) ** steepness for rank in range(n)))
    return [s / sums[-1] for s in sums]


_CATEGORY_SUMS, _ITEM_SUMS, _TERM_SUMS = _zipf(len(_CATEGORIES), 0.7), _zipf(_CATEGORY_ITEMS, 1.0), _zipf(8, 0.9)


def _chains() -> tuple[dict[str, tuple[list[str], list[float]]], ...]:
    """By level of intent, by event: the events that may follow, and their probabilities summed up."""
    chains = []
    for level in range(len(_INTENT_BOUNDS) + 1):
        chain = {}
        for name, nexts in _FUNNEL.items():
            weights = [weight * math.exp(_PULL.get(n, 0) * (level - 1)) for n, weight in nexts.items()]
            total = sum(weights)
            chain[name] = (list(nexts), [s / total for s in accumulate(weights)])
        chains.append(chain)
    return tuple(chains)


_CHAINS = _chains()


class _Shopper:
    """What lasts of a user between sessions; about 1 kB."""

    def __init__(self, rng: Random, index: int, start_ms: int) -> None:
        self.user_id = b"user-%07d" % index
        a_day = _SESSIONS_A_DAY_MEDIAN * math.exp(_SESSIONS_A_DAY_SIGMA * rng.gauss(0, 1))
        self.per_ms = min(a_day, _SESSIONS_A_DAY_MAX) / _DAY_MS
        self.propensity = rng.gauss(0, 0.8)  # in units of intent
        self.favourites = [bisect(_CATEGORY_SUMS, rng.random()) for _ in range(3)]
        self.price_level = rng.gauss(0, 1)
        self.as_text = rng.random() < _TEXT_SHARE
        device, country = rng.getrandbits(64), rng.choices(_COUNTRIES, _COUNTRY_SHARES)[0]
        self.envelope = f'"device_id":"{device:016x}","country":"{country}"'
        self.payment = (
            f'"payment_type":"{rng.choices(_PAYMENTS, _PAYMENT_SHARES)[0]}","payment_id":"{rng.getrandbits(128):032x}"'
        )
        self.cart: dict[_Item, int] = {}  # item -> quantity
        self.carried = 0.0  # intent left by a session that ended without buying
        self.wanted: int | None = None  # the category they come back for
        self.seen_ms = start_ms
        self.next_ms = self._next_visit_ms(rng)

    def plan(self, rng: Random, *, end_ms: int, level: int, bought: bool, category: int) -> None:
        """When they come again: those who wanted something and did not buy it, often within hours."""
        self.seen_ms, self.carried, self.wanted = end_ms, 0.0, None
        if not bought and rng.random() < 0.08 * level + (0.15 if self.cart else 0.0):
            soon_ms = end_ms + int(2.5 * _HOUR_MS * math.exp(0.8 * rng.gauss(0, 1)))
            if rng.random() < _busy(soon_ms):
                self.next_ms, self.carried, self.wanted = soon_ms, 0.5 + 0.3 * level, category
                return
        self.next_ms = self._next_visit_ms(rng)

    def _next_visit_ms(self, rng: Random) -> int:
        """The next arrival of a Poisson process whose rate follows the hour of the day, by thinning."""
        time_ms = self.seen_ms
        while True:
            time_ms += 1 + int(rng.expovariate(self.per_ms))
            if rng.random() < _busy(time_ms):
                return time_ms


class _Session:
    """One visit, from arrival to leaving."""

    def __init__(self, rng: Random, catalogue: _Catalogue, shopper: _Shopper) -> None:
        self._rng, self._catalogue, self._shopper = rng, catalogue, shopper
        self._level = bisect(_INTENT_BOUNDS, shopper.propensity + shopper.carried + rng.gauss(0, 0.9))
        self._envelope = f',"session_id":"{rng.getrandbits(64):016x}",{shopper.envelope}'
        if rng.random() < _LOCATION_SHARE:
            self._envelope += f',"location_id":"branch-{rng.randrange(_LOCATIONS):02d}"'
        self._seen: list[_Item] = []  # items looked at, latest last
        self._opened: _Item | None = None  # clicked in a list, about to be looked at
        self._order = ""  # facts of what was bought
        self._category = self._any_category() if shopper.wanted is None else shopper.wanted

    def run(self, time_ms: int) -> tuple[list[ShopEvent], ShopEvent | None]:
        """The events, the last one first, and perhaps a refund days later; tells the shopper when to come again."""
        rng, shopper = self._rng, self._shopper
        if time_ms - shopper.seen_ms > _CART_KEPT_MS:
            shopper.cart.clear()
        longer = 0.12 * (self._level - 1)  # log of how much longer those who want something stay at each page
        events: list[ShopEvent] = []
        name = self._next_name(_START)
        while True:
            events.append(self._event(name, time_ms))
            last, name = name, self._next_name(name)
            if name == _END or len(events) == _SESSION_EVENTS_MAX:
                break
            time_ms += _DWELL_MIN_MS + int(math.exp(_DWELL_LOG_MS[last] + longer + _DWELL_SIGMA * rng.gauss(0, 1)))
        events.reverse()
        shopper.plan(rng, end_ms=time_ms, level=self._level, bought=bool(self._order), category=self._category)
        if not self._order or rng.random() >= _REFUND_SHARE:
            return events, None
        after_ms = 1 + int(_REFUND_DAYS_MEDIAN * _DAY_MS * math.exp(0.6 * rng.gauss(0, 1)))
        self._envelope = f",{shopper.envelope}"  # a refund is no part of a session
        return events, self._event("refund", time_ms + after_ms)

    def _next_name(self, name: str) -> str:
        level = self._level
        # An item at the shopper's own price level is liked: one level up for as long as they look at it.
        if name == "view_item" and abs(self._seen[-1].price_level - self._shopper.price_level) < 0.5:
            level = min(level + 1, len(_INTENT_BOUNDS))
        names, sums = _CHAINS[level][name]
        chosen = names[bisect(sums, self._rng.random())]
        return chosen if self._shopper.cart or chosen not in _NEEDS_CART else "view_item_list"

    def _event(self, name: str, time_ms: int) -> ShopEvent:
        shopper = self._shopper
        role: Role = "clicks"
        if name == "search":
            role, facts = "searches", self._search()
        elif name in ("purchase", "refund"):
            role, facts = "purchases", self._order if name == "refund" else self._buy()
        else:
            facts = self._click(name)
        moment = f'"{_rfc3339(time_ms)}"' if shopper.as_text else time_ms
        value = (
            f'{{"event_id":"{self._rng.getrandbits(128):032x}","event_name":"{name}","event_time":{moment},'
            f'"user_id":"{shopper.user_id.decode()}"{self._envelope}{facts}}}'
        )
        return ShopEvent(role, shopper.user_id, value.encode(), time_ms)

    def _search(self) -> str:
        self._drift()
        return self._catalogue.searches[self._category][bisect(_TERM_SUMS, self._rng.random())]

    def _click(self, name: str) -> str:
        rng, cart = self._rng, self._shopper.cart
        quantity = 1
        if name == "view_item_list":
            self._drift()
            return f',"item_category":"{_CATEGORIES[self._category]}"'
        if name == "view_cart":
            return ""
        if name == "select_item":
            item = self._opened = self._pick()
        elif name == "view_item":
            item, self._opened = self._opened or self._look_again() or self._pick(), None
            self._seen.append(item)
        elif name == "add_to_cart":
            item = self._seen[-1]
            quantity = 1 if rng.random() < 0.9 else 2
            if len(cart) < _CART_ITEMS_MAX:
                cart[item] = quantity
        elif name == "add_to_wishlist":
            item = self._seen[-1]
        elif name == "remove_from_cart":
            item = rng.choice(list(cart))
            quantity = cart.pop(item)
        else:  # checkout and payment show the cart's first item
            item, quantity = next(iter(cart.items()))
        return f"{item.facts[self._shopper.as_text]}{quantity}"

    def _buy(self) -> str:
        shopper = self._shopper
        lines = ",".join(f"{item.line[shopper.as_text]}{n}}}" for item, n in shopper.cart.items())
        value = _decimal(sum(item.cents * n for item, n in shopper.cart.items()), shopper.as_text)
        self._order = (
            f',"transaction_id":"T-{self._rng.getrandbits(48):012x}","value":{value},"currency":"EUR",{shopper.payment},'
            f'"items":[{lines}]'
        )
        shopper.cart.clear()
        return self._order

    def _pick(self) -> _Item:
        """One of two popular items: the one whose price is nearer to the shopper's level."""
        shelf, random, level = self._catalogue.shelves[self._category], self._rng.random, self._shopper.price_level
        one, other = shelf[bisect(_ITEM_SUMS, random())], shelf[bisect(_ITEM_SUMS, random())]
        return one if abs(one.price_level - level) < abs(other.price_level - level) else other

    def _look_again(self) -> _Item | None:
        """An item in the cart, or one seen before: the more intent, the more likely."""
        known = list(self._shopper.cart) or self._seen
        if known and self._rng.random() < 0.1 + 0.15 * self._level:
            return self._rng.choice(known)
        return None

    def _drift(self) -> None:
        if self._rng.random() < 0.15:
            self._category = self._any_category()

    def _any_category(self) -> int:
        rng = self._rng
        return rng.choice(self._shopper.favourites) if rng.random() < 0.7 else bisect(_CATEGORY_SUMS, rng.random())


def _busy(time_ms: int) -> float:
    return _DAY_RHYTHM[(time_ms + _LOCAL_OFFSET_MS) % _DAY_MS // _HOUR_MS]


def _decimal(cents: int, as_text: bool) -> str:
    amount = f"{cents // 100}.{cents % 100:02d}"
    return f'"{amount}"' if as_text else amount


def _rfc3339(time_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
