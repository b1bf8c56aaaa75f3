"""What is known of a user at each of their events: running figures over their past, the event included. Pure.

No feature looks at anything that comes later, by the order of `Behaviour`, or at another user. They are what an analyst
writes by hand for a shop: how often each action came, lately and ever; pace; the same item again; prices; visits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.behaviour import NONE, Behaviour, Bools, Floats, Ints
from stream.evaluation.running_groups import RunningGroups, decayed_counts
from stream.events import ACTIONS

Columns = Iterator[tuple[str, NDArray[Any]]]

_SEC_MS, _HOUR_MS, _DAY_MS = 1000, 3_600_000, 86_400_000
_WINDOWS_MS = {"10min": 600_000, "1h": _HOUR_MS, "1d": _DAY_MS}
_HALF_LIVES_SECS = {"1min": 60.0, "15min": 900.0, "4h": 14_400.0, "3d": 259_200.0}
_BACK = 8  # events whose item and category are compared with this one's
_ACTIONS_BACK = 3  # events whose actions are told one by one
_WEEKS_TO_KNOW = 2  # of less, a day of the week is a date, and no habit
_VIEW, _CART, _UNCART, _PURCHASE = (
    ACTIONS.index(name) for name in ("view_item", "add_to_cart", "remove_from_cart", "purchase")
)


def running_features(
    of: Behaviour, utc_offset_ms: int = 0, *, actions: Sequence[int] | None = None, weekdays: bool | None = None
) -> dict[str, Floats]:
    """[N] of each feature, by name. NaN: there is nothing that it could be of (no earlier event, no price, ...).

    `actions` are those that have features of their own (those that occur), `weekdays` whether there are days of the
    week (where two weeks or more are seen): a caller that takes some users at a time says both, and columns agree.
    """
    if actions is None:
        actions = np.unique(of.name).tolist()
    if weekdays is None:
        weekdays = enough_for_weekdays(of.time_ms)
    past = _past(of)
    parts: tuple[Callable[[], Columns], ...] = (
        lambda: _counts(past, actions),
        lambda: _latest_actions(past, actions),
        lambda: _pace(past),
        lambda: _clock(past, utc_offset_ms, weekdays=weekdays),
        lambda: _sessions(past),
        lambda: _things(past, "item", of.item),
        lambda: _things(past, "category", of.category),
        lambda: _prices(past),
        lambda: _purchases(past) if _PURCHASE in actions else iter(()),
    )
    return {name: np.asarray(column, np.float64) for part in parts for name, column in part()}


def enough_for_weekdays(time_ms: Ints) -> bool:
    """Two weeks or more."""
    return bool(len(time_ms)) and int(np.ptp(time_ms)) >= _WEEKS_TO_KNOW * 7 * _DAY_MS


@dataclasses.dataclass(frozen=True, slots=True)
class _Past:
    """A behaviour, with what several features are made from."""

    of: Behaviour
    by_user: RunningGroups
    by_session: RunningGroups
    in_session: Bools  # [N] the event is part of a session
    latest_secs: Floats  # [N] the latest event time of the user up to and with the event
    gap_secs: Floats  # [N] by how much that has grown; NaN for a user's first


def _past(of: Behaviour) -> _Past:
    by_user = RunningGroups(of.user)
    # A late event has not turned the clock back
    latest_secs = by_user.max(of.time_ms / _SEC_MS)
    gap_secs = by_user.step(latest_secs)
    # An event that names no session is one of its own: together they would join users
    session_or_event = np.where(of.session == NONE, len(of) + np.arange(len(of)), of.session)
    return _Past(of, by_user, RunningGroups(session_or_event), of.session != NONE, latest_secs, gap_secs)


def _counts(past: _Past, actions: Sequence[int]) -> Columns:
    of, by_user, by_session = past.of, past.by_user, past.by_session
    yield "events", by_user.rank + 1.0
    yield "session_events", by_session.rank + 1.0
    # All users on one axis, further apart than any window reaches: one search per window counts everyone's events.
    time_ms = np.rint(past.latest_secs * _SEC_MS).astype(np.int64)
    axis = of.user * (np.ptp(time_ms) + 2 * _DAY_MS) + time_ms if len(of) else time_ms
    begins = {window: np.searchsorted(axis, axis - ms, "right") for window, ms in _WINDOWS_MS.items()}
    for window, begin in begins.items():
        yield f"events_{window}", np.arange(len(of)) + 1.0 - begin
    kind = np.searchsorted(actions, of.name) if len(actions) else of.name
    decayed = decayed_counts(
        of.user, np.nan_to_num(past.gap_secs), kind, len(actions), np.array(list(_HALF_LIVES_SECS.values()))
    )
    for place, code in enumerate(actions):
        this, name = of.name == code, ACTIONS[code]
        so_far = by_user.so_far(this)
        yield f"{name}_so_far", so_far
        yield f"{name}_share", so_far / (by_user.rank + 1)
        yield f"{name}_in_session", by_session.so_far(this)
        yield f"{name}_last_secs", by_user.since_last(this, past.latest_secs)
        total = np.append(0.0, np.cumsum(this))
        for window, begin in begins.items():
            yield f"{name}_{window}", total[1:] - total[begin]
        for at, half_life in enumerate(_HALF_LIVES_SECS):
            yield f"{name}_decayed_{half_life}", decayed[:, at, place]
    if _CART in actions:
        put, taken = (by_session.so_far(of.name == code) for code in (_CART, _UNCART))
        yield "left_in_cart_in_session", put - taken


def _latest_actions(past: _Past, actions: Sequence[int]) -> Columns:
    for code in actions:
        this = (past.of.name == code).astype(float)
        yield ACTIONS[code], this
        for back in range(1, _ACTIONS_BACK + 1):
            yield f"{ACTIONS[code]}_{back}_ago", np.nan_to_num(past.by_user.previous(this, back))


def _pace(past: _Past) -> Columns:
    by_user, gap = past.by_user, past.gap_secs
    log_gap = np.log1p(gap)
    before = by_user.previous(gap)
    yield "gap_secs", gap
    yield "gap_before_secs", before
    yield "log_gap_to_before", log_gap - np.log1p(before)
    yield "log_gap_mean", by_user.mean(log_gap)
    # Under 1e-9 is rounding: the sums run over all users
    variance = np.round(by_user.mean(log_gap**2) - by_user.mean(log_gap) ** 2, 9)
    yield "log_gap_spread", np.sqrt(np.maximum(variance, 0))
    yield "log_gap_to_mean", log_gap - by_user.mean(log_gap)
    yield "log_gap_max", by_user.max(log_gap)
    yield "first_event_secs", past.latest_secs - past.latest_secs[by_user.start]


def _clock(past: _Past, utc_offset_ms: int, *, weekdays: bool) -> Columns:
    of = past.of
    local_ms = of.time_ms + utc_offset_ms
    hour = local_ms % _DAY_MS / _HOUR_MS
    yield "hour", hour
    for times in (1, 2):  # two bumps a day: noon and evening
        yield f"hour_sin_{times}", np.sin(times * hour * np.pi / 12)
        yield f"hour_cos_{times}", np.cos(times * hour * np.pi / 12)
    days = np.floor((past.latest_secs * _SEC_MS + utc_offset_ms) / _DAY_MS)
    yield "days_seen", past.by_user.so_far(past.by_user.first | (past.by_user.step(days) > 0))
    if weekdays:
        day = (local_ms // _DAY_MS + 3) % 7  # 1970 began on a Thursday; 0: Monday
        yield "weekday_sin", np.sin(day * 2 * np.pi / 7)
        yield "weekday_cos", np.cos(day * 2 * np.pi / 7)
        yield "weekend", day >= 5


def _sessions(past: _Past) -> Columns:
    by_user, by_session, inside = past.by_user, past.by_session, past.in_session
    begins = by_session.first & inside
    sessions = by_user.so_far(begins)
    yield "sessions", sessions
    yield "events_per_session", (by_user.rank + 1) / np.maximum(sessions, 1)
    yield "session_secs", np.where(inside, past.latest_secs - past.latest_secs[by_session.start], np.nan)
    log_gap = np.log1p(np.where(by_session.first, np.nan, past.gap_secs))
    yield "session_log_gap_mean", by_session.mean(log_gap)
    pause = np.where(begins, past.gap_secs, np.nan)
    yield "pause_before_session_secs", np.where(inside, pause[by_session.start], np.nan)
    yield "events_before_session", np.where(inside, by_user.rank[by_session.start], np.nan)


def _things(past: _Past, kind: str, code: Ints) -> Columns:
    """Of items, and of categories: the same as some events ago, the same as ever before, how many there were."""
    of, by_user, by_session = past.of, past.by_user, past.by_session
    some = code != NONE
    by_thing = RunningGroups(of.user * (code.max(initial=0) + 2) + code + 1)
    times_before = np.where(some, by_thing.rank, 0)
    repeated = some & (times_before > 0)
    codes = np.where(some, code, np.nan).astype(float)
    same = np.zeros(len(of), bool)
    for back in range(1, _BACK + 1):
        again = by_user.previous(codes, back) == codes
        same |= again
        yield f"same_{kind}_{back}_ago", np.where(some, again, np.nan)
    yield f"same_{kind}_lately", np.where(some, same, np.nan)
    yield f"{kind}_repeated", np.where(some, repeated, np.nan)
    yield f"{kind}_times_before", np.where(some, times_before, np.nan)
    yield f"{kind}_last_secs", np.where(some, by_thing.step(past.latest_secs), np.nan)
    yield f"{kind}_repeats_so_far", by_user.so_far(repeated)
    yield f"{kind}_repeats_in_session", by_session.so_far(repeated)
    yield f"{kind}_repeat_share", by_user.so_far(repeated) / np.maximum(by_user.so_far(some), 1)
    yield f"distinct_{kind}", by_user.so_far(some & ~repeated)
    yield f"new_{kind}_in_session", by_session.so_far(some & ~repeated)
    yield f"{kind}_most_times", by_user.max(np.where(some, times_before + 1.0, np.nan))


def _prices(past: _Past) -> Columns:
    """Without prices these are NaN all over, which says nothing to anyone."""
    log_price = np.log1p(np.maximum(past.of.price, 0))
    viewed = np.where(past.of.name == _PURCHASE, np.nan, log_price)  # an order's value is of another kind
    mean = past.by_user.mean(viewed)
    yield "log_price", log_price
    yield "log_price_mean", mean
    yield "log_price_to_mean", viewed - mean
    yield "log_price_max", past.by_user.max(viewed)
    yield "log_price_to_before", viewed - past.by_user.previous(viewed)
    yield "session_log_price_mean", past.by_session.mean(viewed)


def _purchases(past: _Past) -> Columns:
    """How often and how much they have bought is in the counts; this is of what and when."""
    of, by_user = past.of, past.by_user
    bought = of.name == _PURCHASE
    some = of.item != NONE
    by_item = RunningGroups(of.user * (of.item.max(initial=0) + 2) + of.item + 1)
    yield "item_bought_before", np.where(some, by_item.so_far(bought) - bought > 0, np.nan)
    yield "events_since_purchase", by_user.since_last(bought, by_user.rank.astype(float))
    yield (
        "log_gap_of_purchases",
        np.log1p(past.latest_secs - past.latest_secs[by_user.start]) - np.log1p(by_user.so_far(bought)),
    )
    yield "log_spent", np.log1p(by_user.sum(np.where(bought, np.maximum(of.price, 0), np.nan)))
    views_since = by_user.so_far(of.name == _VIEW)
    at_last = by_user.since_last(bought, views_since)
    yield "views_since_purchase", np.where(np.isnan(at_last), views_since, at_last)
