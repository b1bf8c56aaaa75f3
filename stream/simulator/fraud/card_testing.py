"""Card testing: which of the stolen cards still work."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from stream.simulator.fraud.account import CaseAccount, Script, accounts
from stream.simulator.rhythm import DAY_MS, HOUR_MS
from stream.simulator.shop import Actor, Shop, payment
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Case


def begin(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """Stolen cards, a few per account, on something cheap: most are refused, those that work are sold."""
    rng = shop.rng
    shared = [shop.token() for _ in range(rng.randint(2, 6))]
    for account in accounts(shop, case, rng.randint(4, 12), now_ms):
        begin_ms = now_ms + int(rng.expovariate(1 / (1.5 * DAY_MS)))
        device = rng.choice(shared) if rng.random() < 0.4 else account.device
        yield from account.begin(_test_cards(dataclasses.replace(account, device=device), begin_ms), begin_ms)


def _test_cards(by: CaseAccount, time_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    time_ms = yield from by.scout(time_ms)
    for _ in range(1 if rng.random() < 0.7 else 2):
        visit = by.visit(time_ms, network=shop.carrier_network())
        item = min((by.any_item() for _ in range(rng.randint(1, 4))), key=lambda item: item.cents)
        by.look_around(visit, item, rng.randint(2, 14))
        by.to_checkout(visit, {item: 1})
        for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3))):
            card = payment("card", shop.token())
            visit.add("add_payment_info", f"{by.facts(item)},{card}")
            by.pause(visit, 17)
            if rng.random() < 0.4:
                visit.add("purchase", by.order({item: 1}, card, by.address))
                break
        time_ms = visit.time_ms + int(rng.expovariate(1 / (20 * HOUR_MS)))
        yield visit, time_ms
