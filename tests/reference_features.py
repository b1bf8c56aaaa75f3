"""What features and classes are to be, the slow and obvious way: each event beside all that its user did before it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.events import ACTIONS
from stream.features import FIRST_PRICE_EDGES, GAP_EDGES_S, PRICE_EDGES, RHYTHM_EDGES, Statistics
from stream.habits import SCALES_S
from stream.rows import COUNT_BUCKETS

assert len(ACTIONS) <= COUNT_BUCKETS
LOOKED_BACK, LATEST_PRICES, PLACES_KNOWN = 8, 32, 4
_DAY_MS = 24 * 3600 * 1000
_CLOSE = 1e-3  # float32 sums may fall on either side of an edge that is so near


@dataclass(frozen=True, slots=True)
class Expected:
    """Of one event: each real-valued feature, and in each part the classes that may be meant."""

    real: dict[str, float]
    classes: dict[str, set[int]]


def reference(events: NDArray[np.void], statistics: Statistics) -> Iterator[Expected]:
    """Of each event of one user, in the order of application."""
    rows = [dict(zip(events.dtype.names or (), event.tolist(), strict=True)) for event in events]
    for n, event in enumerate(rows):
        yield _expected(event, rows[:n], statistics)


def _expected(event: dict[str, Any], before: list[dict[str, Any]], statistics: Statistics) -> Expected:
    first = not before
    latest = [0.0, *accumulate((e["time_ms"] / 1000 for e in (*before, event)), max)][1:]  # the latest time by then
    gap_s = 0.0 if first else latest[-1] - latest[-2]
    rhythm = _rhythm([e["time_ms"] / 1000 for e in (*before[-3:], event)])
    log_price = math.log(1 + event["price"]) if not math.isnan(event["price"]) else None
    usual, spread = _usual([math.log(1 + e["price"]) for e in before if not math.isnan(e["price"])])
    step = log_price - usual if log_price is not None and usual is not None else None
    price = 0.0 if log_price is None else (log_price - statistics.price_mean) / statistics.price_std
    turn = 2 * math.pi * (event["time_ms"] % _DAY_MS) / _DAY_MS
    new = {name: _is_new(event[name], [e[name] for e in before]) for name in ("device", "country", "place")}
    same = {name: _same(event[name], [e[name] for e in before]) for name in ("item", "category")}
    counts = {
        f"count_{scale:g}s_{bucket}": math.log(
            1
            + sum(
                math.exp((then - latest[-1]) / scale)
                for e, then in zip((*before, event), latest, strict=True)
                if e["action"] % COUNT_BUCKETS == bucket
            )
        )
        for scale in SCALES_S.tolist()
        for bucket in range(COUNT_BUCKETS)
    }
    real = {
        "gap": 0.0 if first else (math.log(1 + gap_s) - statistics.gap_mean) / statistics.gap_std,
        "price": price,
        "first": float(first),
        "no_price": float(log_price is None),
        "price_step": 0.0 if step is None else max(-5.0, min(5.0, step)),
        "price_spread": spread,
        "rhythm": 0.0 if rhythm is None else math.exp(-rhythm / 0.5),
        "hour_sin": math.sin(turn),
        "hour_cos": math.cos(turn),
        **{f"new_{name}": float(is_new) for name, is_new in new.items()},
        **{f"same_{name}_{k}": float(k in ago) for name, ago in same.items() for k in range(1, LOOKED_BACK + 1)},
        **counts,
    }
    of_price = {0}
    if step is not None:
        of_price = {1 + place for place in _places(step, PRICE_EDGES)}
    elif log_price is not None:
        of_price = {1 + len(PRICE_EDGES) + 1 + place for place in _places(price, FIRST_PRICE_EDGES)}
    classes = {
        "action": {event["action"]},
        "item": {_which(event["item"], same["item"])},
        "category": {_which(event["category"], same["category"])},
        "gap": {-1} if first else _places(gap_s, GAP_EDGES_S),
        "rhythm": {-1} if rhythm is None else _places(rhythm, RHYTHM_EDGES),
        "price": of_price,
        "context": {-1} if first else {1 * new["device"] + 2 * new["country"] + 4 * new["place"]},
    }
    return Expected(real, classes)


def _places(value: float, edges: NDArray[Any]) -> set[int]:
    """How many edges lie at or below the value; both answers where one is too near to tell."""
    return {sum(value + error >= edge for edge in edges.tolist()) for error in (-_CLOSE, 0, _CLOSE)}


def _rhythm(times_s: Sequence[float]) -> float | None:
    """ln of the longest over the shortest of three gaps."""
    gaps = [later - earlier for earlier, later in pairwise(times_s)]
    if len(gaps) < 3 or min(gaps) < 0:
        return None
    return math.log((max(gaps) + 0.05) / (min(gaps) + 0.05))


def _usual(log_prices: Sequence[float]) -> tuple[float | None, float]:
    """Weighted mean and standard deviation: of n prices each weighs the same, of more than 32 the older ones fade."""
    weights: list[float] = []
    for n in range(1, len(log_prices) + 1):
        newest = 1 / min(n, LATEST_PRICES)
        weights = [weight * (1 - newest) for weight in weights] + [newest]
    if not weights:
        return None, 0.0
    mean = sum(w * p for w, p in zip(weights, log_prices, strict=True))
    variance = sum(w * (p - mean) ** 2 for w, p in zip(weights, log_prices, strict=True))
    return mean, math.sqrt(variance)


def _is_new(value: int, before: Sequence[int]) -> bool:
    """Whether it is none of the last few that differ, where there was one at all."""
    latest = list(dict.fromkeys(v for v in reversed(before) if v))[:PLACES_KNOWN]
    return value != 0 and bool(latest) and value not in latest


def _same(value: int, before: Sequence[int]) -> list[int]:
    """How many events ago it was the same, each time that it was."""
    return [k for k in range(1, min(LOOKED_BACK, len(before)) + 1) if value != 0 and before[-k] == value]


def _which(value: int, ago: Sequence[int]) -> int:
    if not value:
        return 0
    return ago[0] if ago else LOOKED_BACK + 1
