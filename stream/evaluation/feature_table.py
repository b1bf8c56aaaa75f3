"""Running features of some events of many, in bounded memory: some users at a time, as float32. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.behaviour import Behaviour, Bools, Ints
from stream.evaluation.running_features import enough_for_weekdays, running_features

# As doubles, features of so many events take 200 MB; a user is never parted, however busy.
_EVENTS_AT_ONCE = 150_000


class FeatureTable(NamedTuple):
    """Features of R rows of a behaviour of N events."""

    names: tuple[str, ...]  # F of them
    x: NDArray[np.float32]  # [R, F]; NaN: there is nothing that it could be of
    place: Ints  # [N] the row of each event; -1: it has none

    def of(self, events: Ints) -> NDArray[np.float32]:
        """[len(events), F] the features of events that have some."""
        return self.x[self.place[events]]


def feature_table(of: Behaviour, wanted: Bools, utc_offset_ms: int = 0) -> FeatureTable:
    """The features of the events where `wanted` [N] is true; every event of their users counts as their past."""
    actions, weekdays = np.unique(of.name).tolist(), enough_for_weekdays(of.time_ms)
    place = np.where(wanted, np.cumsum(wanted) - 1, -1)
    count = np.bincount(of.user, minlength=of.users)
    concerned = np.bincount(of.user[wanted], minlength=of.users) > 0
    block = np.cumsum(np.where(concerned, count, 0)) // _EVENTS_AT_ONCE  # [U]
    names: tuple[str, ...] = ()
    x = np.empty((0, 0), np.float32)
    for number in np.unique(block[concerned]):
        chosen = concerned[of.user] & (block[of.user] == number)
        features = running_features(of.take(chosen), utc_offset_ms, actions=actions, weekdays=weekdays)
        if not names:
            names = tuple(features)
            x = np.empty((int(wanted.sum()), len(names)), np.float32)
        rows, from_block = place[chosen & wanted], wanted[chosen]
        for at, column in enumerate(features.values()):
            x[rows, at] = column[from_block]
    return FeatureTable(names, x, place)
