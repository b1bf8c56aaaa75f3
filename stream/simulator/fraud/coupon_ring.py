"""A coupon ring: one hand behind many new customers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from stream.simulator.fraud.account import CaseAccount, Script, accounts
from stream.simulator.rhythm import HOUR_MS
from stream.simulator.shop import Actor, Shop
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Case


def begin(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """New accounts, each for one order with the welcome coupon: few devices, addresses, payments behind many names."""
    rng = shop.rng
    devices, addresses, networks = (
        [shop.token() for _ in range(rng.randint(least, most))] for least, most in ((2, 5), (2, 4), (2, 4))
    )
    payments = [shop.payment() for _ in range(rng.randint(2, 5))]
    country = shop.country()
    for each in accounts(shop, case, rng.randint(6, 15), now_ms, country=country):
        now_ms += int(rng.expovariate(1 / (10 * HOUR_MS)))
        shares = [rng.random() < share for share in (0.5, 0.45, 0.45, 0.3)]
        shares[rng.randrange(len(shares))] = True  # at least one of them gives the account away
        account = dataclasses.replace(
            each,
            device=rng.choice(devices) if shares[0] else each.device,
            network=rng.choice(networks) if shares[1] else each.network,
            address=rng.choice(addresses) if shares[2] else each.address,
            paid_with=rng.choice(payments) if shares[3] else each.paid_with,
        )
        yield from account.begin(_use_welcome(account, now_ms), now_ms)


def _use_welcome(by: CaseAccount, time_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    time_ms = yield from by.scout(time_ms)
    visit = by.visit(time_ms)
    lines = {by.any_item(): 1}
    if rng.random() < 0.3:
        lines.setdefault(by.any_item(), 1)
    item = next(iter(lines))
    by.look_around(visit, item, rng.randint(3, 18))
    by.to_checkout(visit, lines)
    visit.add("add_payment_info", f"{by.facts(item)},{by.paid_with}")
    by.pause(visit, 20)
    address = shop.pickup_address() if rng.random() < 0.2 else by.address
    visit.add(
        "purchase",
        by.order(lines, by.paid_with, address, "WELCOME10" if not by.owner.orders and rng.random() < 0.9 else None),
    )
    yield visit, visit.time_ms
