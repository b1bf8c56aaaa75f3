"""Who and what is shown, and for how long: rankings that a person can read while they change, and shares of the top."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from stream.commands.demo_history import Fact

Key = TypeVar("Key", bound=Hashable)

_NINE_SECS = 15.0  # in so long, a strange event loses a nine: 0.999 is then worth what 0.99 is now
_CANDIDATES = 24  # more than are ever shown
_STEPS = 1000  # of a tally


class Shelf(Generic[Key]):
    """What of a ranking is shown. What is there stays for `least_secs`, so that it can be read."""

    def __init__(self, least_secs: float) -> None:
        self._least_secs = least_secs
        self._since: dict[Key, float] = {}  # in the order in which they are shown

    def settle(self, ranked: Sequence[Key], size: int, now: float) -> list[Key]:
        """Take in the best, of which there are `size` places -> what is shown, best first."""
        best = set(ranked[:size])
        staying = [key for key, since in self._since.items() if key in best or now - since < self._least_secs]
        shown = staying[:size]
        shown += [key for key in ranked if key not in set(shown)][: size - len(shown)]
        place = {key: i for i, key in enumerate(ranked)}
        shown.sort(key=lambda key: place.get(key, len(place)))  # stable: what has left the ranking goes to its end
        self._since = {key: self._since.get(key, now) for key in shown}
        return shown


@dataclass(frozen=True, slots=True)
class Strange:
    """A strange event, with the words that were true when it was scored."""

    user: str
    fact: Fact
    anomaly: float
    why: str
    fraud: str  # the kind of simulated fraud that it is part of; empty: none
    at_secs: float

    @property
    def standing(self) -> float:
        """Higher is shown first: all lose rank with time at the same pace, so that it need not change."""
        return standing(self.anomaly, self.at_secs)


def nines(anomaly: float) -> float:
    """2 for 0.99, 3 for 0.999: the percentile on a scale on which its tail can be told apart."""
    return -math.log10(max(1.0 - anomaly, 1e-15))


def standing(anomaly: float, at_secs: float) -> float:
    return nines(anomaly) + at_secs / _NINE_SECS


class Strangest:
    """The strangest recent events, the strangest of each user alone."""

    def __init__(self) -> None:
        self._of: dict[str, Strange] = {}
        self._least = -math.inf  # standing of the last of them, once there are as many as are kept

    def would_take(self, user: str, anomaly: float, now: float) -> bool:
        """Whether it would be among them: asked for every event, before any words are made."""
        high = standing(anomaly, now)
        return high > self._least and (user not in self._of or high > self._of[user].standing)

    def take(self, event: Strange) -> None:
        self._of[event.user] = event
        if len(self._of) > _CANDIDATES:
            del self._of[min(self._of.values(), key=lambda of: of.standing).user]
        if len(self._of) == _CANDIDATES:
            self._least = min(of.standing for of in self._of.values())

    def ranked(self) -> list[Strange]:
        return sorted(self._of.values(), key=lambda event: -event.standing)


class Tally:
    """How many values in [0, 1], and how many of them were hits, by value: for the share of hits among the highest."""

    def __init__(self) -> None:
        self.count = self.hits = 0
        self._counts, self._hits = [0] * (_STEPS + 1), [0] * (_STEPS + 1)

    def add(self, value: float, hit: bool) -> None:
        step = int(value * _STEPS)
        self.count += 1
        self._counts[step] += 1
        if hit:
            self.hits += 1
            self._hits[step] += 1

    def highest(self, share: float) -> tuple[int, int]:
        """(values, hits) of the highest `share` of all; with those that are not told apart from the last of them."""
        count = hits = 0
        for step in range(_STEPS, -1, -1):
            if count >= share * self.count:
                break
            count += self._counts[step]
            hits += self._hits[step]
        return count, hits
