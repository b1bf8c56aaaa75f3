"""How often each user acts: groups of users who act alike, each user at random moments.

    zipf     the k-th acts k ** -exponent times as often as the first, but nobody oftener than a person can
    uniform  all alike; or some of them, and the others not at all

What follows from it: how many different users act within some seconds, which is how many rows a checkpoint writes; and
how often one comes who is not in memory, where those seen least recently go (Che's approximation, 2002).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.sizing.demands import Demands

Floats = NDArray[np.float64]

# Ranks one by one, then in groups a hundredth wider each: sums are within a thousandth.
_ONE_BY_ONE, _WIDER = 1_000, 1.01
_HALVINGS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """Groups of users: how many, and events per second of one of them."""

    users: Floats  # [G]
    per_second: Floats  # [G]

    @property
    def events_per_second(self) -> float:
        return float(self.users @ self.per_second)

    @property
    def busiest_per_second(self) -> float:
        return float(self.per_second.max())

    def distinct(self, secs: float) -> float:
        """Different users who act within so many seconds."""
        return float(self.users @ -np.expm1(-self.per_second * secs))

    def misses_per_second(self, in_memory: float) -> float:
        """Events per second of users who are not among so many in memory."""
        if in_memory >= self.users[self.per_second > 0].sum():
            return 0.0
        since = self.secs_of(in_memory)
        return float(self.users @ (self.per_second * np.exp(-self.per_second * since)))

    def secs_of(self, users: float) -> float:
        """In how many seconds so many different users act; infinite where so many do not."""
        if users >= self.users[self.per_second > 0].sum():
            return math.inf
        return _rising(self.distinct, users)


def activity(demands: Demands) -> Activity:
    """Of a shop's users."""
    users, events = float(demands.users), demands.events_per_second
    if demands.active_users_per_checkpoint is not None:
        return _alike(_pool(demands, demands.active_users_per_checkpoint), events)
    if demands.active_share is not None or demands.law == "uniform":
        return _alike(max(1.0, users * (demands.active_share or 1.0)), events)
    return _zipf(demands.users, events, demands.zipf_exponent, demands.user_max_events_per_second)


def _alike(users: float, events: float) -> Activity:
    return Activity(np.array([users]), np.array([events / users]))


def _pool(demands: Demands, at_once: int) -> float:
    """How many users there are who act, if so many of them do in an interval; at most all."""
    events = demands.events_per_second * demands.interval_secs
    if demands.users * -math.expm1(-events / demands.users) <= at_once:
        return float(demands.users)
    return min(float(demands.users), _rising(lambda pool: pool * -math.expm1(-events / pool), at_once))


def _zipf(users: int, events: float, exponent: float, most: float) -> Activity:
    first = np.arange(1, min(users, _ONE_BY_ONE) + 1, dtype=np.float64)
    begins = [first]
    if users > _ONE_BY_ONE:
        wider = math.ceil(math.log(users / _ONE_BY_ONE) / math.log(_WIDER))
        begins.append(np.unique(np.floor((_ONE_BY_ONE + 1) * _WIDER ** np.arange(wider))))
    begin = np.concatenate(begins)
    begin = begin[begin <= users]
    count = np.diff(np.append(begin, users + 1.0))
    middle = np.sqrt(begin * (begin + count - 1))
    weight = middle**-exponent
    share = _rising(lambda times: float(count @ np.minimum(most, times * weight)), events)
    return Activity(count, np.minimum(most, share * weight))


def _rising(of: Callable[[float], float], wanted: float) -> float:
    """Where a function that rises from 0 has a value, or comes as near as it ever does."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        if of(high) >= wanted:
            break
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if of(middle) >= wanted else (middle, high)
    return high
