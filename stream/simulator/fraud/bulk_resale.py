"""Bulk buying: what is on promotion, bought up to be sold on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from stream.simulator.fraud.account import CaseAccount, Script, accounts, around
from stream.simulator.rhythm import DAY_MS, HOUR_MS
from stream.simulator.shop import Actor, Shop
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Case


def begin(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """What is cheap for a few days, in numbers, over several accounts, to sell it on."""
    rng, address = shop.rng, shop.token()
    for account in accounts(shop, case, rng.randint(1, 5), now_ms):
        begin_ms = now_ms + int(rng.expovariate(1 / (2 * DAY_MS)))
        goes_to = address if rng.random() < 0.5 else account.address
        yield from account.begin(_buy_up(dataclasses.replace(account, address=goes_to), begin_ms), begin_ms)


def _buy_up(by: CaseAccount, time_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    time_ms = yield from by.scout(time_ms)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        visit = by.visit(time_ms)
        promoted = shop.catalogue.promoted() or [by.any_item()]
        liked = [item for item in promoted if item.category in by.owner.favourites]
        if liked and rng.random() < 0.5:
            promoted = liked
        chosen = rng.sample(promoted, min(len(promoted), rng.choice((1, 1, 2, 3))))
        lines = {item: max(1, round(around(rng, 2.5, 0.7))) for item in chosen}
        item, quantity = next(iter(lines.items()))
        by.look_around(visit, item, rng.randint(2, 20))
        by.to_checkout(visit, lines)
        visit.add("add_payment_info", f"{by.facts(item, quantity)},{by.paid_with}")
        by.pause(visit, 18)
        address = shop.pickup_address() if rng.random() < 0.25 else by.address
        visit.add("purchase", by.order(lines, by.paid_with, address, "SAVE10" if rng.random() < 0.3 else None))
        time_ms = visit.time_ms + int(rng.expovariate(1 / (30 * HOUR_MS)))
        yield visit, time_ms
