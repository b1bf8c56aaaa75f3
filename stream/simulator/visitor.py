"""A shopper's comings and goings: when they visit, and when they come back for what they did not buy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stream.shop_event import ShopEvent
from stream.simulator import visit
from stream.simulator.rhythm import DAY_MS, HOUR_MS
from stream.simulator.session import Session
from stream.simulator.shop import Actor, Shop
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Account

_CART_KEPT_MS = 3 * DAY_MS
_REFUND_DAYS_MEDIAN = 4.0


class Visitor:
    """The actor that a shopper is."""

    def __init__(self, shop: Shop, shopper: Shopper, start_ms: int) -> None:
        self._shop, self.shopper = shop, shopper
        self._seen_ms = start_ms
        self.next_ms: int | None = self._next_visit_ms()

    def act(self, time_ms: int) -> tuple[list[ShopEvent], Sequence[Actor]]:
        """A visit, and perhaps a refund, days later, of what is bought in it."""
        shop, shopper, rng = self._shop, self.shopper, self._shop.rng
        shop.catalogue.at(shop.rhythm.day(time_ms))
        if time_ms - self._seen_ms > _CART_KEPT_MS:
            shopper.cart.clear()
        for item in [item for item in shopper.cart if not item.in_stock]:
            del shopper.cart[item]  # the shop cannot keep it for them
        if shopper.need is None and rng.random() < shop.scenario.needs.arising_share:
            shopper.need = shopper.new_need()
        here = Session(shop, shopper, time_ms)
        events = here.run()
        shopper.visits += 1
        self._plan(here)
        if here.order is None or rng.random() >= shop.scenario.sessions.refund_share:
            return events, ()
        return events, [_Refund(shop, shopper.account, here.order, here.visit.time_ms)]

    def _plan(self, here: Session) -> None:
        """When they come again: with a need that was not met, often within hours."""
        shop, shopper = self._shop, self.shopper
        rng, numbers = shop.rng, shop.scenario.needs
        self._seen_ms = here.visit.time_ms
        if shopper.need is not None:
            if here.order is not None or rng.random() < numbers.dropped_share:
                shopper.need = None
            elif rng.random() < numbers.return_share * (0.6 + 0.2 * here.level) + (0.15 if shopper.cart else 0.0):
                soon_ms = (
                    self._seen_ms + 1 + int(numbers.return_hours_median * HOUR_MS * math.exp(0.8 * rng.gauss(0, 1)))
                )
                if rng.random() < shop.rhythm.busy(soon_ms):
                    shopper.need.grow(0.3)
                    self.next_ms = soon_ms
                    return
        self.next_ms = self._next_visit_ms()

    def _next_visit_ms(self) -> int:
        """The next arrival of a Poisson process whose rate follows the shop's rhythm, by thinning."""
        rng, busy, time_ms = self._shop.rng, self._shop.rhythm.busy, self._seen_ms
        while True:
            time_ms += 1 + int(rng.expovariate(self.shopper.visits_per_ms))
            if rng.random() < busy(time_ms):
                return time_ms


class _Refund:
    """The shop takes an order back, some days later."""

    def __init__(self, shop: Shop, account: Account, order: str, ordered_ms: int) -> None:
        self._shop, self._account, self._order = shop, account, order
        self.next_ms: int | None = (
            ordered_ms + 1 + int(_REFUND_DAYS_MEDIAN * DAY_MS * math.exp(0.6 * shop.rng.gauss(0, 1)))
        )

    def act(self, time_ms: int) -> tuple[list[ShopEvent], Sequence[Actor]]:
        self.next_ms = None
        text = f'"user_id":"{self._account.user_id}"{self._order}'  # it is part of no session
        return [visit.event(self._shop.rng, self._account, "refund", time_ms, text)], ()
