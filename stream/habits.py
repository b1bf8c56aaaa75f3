"""What is kept of all of a user's events, moved on event by event: fading counts, usual prices, known whereabouts.

The rules behind `rows.MEMORY`. They know the order of a user's events and nothing else, so a batch may be cut anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.rows import COUNT_BUCKETS, COUNT_SCALES, KNOWN_PLACES, WHEREABOUTS
from stream.sequences import Ints, Packing

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Seconds after which a counted action counts 1/e: a moment, a visit, half a day, a few days. The scales are those that
# sessions, days and weeks of shopping have in common.
SCALES_S = np.array([60.0, 900.0, 14_400.0, 259_200.0])
assert len(SCALES_S) == COUNT_SCALES
PRICES_KEPT = 32  # a user's usual price is that of about so many


@dataclass(frozen=True, slots=True)
class Habits:
    """What the memory of U users says at each of N packed events, and what it says after them."""

    memory: NDArray[np.void]  # [U] of MEMORY, moved on
    price_step: Doubles  # [N] ln of the price over the user's usual one; NaN: no price, or none before
    price_spread: Doubles  # [N] standard deviation of the user's ln(1 + price) before
    new: Bools  # [N, len(WHEREABOUTS)] a whereabout that the user did not have, where they had one


def follow(
    memory: NDArray[np.void],
    raw: NDArray[np.void],
    packing: Packing,
    *,
    gap_s: Doubles,
    log_price: Doubles,
    counts: Floats,
) -> Habits:
    """N raw events in packed order, with the gap before each and ln(1 + price), NaN for none.

    `counts` [N, COUNT_SCALES * COUNT_BUCKETS] is filled with those at each event, its own action counted.
    """
    n = len(raw)
    told = Habits(memory.copy(), np.empty(n), np.empty(n), np.empty((n, len(WHEREABOUTS)), np.bool_))
    counts = counts.reshape(n, COUNT_SCALES, COUNT_BUCKETS)
    decay = np.exp(gap_s[:, None] / -SCALES_S).astype(np.float32)
    bucket = raw["action"].astype(np.int64) % COUNT_BUCKETS
    where = np.stack([raw[name] for name in WHEREABOUTS], axis=1)
    for step in packing.steps():
        moved = told.memory[: step.stop - step.start]
        _count(moved["counts"], decay[step], bucket[step], counts[step])
        _price(moved, log_price[step], told.price_step[step], told.price_spread[step])
        _visit(moved["known"], where[step], told.new[step])
    return told


def _count(counts: Floats, decay: Floats, bucket: Ints, out: Floats) -> None:
    """`counts` [n, scales, buckets] fade and count one action each, in place; a copy goes to `out`."""
    counts *= decay[:, :, None]
    counts[np.arange(len(bucket)), :, bucket] += 1.0
    out[:] = counts


def _price(memory: NDArray[np.void], log_price: Doubles, step: Doubles, spread: Doubles) -> None:
    """Prices [n], NaN for none, go into each user's usual one; what they are beside it goes to `step` and `spread`."""
    prices, mean, variance = memory["prices"], memory["price_mean"], memory["price_variance"]
    priced = ~np.isnan(log_price)
    away = np.where(priced, log_price - mean, 0.0)
    step[:] = np.where(priced & (prices > 0), away, np.nan)
    spread[:] = np.sqrt(variance)
    weight = np.where(priced, 1.0 / np.minimum(prices + 1, PRICES_KEPT), 0.0)
    variance[:] = (1 - weight) * (variance + np.where(prices > 0, weight * away * away, 0.0))
    mean += weight * away
    prices += priced


def _visit(known: NDArray[np.uint16], where: NDArray[np.uint16], new: Bools) -> None:
    """Whereabouts [n, W] become the latest of those `known` [n, W, KNOWN_PLACES]; which are not among them: `new`."""
    new[:] = False
    moves = np.nonzero((where != 0) & (where != known[:, :, 0]))
    if not len(moves[0]):  # nearly always: they are where they were
        return
    before, here = known[moves], where[moves][:, None]
    same = before == here
    found = same.any(axis=1)
    new[moves] = ~found & (before[:, 0] != 0)
    # What is found moves up, else the last goes.
    place = np.where(found, same.argmax(axis=1), KNOWN_PLACES - 1)[:, None]
    moved = np.concatenate([here, before[:, :-1]], axis=1)
    known[moves] = np.where(np.arange(KNOWN_PLACES) <= place, moved, before)
