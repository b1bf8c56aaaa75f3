"""What an analyst would look at to find fraud: features of a user, and of a session. Pure.

A user's are those of all their events, then the highest and lowest of any of their sessions, and the highest of any
clock hour. They may look at the whole of what was watched, as an analyst afterwards does; serving could not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.comparison.grouped import Grouped, per, starts_of
from stream.comparison.shop_table import ShopTable
from stream.evaluation.behaviour import NONE, Bools, Floats, Ints
from stream.events import ACTIONS

Columns = Iterator[tuple[str, NDArray[Any]]]
Context = dict[str, NDArray[Any]]

_SEC_MS, _HOUR_MS, _DAY_MS = 1000, 3_600_000, 86_400_000
_WINDOWS_MS = {"10s": 10_000, "minute": 60_000, "hour": _HOUR_MS, "day": _DAY_MS}
_NIGHT_HOURS = 6  # from midnight on, local time
_NEW_MS = _HOUR_MS  # an id that a user first used so short a time ago is new to them
_VIEW, _CART, _SEARCH, _PAYMENT, _PURCHASE, _REFUND = (
    ACTIONS.index(name) for name in ("view_item", "add_to_cart", "search", "add_payment_info", "purchase", "refund")
)


@dataclasses.dataclass(frozen=True, slots=True)
class Units:
    """G users, or sessions, each with a row of features."""

    features: dict[str, Floats]  # [G] by name; NaN: there is nothing that it could be of
    fraud: Ints  # [G] index into the table's kinds; NONE: not labelled
    user: Ints  # [G] the user that each is, or is of


def units(table: ShopTable, utc_offset_ms: int = 0) -> tuple[Units, Units]:
    """Users, and sessions; events that name no session count for their user only."""
    context = _context(table, utc_offset_ms)
    users = _units(table, table.user, context)
    sessions = _regrouped(table, table.session, context)
    hours = table.time_ms // _HOUR_MS
    by_hour = _regrouped(table, table.user * (int(hours.max(initial=0)) + 1) + hours, context)
    features = users.features | _halves(table)
    features["sessions"] = np.bincount(sessions.user, minlength=len(users.user)).astype(float)
    for part, which, most, of in (
        ("session", "highest", np.fmax, sessions),  # fmax and fmin pass over NaN
        ("session", "lowest", np.fmin, sessions),
        ("hour", "highest", np.fmax, by_hour),
    ):
        order = np.argsort(of.user, kind="stable")
        owners, starts = np.unique(of.user[order], return_index=True)
        for name, column in of.features.items():
            extreme = np.full(len(users.user), np.nan)
            extreme[owners] = most.reduceat(column[order], starts)
            features[f"{which} of one {part}: {name}"] = extreme
    return Units(features, users.fraud, users.user), sessions


def _regrouped(table: ShopTable, group: Ints, context: Context) -> Units:
    """A unit per group; events of none are left out."""
    order = np.argsort(group, kind="stable")
    order = order[group[order] != NONE]
    return _units(table.take(order), group[order], {name: column[order] for name, column in context.items()})


def _context(table: ShopTable, utc_offset_ms: int) -> Context:
    """[N] of each: what an event is against its user's past, in the table's own order."""
    found: Context = {
        "night": (table.time_ms + utc_offset_ms) % _DAY_MS < _NIGHT_HOURS * _HOUR_MS,
        "price_to_past": _to_past(table.user, np.log1p(np.maximum(table.price, 0))),
        "value_to_past": _to_past(table.user, np.log1p(np.maximum(table.value, 0))),
        "pause_secs": np.where(np.diff(table.user, prepend=NONE) == 0, np.diff(table.time_ms, prepend=0), -1) / _SEC_MS,
    }
    found["pause_secs"][found["pause_secs"] < 0] = np.nan
    viewed = _first_ms(table, table.item, table.name == _VIEW)
    found["unviewed_purchase"] = (table.name == _PURCHASE) & ~(viewed <= table.time_ms)
    since_ms = table.time_ms[starts_of(table.user)][table.user]
    for field, codes in {"category": table.category, **table.ids}.items():
        first_ms = _first_ms(table, codes, codes != NONE)
        young = (codes != NONE) & (table.time_ms - first_ms < _NEW_MS)
        found[f"new {field}"] = young & (first_ms - since_ms >= _NEW_MS)
        found[f"new {field} at purchase"] = found[f"new {field}"] & (table.name == _PURCHASE)
    for field, codes in table.ids.items():
        width = int(table.user.max(initial=0)) + 1
        sharing = np.bincount(np.unique(codes[codes != NONE] * width + table.user[codes != NONE]) // width, minlength=1)
        found[f"users with the same {field}"] = np.where(codes == NONE, np.nan, sharing[codes])
    return found


def _units(table: ShopTable, unit: Ints, context: Context) -> Units:
    """Features of units whose events lie one after the other, by time."""
    starts = starts_of(unit)
    groups = Grouped(starts, len(unit))
    features = {name: np.asarray(column, np.float64) for name, column in _all(table, groups, context)}
    return Units(features, np.maximum.reduceat(table.fraud, starts), table.user[starts])


def _all(table: ShopTable, by: Grouped, context: Context) -> Columns:
    counts = {code: by.sum(table.name == code) for code in range(1, len(ACTIONS))}
    yield from _amounts(table, by, counts)
    yield from _times(table, by, context)
    yield from _purchases(table, by, counts, context)
    yield from _money(table, by, counts, context)
    yield from _variety(table, by, context)


def _amounts(table: ShopTable, by: Grouped, counts: dict[int, Floats]) -> Columns:
    events = by.count
    yield "events", events
    for window, ms in _WINDOWS_MS.items():
        yield f"events in the busiest {window}", by.busiest(table.time_ms, ms)
    for code, count in counts.items():
        yield f"count of {ACTIONS[code]}", count
        yield f"share of {ACTIONS[code]}", count / events
    yield "distinct names", by.distinct(table.name)
    yield "hours active", by.distinct(table.time_ms // _HOUR_MS)
    yield "days active", by.distinct(table.time_ms // _DAY_MS)


def _times(table: ShopTable, by: Grouped, context: Context) -> Columns:
    secs = table.time_ms / _SEC_MS
    length = by.last(secs) - by.first(secs)
    gaps = by.gaps(secs)
    mean, spread = by.mean(gaps), by.spread(gaps)
    yield "length, s", length
    yield "gap median, s", by.median(gaps)
    yield "gap mean, s", mean
    yield "gap min, s", by.min(gaps)
    yield "gap max, s", by.max(gaps)
    yield "gap standard deviation, s", spread
    yield "gap coefficient of variation", spread / np.maximum(mean, 1e-3)
    yield "log gap standard deviation", by.spread(np.log1p(gaps))
    yield "gaps under 1 s, share", by.mean(np.where(np.isnan(gaps), np.nan, gaps < 1))
    yield "pause before, s", by.first(context["pause_secs"])
    yield "night share", by.mean(context["night"].astype(float))


def _purchases(table: ShopTable, by: Grouped, counts: dict[int, Floats], context: Context) -> Columns:
    purchases, secs = counts[_PURCHASE], table.time_ms / _SEC_MS
    yield "payment attempts without purchase", counts[_PAYMENT] - purchases
    yield "payment attempts per purchase", per(counts[_PAYMENT], purchases)
    yield "purchases per view", per(purchases, counts[_VIEW])
    yield "carts per view", per(counts[_CART], counts[_VIEW])
    yield "views per search", per(counts[_VIEW], counts[_SEARCH])
    yield "refunds per purchase", per(counts[_REFUND], purchases)
    yield "purchases of items not viewed before", by.sum(context["unviewed_purchase"])
    yield "share of purchases not viewed before", per(by.sum(context["unviewed_purchase"]), purchases)
    bought = table.name == _PURCHASE
    first_purchase = by.min(np.where(bought, secs, np.nan)) - by.first(secs)
    yield "time to the first purchase, s", first_purchase
    yield "least time between purchases, s", by.min(by.gaps_of(secs, bought))
    yield "events before the first purchase", by.min(np.where(bought, by.place, np.nan))


def _money(table: ShopTable, by: Grouped, counts: dict[int, Floats], context: Context) -> Columns:
    bought = table.name == _PURCHASE
    order_value = np.where(bought, table.value, np.nan)
    yield "order value max", by.max(order_value)
    yield "order value mean", by.mean(order_value)
    yield "order value sum", by.sum(np.nan_to_num(order_value))
    yield "refunded value sum", by.sum(np.nan_to_num(np.where(table.name == _REFUND, table.value, np.nan)))
    yield "order lines max", by.max(np.where(bought, table.lines, np.nan))
    yield "quantity max", by.max(table.quantity)
    yield "quantity per order", by.mean(np.where(bought, table.quantity, np.nan))
    yield "price max", by.max(table.price)
    yield "price median", by.median(table.price)
    yield "price max to median", by.max(table.price) / np.maximum(by.median(table.price), 0.01)
    yield "order value max to price median", by.max(order_value) / np.maximum(by.median(table.price), 0.01)
    yield "log price to own past, max", by.max(context["price_to_past"])
    yield "log price to own past, mean", by.mean(context["price_to_past"])
    yield "log order value to own past, max", by.max(context["value_to_past"])
    yield "coupon orders", by.sum(bought & (table.coupon > 0))
    yield "coupon share of orders", per(by.sum(bought & (table.coupon > 0)), counts[_PURCHASE])


def _variety(table: ShopTable, by: Grouped, context: Context) -> Columns:
    for field, codes in {"item": table.item, "category": table.category, "search term": table.term}.items():
        distinct, named = by.distinct(codes), by.sum(codes != NONE)
        yield f"distinct {field}", distinct
        yield f"distinct {field} per event", per(distinct, named)
    for field, codes in table.ids.items():
        yield f"distinct {field}", by.distinct(codes)
        yield f"users with the same {field}", by.max(context[f"users with the same {field}"])
    for field in ("category", *table.ids):
        yield f"new {field}", by.mean(context[f"new {field}"].astype(float))
        yield f"new {field} at purchase", by.sum(context[f"new {field} at purchase"])


def _halves(table: ShopTable) -> dict[str, Floats]:
    """[U] what changed from the first half of a user's events to the last."""
    by = Grouped(starts_of(table.user), len(table))
    late = by.place >= by.count[by.group] / 2
    changes = {
        "gap": np.log1p(by.gaps(table.time_ms / _SEC_MS)),
        "price": np.log1p(np.maximum(table.price, 0)),
        **{
            f"share of {ACTIONS[code]}": (table.name == code).astype(float)
            for code in (_VIEW, _SEARCH, _CART, _PAYMENT, _PURCHASE)
        },
    }
    found = {}
    for name, of in changes.items():
        found[f"change of {name}, halves"] = by.mean(np.where(late, of, np.nan)) - by.mean(np.where(late, np.nan, of))
    for field, codes in table.ids.items():
        found[f"distinct {field}, change of halves"] = by.distinct(np.where(late, codes, NONE)) - by.distinct(
            np.where(late, NONE, codes)
        )
    return found


def _first_ms(table: ShopTable, codes: Ints, counted: Bools) -> Ints:
    """[N] when the event's user first had its code in a counted event; the end of time where never."""
    never = np.iinfo(np.int64).max
    width = int(codes.max(initial=0)) + 2
    pairs = table.user * width + codes + 1
    keys, firsts = np.unique(pairs[counted], return_index=True)
    if not len(keys):
        return np.full(len(table), never)
    at = np.minimum(np.searchsorted(keys, pairs), len(keys) - 1)
    return np.where(keys[at] == pairs, table.time_ms[counted][firsts][at], never)


def _to_past(user: Ints, of: Floats) -> Floats:
    """[N] a value less the mean of its user's values before; NaN where there is none of either."""
    some = ~np.isnan(of)
    total, count = np.cumsum(np.where(some, of, 0.0)), np.cumsum(some)
    before_total, before_count = np.append(0.0, total[:-1]), np.append(0, count[:-1])
    start = np.repeat(starts_of(user), np.diff(np.append(starts_of(user), len(user))))
    had = before_count - before_count[start]
    return np.where(had > 0, of - (before_total - before_total[start]) / np.maximum(had, 1), np.nan)
