"""One visit of a shopper: a walk through the shop's pages, bent by what they need and by what they find.

A Markov chain over events (search -> list -> item -> cart -> checkout -> purchase), at a level of readiness to buy that
is drawn around the shopper's own. What came before therefore says something about what comes next, but never all:
every step is drawn.
"""

from __future__ import annotations

import math
from bisect import bisect

from stream.shop_event import ShopEvent
from stream.simulator import funnel
from stream.simulator.catalogue import Item
from stream.simulator.shop import Shop
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Visit

_EVENTS_MAX = 300  # the chain ends long before; a bound for its tail
_DWELL_LEAST_MS = 250  # also keeps the events of a user strictly in order
_CART_ITEMS_MAX = 12
_QUANTITIES, _QUANTITY_SHARES = (1, 2, 3, 4, 6), (84, 9, 3, 2, 2)
# Readiness to buy, in standard deviations: of those who need nothing, and from visit to visit
_IDLE_READINESS, _READINESS_SPREAD = -2.5, 0.4
# Of the log of the times of a visit: its own spread, beside the shopper's, and what a level of readiness adds
_PACE_SPREAD, _READY_PACE = 0.5, 0.35
_READY_LOOK_AGAIN = 0.35  # what a level adds to the share of views that are of an item seen before


class Session:
    """A visit from arrival to leaving. After `run`, `visit.time_ms` is its end, `order` the facts of what is bought."""

    def __init__(self, shop: Shop, shopper: Shopper, time_ms: int) -> None:
        rng = shop.rng
        self._shop, self._rng, self._shopper, self._numbers = shop, rng, shopper, shop.scenario.sessions
        need = shopper.need
        readiness = (
            shopper.propensity + (need.resolve if need else _IDLE_READINESS) + _READINESS_SPREAD * rng.gauss(0, 1)
        )
        self.level = bisect(funnel.LEVEL_BOUNDS, readiness)
        self.visit = Visit(rng, shopper.account, shopper.whereabouts(), time_ms)
        self.order: str | None = None
        by_level = funnel.chains_of(self._numbers.length_factor, self._numbers.length_spread)
        patience = rng.randrange(len(funnel.PATIENCE))
        self._chains = [chains[patience] for chains in by_level]
        self._seen: list[Item] = []  # items looked at, latest last
        self._opened: Item | None = None  # clicked in a list, about to be looked at
        self._to_correct: str | None = None  # facts of the search that a typo stood for
        self._refused = 0  # payments
        self._searched = 0  # times, in this category; each time more narrowly, up to 2
        self._category = need.category if need else shopper.any_category()

    def run(self) -> list[ShopEvent]:
        """The events, the last one first."""
        rng, visit = self._rng, self.visit
        # Everyone has a pace, another one each time; and those who want something stay longer at each page.
        pace = self._shopper.pace + _PACE_SPREAD * rng.gauss(0, 1) + _READY_PACE * (self.level - 1)
        factor = self._numbers.dwell_factor * math.exp(pace)
        dwells, random = funnel.dwells(self._numbers.dwell_spread), rng.random
        name = self._next_name(funnel.START)
        while True:
            visit.add(name, self._facts(name))
            last, name = name, self._next_name(name)
            if name == funnel.END or len(visit.events) == _EVENTS_MAX:
                return visit.all()
            visit.time_ms += _DWELL_LEAST_MS + int(
                factor * funnel.DWELL_MS[last] * dwells[int(funnel.QUANTILES * random())]
            )

    def _next_name(self, name: str) -> str:
        level, rng, need = self.level, self._rng, self._shopper.need
        if name == "view_item":
            # An item that suits is liked: one level up for as long as they look at it.
            item = self._seen[-1]
            if need.suits(item) if need else abs(item.price_level - self._shopper.price_level) < 0.5:
                level = min(level + 1, len(funnel.LEVEL_BOUNDS))
        elif name == "search" and self._to_correct:
            return "search"
        elif name == "add_payment_info" and self._is_refused():
            return name
        names, sums = self._chains[level][name]
        chosen = names[bisect(sums, rng.random(), 0, len(sums) - 1)]
        if (chosen in funnel.NEEDS_CART and not self._shopper.cart) or (
            chosen == "add_to_cart" and not self._seen[-1].in_stock
        ):
            return "view_item_list"
        return chosen

    def _is_refused(self) -> bool:
        """A payment is not taken, and tried again: the more often it was, the likelier once more, up to a point."""
        share = self._numbers.payment_refused_share if not self._refused else 0.45
        if self._refused > 4 or self._rng.random() >= share:
            self._refused = 0
            return False
        self._refused += 1
        return True

    def _facts(self, name: str) -> str:
        if name == "view_item_list":
            self._drift()
            return self._shop.catalogue.shelves[self._category].facts
        if name == "search":
            return self._search()
        if name == "view_cart":
            return ""
        if name == "purchase":
            return self._buy()
        item, quantity = self._item(name)
        facts = self._shop.item_facts(item, quantity, self._shopper.account)
        if name == "add_payment_info":
            return f"{facts},{self._shopper.payment(other=self._refused > 0)}"
        return facts

    def _item(self, name: str) -> tuple[Item, int]:
        """The item that an event is about, and how many."""
        shopper, rng, cart = self._shopper, self._rng, self._shopper.cart
        if name == "select_item":
            self._opened = self._pick()
            return self._opened, 1
        if name == "view_item":
            item, self._opened = self._opened or self._look_again() or self._pick(), None
            self._seen.append(item)
            if shopper.need is not None and shopper.need.suits(item):
                shopper.need.found(item)
            return item, 1
        if name == "add_to_wishlist":
            return self._seen[-1], 1
        if name == "add_to_cart":
            item = self._seen[-1]
            quantity = rng.randint(3, 20) if shopper.business else rng.choices(_QUANTITIES, _QUANTITY_SHARES)[0]
            if item in cart or len(cart) < _CART_ITEMS_MAX:
                cart[item] = cart.get(item, 0) + quantity
            return item, quantity
        if name == "remove_from_cart":
            item = rng.choice(list(cart))
            return item, cart.pop(item)
        return next(iter(cart.items()))  # checkout and payment show the cart's first item

    def _search(self) -> str:
        if self._to_correct:
            facts, self._to_correct = self._to_correct, None
            return facts
        self._drift()
        shelf, need = self._shop.catalogue.shelves[self._category], self._shopper.need
        narrow = max(self._searched, need.narrow if need and need.category == self._category else 0)
        self._searched = min(2, self._searched + 1)
        searches = shelf.german if self._shopper.german else shelf.english
        facts, self._to_correct = searches.draw(self._rng, narrow, self._numbers.typo_share)
        return facts

    def _buy(self) -> str:
        shopper = self._shopper
        self.order = self._shop.order_facts(
            list(shopper.cart.items()),
            shopper.account,
            shopper.payment(other=False),
            shopper.address(),
            shopper.coupon(),
        )
        shopper.cart.clear()
        shopper.orders += 1
        return self.order

    def _pick(self) -> Item:
        """One of two popular items: the one whose price is nearer to what is wanted."""
        shopper, shelf, rng = self._shopper, self._shop.catalogue.shelves[self._category], self._rng
        level = shopper.need.price_level if shopper.need else shopper.price_level
        one, other = shelf.draw(rng), shelf.draw(rng)
        return one if abs(one.price_level - level) < abs(other.price_level - level) else other

    def _look_again(self) -> Item | None:
        """An item of the cart or the shortlist, or one seen before: the more ready to buy, the more likely."""
        shopper = self._shopper
        known = list(shopper.cart) or (shopper.need.shortlist if shopper.need else None) or self._seen
        if known and self._rng.random() < self._numbers.look_again_share + _READY_LOOK_AGAIN * self.level:
            return self._rng.choice(known)
        return None

    def _drift(self) -> None:
        """Something else catches the eye: more easily where nothing is needed."""
        if self._rng.random() < (0.06 if self._shopper.need else 0.15):
            self._category, self._searched = self._shopper.any_category(), 0
