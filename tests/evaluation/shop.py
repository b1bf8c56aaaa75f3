"""Scored events of a made-up shop, for the evaluation's tests."""

from __future__ import annotations

import numpy as np

from stream.evaluation.behaviour import Floats, Ints
from stream.evaluation.scored import ScoredEvents
from stream.events import ACTIONS
from stream.rows import RAW_EVENT

HOUR_MS = 3_600_000
START_MS = 1_767_225_600_000
VIEW, CART, PURCHASE, REFUND = (ACTIONS.index(name) for name in ("view_item", "add_to_cart", "purchase", "refund"))


def raw_events(time_ms: Ints, action: Ints, item: Ints | None = None) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Raw events, without a category or a price."""
    raw = np.zeros(len(time_ms), RAW_EVENT)
    raw["time_ms"], raw["action"], raw["price"] = time_ms, action, np.nan
    raw["item"] = np.arange(len(time_ms)) + 1 if item is None else item
    raw["event_hash"] = np.arange(len(time_ms))
    return raw


def shop(users: int = 200, *, seed: int = 0, horizons: tuple[str, ...] = ("30m", "24h")) -> ScoredEvents:
    """Who puts something into the cart mostly buys, ten minutes later; others hardly ever do.

    Everyone looks at some things first, in a session of their own. The first half of the users is to learn from, the
    others are evaluated. The model says what is so, but for some noise.
    """
    rng = np.random.default_rng(seed)
    user, time_ms, action, likely = [], [], [], []
    for one in range(users):
        at = START_MS + int(rng.integers(24 * HOUR_MS))
        cart = rng.random() < 0.4
        views = int(rng.integers(1, 4))
        buys = rng.random() < (0.8 if cart else 0.1)
        steps = [VIEW] * views + [CART] * cart + [VIEW] * int(rng.integers(1, 7)) + [PURCHASE] * buys
        for place, step in enumerate(steps):
            user.append(one)
            time_ms.append(at + 60_000 * place + (600_000 if step == PURCHASE else 0))
            action.append(step)
            likely.append(0.8 if cart and place >= views else 0.38)
    users_, actions, times = np.array(user), np.array(action), np.array(time_ms)
    raw = raw_events(times, actions, rng.integers(1, 50, len(times)))
    bought = np.zeros(len(times), bool)
    for one in range(users):
        mine = users_ == one
        last = times[mine & (actions == PURCHASE)].max(initial=0)
        bought[mine] = times[mine] < last
    k = len(horizons)
    scorable = ~np.isin(actions, [PURCHASE, REFUND])
    training = users_ < users // 2
    intent: Floats = np.clip(np.array(likely) + rng.normal(0, 0.05, len(times)), 0.001, 0.999)
    return ScoredEvents(
        raw=raw,
        user=users_,
        session=(users_ + 1).astype(np.uint64),
        horizons=horizons,
        bought=np.repeat(bought[:, None], k, axis=1),
        known=np.ones((len(times), k), bool),
        intent=np.repeat(intent[:, None], k, axis=1),
        training=training,
        training_known=np.ones((len(times), k), bool),
        evaluated=~training & scorable,
    )
