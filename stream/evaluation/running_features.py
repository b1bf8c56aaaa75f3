"""What is known of a user at each of their events: running counts and gaps over their past, the event included. Pure.

No feature looks at anything that comes later, by the order of `Behaviour`, or at another user.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.behaviour import NONE, Behaviour, Bools, Floats, Ints
from stream.events import ACTIONS

_SEC_MS, _HOUR_MS, _DAY_MS = 1000, 3_600_000, 86_400_000
_WINDOWS_MS = {"10min": 600_000, "1h": _HOUR_MS, "1d": _DAY_MS}


def running_features(of: Behaviour, utc_offset_ms: int = 0) -> dict[str, Floats]:
    """[N] of each feature, by name. NaN: there is nothing that it could be of (no earlier event, no price, ...)."""
    return {name: np.asarray(column, np.float64) for name, column in _columns(of, utc_offset_ms)}


def _columns(of: Behaviour, utc_offset_ms: int) -> Iterator[tuple[str, NDArray[Any]]]:
    # An event that names no session is one of its own: together they would join users
    session = np.where(of.session == NONE, of.sessions + np.arange(len(of)), of.session)
    by_user, by_session = _Groups(of.user), _Groups(session)
    time_secs = of.time_ms / _SEC_MS
    place = np.arange(len(of)) - by_user.start

    yield "events", place + 1.0
    yield "session_events", by_session.so_far(np.ones(len(of), bool))
    for code in np.unique(of.name):
        this = of.name == code
        yield f"{ACTIONS[code]}", this.astype(float)
        yield f"{ACTIONS[code]}_so_far", by_user.so_far(this)
        yield f"{ACTIONS[code]}_in_session", by_session.so_far(this)
        yield f"{ACTIONS[code]}_last_secs", by_user.since_last(this, time_secs)

    local_ms = of.time_ms + utc_offset_ms
    hour = local_ms % _DAY_MS / _HOUR_MS
    yield "hour", hour
    yield "hour_sin", np.sin(hour * np.pi / 12)
    yield "hour_cos", np.cos(hour * np.pi / 12)
    days = local_ms // _DAY_MS
    yield "days_seen", by_user.so_far(np.append(True, np.diff(days) != 0)[: len(of)] | (place == 0))

    gap = by_user.step(time_secs)
    log_gap = np.log1p(gap)
    yield "gap_secs", gap
    yield "gap_before_secs", by_user.previous(gap)
    yield "log_gap_mean", by_user.mean(log_gap)
    # Under 1e-9 is rounding: the sums run over all users
    variance = np.round(by_user.mean(log_gap**2) - by_user.mean(log_gap) ** 2, 9)
    yield "log_gap_spread", np.sqrt(np.maximum(variance, 0))
    yield "first_event_secs", time_secs - time_secs[by_user.start]
    yield "session_secs", np.where(of.session == NONE, np.nan, time_secs - time_secs[by_session.start])
    yield "sessions", by_user.so_far(by_session.first & (of.session != NONE))
    # All users on one axis, further apart than any window reaches: one search per window counts everyone's events.
    axis = of.user * (np.ptp(of.time_ms) + 2 * _DAY_MS) + of.time_ms if len(of) else of.time_ms
    for window, ms in _WINDOWS_MS.items():
        yield f"events_{window}", np.arange(len(of)) + 1.0 - np.searchsorted(axis, axis - ms, "right")

    with_item = of.item != NONE
    pairs = of.user * (of.item.max(initial=0) + 2) + of.item + 1
    by_item, by_category = _Groups(pairs), _Groups(of.user * (of.category.max(initial=0) + 2) + of.category + 1)
    times_before = by_item.so_far(with_item) - 1.0
    repeated = with_item & (times_before > 0)
    yield "item_repeated", np.where(with_item, repeated, np.nan)
    yield "item_times_before", np.where(with_item, times_before, np.nan)
    yield "item_last_secs", np.where(with_item, by_item.step(time_secs), np.nan)
    yield "same_item_as_last", np.where(with_item, by_user.previous(of.item.astype(float)) == of.item, np.nan)
    yield "repeats_so_far", by_user.so_far(repeated)
    yield "repeats_in_session", by_session.so_far(repeated)
    yield "repeat_share", by_user.so_far(repeated) / np.maximum(by_user.so_far(with_item), 1)
    yield "distinct_items", by_user.so_far(with_item & ~repeated)
    yield "distinct_categories", by_user.so_far(by_category.first & (of.category != NONE))

    # Without prices these are NaN all over, which trees pass over
    log_price = np.log1p(np.maximum(of.price, 0))
    yield "log_price", log_price
    yield "log_price_mean", by_user.mean(log_price)
    yield "log_price_to_mean", log_price - by_user.mean(log_price)


class _Groups:
    """Running figures within groups of rows that keep their order, whether or not a group's rows are neighbours."""

    def __init__(self, group: Ints) -> None:
        self._order = np.argsort(group, kind="stable")
        self._place = np.empty(len(group), np.int64)
        self._place[self._order] = np.arange(len(group))
        new = np.append(True, np.diff(group[self._order]) != 0)[: len(group)]
        self._start = np.maximum.accumulate(np.where(new, np.arange(len(group)), 0))  # [N] in group order
        self.first: Bools = new[self._place]
        self.start: Ints = self._order[self._start][self._place]  # [N] the place of the first row of each one's group

    def so_far(self, counted: Bools) -> Floats:
        """[N] how many of the group's rows up to and with this one are counted."""
        return self._sums(counted.astype(float))

    def mean(self, of: Floats) -> Floats:
        """[N] mean of what is not NaN up to and with this row; NaN where there is nothing."""
        some = ~np.isnan(of)
        count = self.so_far(some)
        return np.where(count > 0, self._sums(np.where(some, of, 0.0)) / np.maximum(count, 1), np.nan)

    def previous(self, of: Floats) -> Floats:
        """[N] the value of the group's row before; NaN for the first."""
        values = of[self._order]
        before = np.append(np.nan, values[:-1])[: len(of)]
        before[self._start == np.arange(len(of))] = np.nan
        return before[self._place]

    def step(self, of: Floats) -> Floats:
        """[N] this row's value less that of the group's row before; NaN for the first."""
        return of - self.previous(of)

    def since_last(self, counted: Bools, of: Floats) -> Floats:
        """[N] this row's value less that of the group's last counted row, itself included; NaN before there is one."""
        values, places = of[self._order], np.arange(len(of))
        last = np.maximum.accumulate(np.where(counted[self._order], places, -1))
        return np.where(last >= self._start, values - values[last], np.nan)[self._place]

    def _sums(self, of: Floats) -> Floats:
        total = np.cumsum(of[self._order])
        before = np.append(0.0, total)[self._start]  # of all groups up to this one's first row
        sums: Floats = (total - before)[self._place]
        return sums
