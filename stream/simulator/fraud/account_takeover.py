"""An account that is taken over: a known user's habits change at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream.simulator import words
from stream.simulator.fraud.account import CaseAccount, Script, any_pace
from stream.simulator.rhythm import HOUR_MS
from stream.simulator.shop import Actor, Shop
from stream.simulator.shopper import Shopper
from stream.simulator.visit import Case

# What can be sold on at once
_SELLABLE = [
    place
    for place, category in enumerate(words.CATEGORIES)
    if category.name in ("watches", "jewellery", "phones", "headphones", "laptops", "tablets", "cameras", "bags")
]


def begin(shop: Shop, shoppers: Sequence[Shopper], case: Case, now_ms: int) -> Iterator[Actor]:
    """Someone with a known user's password: other tastes, mostly another device, and something that sells, at once."""
    rng = shop.rng
    known = [shopper for shopper in rng.choices(shoppers, k=40) if shopper.visits >= 3]
    if known:
        victim = known[0]
        by = CaseAccount(
            shop,
            case,
            victim,
            device=victim.device if rng.random() < 0.45 else shop.token(),  # by a stolen cookie, the victim's own
            network=shop.token() if rng.random() < 0.6 else shop.carrier_network(),
            country=victim.home.country if rng.random() < 0.75 else shop.country(),
            address=victim.home.address if rng.random() < 0.25 else shop.token(),  # intercepted at the door
            paid_with=victim.payment(other=False) if rng.random() < 0.7 else shop.payment(),
            pace=any_pace(rng),
        )
        yield from by.begin(_take_over(by, now_ms), now_ms)


def _take_over(by: CaseAccount, time_ms: int) -> Script:
    shop, rng = by.shop, by.shop.rng
    for _ in range(1 if rng.random() < 0.65 else 2):
        visit = by.visit(time_ms)
        category = rng.choice(_SELLABLE) if rng.random() < 0.6 else rng.choice(by.owner.favourites)
        shelf = shop.catalogue.shelves[category]
        dear = max((shelf.draw(rng) for _ in range(2)), key=lambda item: item.cents)
        if by.owner.cart and rng.random() < 0.4:
            visit.add("view_cart", "")
            by.pause(visit, 12)
        by.look_around(visit, dear, rng.randint(1, 14))
        lines = {dear: 1 if rng.random() < 0.7 else 2}
        if rng.random() < 0.3:
            lines.setdefault(shelf.draw(rng), 1)
        by.to_checkout(visit, lines)
        visit.add("add_payment_info", f"{by.facts(dear, lines[dear])},{by.paid_with}")
        if rng.random() < 0.8:
            by.pause(visit, 18)
            visit.add("purchase", by.order(lines, by.paid_with, by.address))
        time_ms = visit.time_ms + int(rng.expovariate(1 / (5 * HOUR_MS)))
        yield visit, time_ms
