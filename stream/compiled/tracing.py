"""Events beside their users' past: what `features.trace` gives, bit for bit, event by event instead of step by step.

Exponentials are numpy's here too: another's last bit would be another row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.compiled.compiling import compiled
from stream.features import RECENT, RHYTHM_GAPS, Doubles, Floats, Past, Traced
from stream.habits import PRICES_KEPT, SCALES_S, Habits
from stream.rows import COUNT_BUCKETS, COUNT_SCALES, KNOWN_PLACES, NOT_HELD_MS, WHEREABOUTS
from stream.sequences import Packing

_WHEREABOUTS = len(WHEREABOUTS)
_ONE = np.float32(1)


def trace(raw: NDArray[np.void], packing: Packing, past: Past, log_price: Doubles, counts: Floats) -> Traced:
    """N raw events in packed order, one after the other; `counts` [N, COUNT_SCALES * COUNT_BUCKETS] is filled."""
    n = len(raw)
    starts = np.cumsum(packing.batch_sizes) - packing.batch_sizes
    high_ms, gap_s, first = np.empty(n, np.int64), np.empty(n), np.empty(n, np.bool_)
    _gaps(raw, packing.user, past.last_time_ms.copy(), past.events_seen, packing.rank, high_ms, gap_s, first)
    decay = np.exp(gap_s[:, None] / -SCALES_S).astype(np.float32)
    told = Habits(past.memory.copy(), np.empty(n), np.empty(n), np.empty((n, _WHEREABOUTS), np.bool_))
    _follow(told.memory, raw, packing.user, decay, log_price, counts, told.price_step, told.price_spread, told.new)
    item, category = np.empty((n, RECENT), np.bool_), np.empty((n, RECENT), np.bool_)
    longest, shortest, rhythmic = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.bool_)
    user, rank, seen = packing.user, packing.rank, past.events_seen
    _look_back(raw, past.recent, starts, user, rank, seen, item, category, longest, shortest, rhythmic)
    return Traced(high_ms, first, gap_s, item, category, longest, shortest, rhythmic, told)


@compiled
def _gaps(raw: Any, user: Any, high: Any, seen: Any, rank: Any, high_ms: Any, gap_s: Any, first: Any) -> None:
    for i in range(len(raw)):
        u = user[i]
        time_ms = raw[i].time_ms
        high_ms[i] = high[u]
        first[i] = seen[u] + rank[i] == 0
        gap_s[i] = 0.0 if first[i] else max(time_ms - high[u], 0) / 1000.0
        high[u] = max(high[u], time_ms)


@compiled
def _follow(
    memory: Any, raw: Any, user: Any, decay: Any, log_price: Any, counts: Any, step: Any, spread: Any, new: Any
) -> None:
    """As `habits.follow`."""
    for i in range(len(raw)):
        of_user, event = memory[user[i]], raw[i]
        held = of_user.counts
        for scale in range(COUNT_SCALES):
            for bucket in range(COUNT_BUCKETS):
                held[scale, bucket] *= decay[i, scale]
            held[scale, np.int64(event.action) % COUNT_BUCKETS] += _ONE
            for bucket in range(COUNT_BUCKETS):
                counts[i, scale * COUNT_BUCKETS + bucket] = held[scale, bucket]
        _price(of_user, log_price[i], step, spread, i)
        where = (event.device, event.country, event.place)
        for w in range(_WHEREABOUTS):
            new[i, w] = _visit(of_user.known[w], where[w])


@compiled
def _price(memory: Any, log_price: float, step: Any, spread: Any, i: int) -> None:
    prices, mean, variance = memory.prices, memory.price_mean, memory.price_variance
    spread[i] = np.sqrt(variance)
    step[i] = np.nan
    if np.isnan(log_price):
        return
    away = log_price - np.float64(mean)
    if prices > 0:
        step[i] = away
    weight = _ONE / min(prices + _ONE, np.float32(PRICES_KEPT))
    apart = np.float64(weight) * away * away if prices > 0 else 0.0
    memory.price_variance = np.float32(np.float64(_ONE - weight) * (np.float64(variance) + apart))
    memory.price_mean = np.float32(np.float64(mean) + np.float64(weight) * away)
    memory.prices = prices + _ONE


@compiled
def _visit(known: Any, here: Any) -> bool:
    """`here` becomes the latest of those known -> whether it was not, where any was."""
    if here == 0 or here == known[0]:
        return False
    place, found = KNOWN_PLACES - 1, False
    for k in range(KNOWN_PLACES):
        if known[k] == here:
            place, found = k, True
            break
    is_new = not found and known[0] != 0
    for k in range(place, 0, -1):
        known[k] = known[k - 1]
    known[0] = here
    return is_new


@compiled
def _look_back(
    raw: Any,
    recent: Any,
    starts: Any,
    user: Any,
    rank: Any,
    seen: Any,
    same_item: Any,
    same_category: Any,
    longest: Any,
    shortest: Any,
    rhythmic: Any,
) -> None:
    """The last RECENT events before each: of this batch as far as they are, then of the row."""
    for i in range(len(raw)):
        event, u, r = raw[i], user[i], rank[i]
        later_ms, most, least, held = event.time_ms, np.int64(0), np.int64(0), event.time_ms != NOT_HELD_MS
        for k in range(1, RECENT + 1):
            before = raw[starts[r - k] + u] if r >= k else recent[u, RECENT + r - k]
            same_item[i, k - 1] = event.item != 0 and before.item == event.item
            same_category[i, k - 1] = event.category != 0 and before.category == event.category
            if k <= RHYTHM_GAPS:
                gap_ms = later_ms - before.time_ms
                most, least = (gap_ms, gap_ms) if k == 1 else (max(most, gap_ms), min(least, gap_ms))
                held = held and before.time_ms != NOT_HELD_MS
                later_ms = before.time_ms
        longest[i], shortest[i] = most, least
        rhythmic[i] = seen[u] + r >= RHYTHM_GAPS and least >= 0 and held
