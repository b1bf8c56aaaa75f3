"""When cases of fraud begin, and of which kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from stream.shop_event import ShopEvent
from stream.simulator.fraud import account_takeover, bulk_resale, card_testing, coupon_ring, scraper
from stream.simulator.rhythm import DAY_MS
from stream.simulator.shop import Actor, Shop
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Case

# kind -> (shop, honest shoppers, case, now) -> who enters the shop. By the names of `scenario.Fraud`.
KINDS: Mapping[str, Callable[[Shop, Sequence[Shopper], Case, int], Iterator[Actor]]] = {
    "scraper": scraper.begin,
    "card_testing": card_testing.begin,
    "account_takeover": account_takeover.begin,
    "bulk_resale": bulk_resale.begin,
    "coupon_ring": coupon_ring.begin,
}


def cases(shop: Shop, shoppers: Sequence[Shopper], start_ms: int) -> list[Actor]:
    """An actor per kind that happens in this scenario, which brings its cases into the shop, one after another."""
    rates = {
        kind: getattr(shop.scenario.fraud, kind).cases_per_1000_shoppers_per_day * len(shoppers) / 1000 / DAY_MS
        for kind in KINDS
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
        return [], list(KINDS[self._kind](self._shop, self._shoppers, case, time_ms))
