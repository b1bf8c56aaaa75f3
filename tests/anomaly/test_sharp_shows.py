"""Small, sharp strangeness in a normal user's events shows in the anomaly that the shipped model makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import pytest

from stream import anomaly, model_file
from stream.anomaly import Doubles
from stream.shop_event import ShopEvent
from stream.training import scoring
from tests.anomaly import sharp
from tests.anomaly.test_sharp import KINDS, shoppers
from tests.training.shops import gathered

FAR_OFF = 1_000  # times what is usual: in these shops an order of 30 times a user's usual one is no wonder
MADE = KINDS | {
    "an order far off": partial(sharp.dear_order, factor=FAR_OFF),
    "a price far off": partial(sharp.dear_item, factor=FAR_OFF),
}


@cache
def strangeness(kind: str) -> tuple[Doubles, Doubles]:
    """Of each shopper the rarity, as a share of normal traffic, of what was made strange, and of their rarest event."""
    found = []
    for seed, events in enumerate(shoppers()):
        made = MADE[kind](events, seed)
        share = shares(made.events)
        goes_on = 30 if "rhythm" in kind or "whereabouts" in kind else 1
        found.append((share[made.strange : made.strange + goes_on].min(), share.min()))
    strange, rarest = np.array(found).T
    return strange, rarest


def shares(events: Sequence[ShopEvent]) -> Doubles:
    """[N] of a user's events by time: how much of normal traffic is stranger."""
    loaded = model_file.load("shoppers-h64")
    runs = gathered(events).runs
    nats = scoring.score(loaded.model, loaded.card.statistics, runs).surprise
    normal = loaded.card.normal_traffic
    return 1 - normal.anomaly(nats, anomaly.strain_of_runs(nats, runs.counts, normal))


@pytest.mark.parametrize(
    ("kind", "half", "all_of_them"),
    [
        ("payment first", 0.01, 0.01),
        ("purchase without checkout", 0.01, 0.05),
        ("machine rhythm", 0.001, 0.005),
        ("machine rhythm with jitter", 0.001, 0.005),
        ("new whereabouts", 0.02, 0.05),
        ("an order far off", 0.01, 0.05),
        ("a price far off", 0.01, 0.05),
    ],
)
def test_it_is_among_the_rarest_of_normal_traffic(kind: str, half: float, all_of_them: float) -> None:
    strange, _ = strangeness(kind)
    assert np.median(strange) < half
    assert strange.max() < all_of_them
