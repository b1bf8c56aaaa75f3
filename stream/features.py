"""Events and what their user did before -> x, and what came in the words of the next-event heads.

Nothing here knows a task, a shop or a currency: what an action, an item or a category is to a user is told by how it
compares with that user's own past. The past is the last few raw events and a memory of fixed size, both in the row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream import habits, sequences, structured
from stream.events import ACTIONS
from stream.habits import SCALES_S, Habits
from stream.rows import COUNT_BUCKETS, COUNT_SCALES, MEMORY, NOT_HELD_MS, RAW_EVENT, WHEREABOUTS
from stream.sequences import Ints, Packing

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

# The version of what is computed here; a model's card holds it, and a model of another one is refused.
FEATURES_FORMAT = 3

# Of a user's last events: whose item and category an event may share. Their sequence in the row is at least as long.
RECENT = 8

# Hash buckets, for a model that has embeddings of them. 2,048 of 8 numbers are 64 KiB of a model that is to stay small.
ITEM_BUCKETS = 2048
CATEGORY_BUCKETS = 64

# What came, in classes. A gap is told to within a factor of about two: bins by powers.
GAP_EDGES_S = np.array([1, 2, 4, 8, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 14400, 28800, 57600,
                        86400, 172800, 345600, 691200, 1382400, 2764800])  # fmt: skip
# ln of the longest over the shortest of the last gaps. Two of a person's are within 5 % of each other at every 50th
# event, three at hardly any; a machine's are.
RHYTHM_GAPS = 3
RHYTHM_EDGES = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
# ln of a price over its user's usual one, or of a first price over the usual one of all in standard deviations
PRICE_EDGES = np.array([-6, -5, -4, -3, -2, -1, -0.5, -0.2, -0.02, 0.02, 0.2, 0.5, 1, 2, 3, 4, 5, 6, 8])
FIRST_PRICE_EDGES = np.array([-3, -2, -1, 0, 1, 2, 3, 4, 6])

PARTS = ("action", "item", "category", "gap", "rhythm", "price", "context")  # of the surprise
ACTION, ITEM, CATEGORY, GAP, RHYTHM, PRICE, CONTEXT = range(len(PARTS))
_OTHER = RECENT + 1  # an item or category that none of the last events had; 0: none, k: that of k events ago
PART_CLASSES = (
    len(ACTIONS),
    _OTHER + 1,
    _OTHER + 1,
    len(GAP_EDGES_S) + 1,
    len(RHYTHM_EDGES) + 1,
    1 + len(PRICE_EDGES) + 1 + len(FIRST_PRICE_EDGES) + 1,
    2 ** len(WHEREABOUTS),
)
NOTHING = -1  # the class of a part that an event has nothing to say about: a first event has no gap

# [F] the real-valued features, in order.
REAL = (
    "gap",
    "price",
    "first",
    "no_price",
    "price_step",
    "price_spread",
    "rhythm",
    "hour_sin",
    "hour_cos",
    *(f"new_{name}" for name in WHEREABOUTS),
    *(f"same_item_{k}" for k in range(1, RECENT + 1)),
    *(f"same_category_{k}" for k in range(1, RECENT + 1)),
    *(f"count_{scale:g}s_{bucket}" for scale in SCALES_S for bucket in range(COUNT_BUCKETS)),
)
_SAME_ITEM, _COUNTS = REAL.index("same_item_1"), len(REAL) - COUNT_SCALES * COUNT_BUCKETS

_DAY_MS = 86_400_000
_BLINK_S = 0.05  # added to both gaps of a ratio: clocks of browsers are no better


class Statistics(NamedTuple):
    """Mean and standard deviation over the training part; a model's card holds them."""

    gap_mean: float  # of ln(1 + seconds)
    gap_std: float
    price_mean: float  # of ln(1 + price)
    price_std: float


class Features(NamedTuple):
    """N events as the model's input."""

    action: Ints  # [N] index into ACTIONS
    item: Ints  # [N] bucket
    category: Ints  # [N] bucket, 0: none
    real: Floats  # [N, F]


@dataclass(frozen=True, slots=True)
class Past:
    """What the features of U users' next events need of all before them."""

    recent: NDArray[np.void]  # [U, RECENT] of RAW_EVENT, the latest at the end; zeros where there were fewer
    memory: NDArray[np.void]  # [U] of MEMORY
    events_seen: Ints  # [U]
    last_time_ms: Ints  # [U] the latest event time; -1: none

    @classmethod
    def none(cls, users: int) -> Past:
        """Of users never seen."""
        return cls(
            np.zeros((users, RECENT), RAW_EVENT),
            np.zeros(users, MEMORY),
            np.zeros(users, np.int64),
            np.full(users, -1, np.int64),
        )

    def take(self, users: Ints) -> Past:
        """Of some of the users, a copy."""
        return Past(
            structured.take(self.recent, users),
            structured.take(self.memory, users),
            self.events_seen[users],
            self.last_time_ms[users],
        )

    def put(self, users: Ints, past: Past) -> None:
        """Put back what `take` gave, moved on."""
        structured.put(self.recent, users, past.recent)
        structured.put(self.memory, users, past.memory)
        self.events_seen[users], self.last_time_ms[users] = past.events_seen, past.last_time_ms


@dataclass(frozen=True, slots=True)
class Seen:
    """N events in packed order, as the model sees them and as they turned out."""

    features: Features
    classes: Ints  # [N, len(PARTS)] what came in each part of the surprise, or NOTHING
    high_ms: Ints  # [N] the latest time of the user's events before; -1: none
    memory: NDArray[np.void]  # [U] moved on


class Traced(NamedTuple):
    """What N events in packed order are beside those that their users did before, one after the other."""

    high_ms: Ints  # [N] the latest time of the user's events before; -1: none
    first: Bools  # [N] the user did nothing before
    gap_s: Doubles  # [N] since that time; 0 of a first event, or a late one
    same_item: Bools  # [N, RECENT] whether the k-th event before has the same item, where there is one
    same_category: Bools  # [N, RECENT]
    longest_ms: Ints  # [N] of the last RHYTHM_GAPS gaps
    shortest_ms: Ints  # [N]
    rhythmic: Bools  # [N] so many gaps are known
    habits: Habits


# (raw, packing, past, ln(1 + price), counts to be filled) -> what they are beside the past
Trace = Callable[[NDArray[np.void], Packing, Past, Doubles, Floats], Traced]


def trace(raw: NDArray[np.void], packing: Packing, past: Past, log_price: Doubles, counts: Floats) -> Traced:
    """N raw events in packed order, one after the other; `counts` as in `habits.follow`.

    Linear in N but for a loop over the T steps of the busiest user (0.1 ms each), which a batch has few of.
    """
    high_ms = sequences.running_max(raw["time_ms"], packing, past.last_time_ms)
    number = past.events_seen[packing.user] + packing.rank
    first = number == 0
    gap_s = np.where(first, 0, np.maximum(raw["time_ms"] - high_ms, 0)) / 1000.0
    trail = _Trail.of(raw, packing, past)
    told = habits.follow(past.memory, raw, packing, gap_s=gap_s, log_price=log_price, counts=counts)
    same_item, same_category = trail.same("item"), trail.same("category")
    return Traced(high_ms, first, gap_s, same_item, same_category, *trail.rhythm(number), told)


def build(raw: NDArray[np.void], packing: Packing, past: Past, statistics: Statistics, trace: Trace = trace) -> Seen:
    """N raw events (`rows.RAW_EVENT`) in packed order, each seen after all that its user did before."""
    log_price = np.log1p(raw["price"].astype(np.float64))
    real = np.empty((len(raw), len(REAL)), np.float32)
    counts = real[:, _COUNTS:]
    traced = trace(raw, packing, past, log_price, counts)
    told = traced.habits
    of_longest, of_shortest = (
        np.log(np.maximum(gap, 0) / 1000.0 + _BLINK_S) for gap in (traced.longest_ms, traced.shortest_ms)
    )
    rhythm = np.where(traced.rhythmic, of_longest - of_shortest, np.nan)

    priced = ~np.isnan(log_price)
    step_known = ~np.isnan(told.price_step)
    price = np.where(priced, (log_price - statistics.price_mean) / statistics.price_std, 0.0)
    hour = (raw["time_ms"] % _DAY_MS) * (2 * np.pi / _DAY_MS)
    gap = (np.log1p(traced.gap_s) - statistics.gap_mean) / statistics.gap_std
    real[:, 0] = np.where(traced.first, 0.0, gap)
    real[:, 1] = price
    real[:, 2] = traced.first
    real[:, 3] = ~priced
    real[:, 4] = np.where(step_known, np.clip(told.price_step, -5.0, 5.0), 0.0)
    real[:, 5] = told.price_spread
    real[:, 6] = np.where(np.isnan(rhythm), 0.0, np.exp(rhythm / -0.5))
    real[:, 7] = np.sin(hour)
    real[:, 8] = np.cos(hour)
    real[:, 9:_SAME_ITEM] = told.new
    real[:, _SAME_ITEM : _SAME_ITEM + RECENT] = traced.same_item
    real[:, _SAME_ITEM + RECENT : _COUNTS] = traced.same_category
    np.add(counts, 1, out=counts)
    np.log(counts, out=counts)  # log1p takes four times as long, and says no more that matters

    classes = np.empty((len(raw), len(PARTS)), np.int64)
    classes[:, ACTION] = raw["action"]
    classes[:, ITEM] = _which(traced.same_item, raw["item"])
    classes[:, CATEGORY] = _which(traced.same_category, raw["category"])
    classes[:, GAP] = np.where(traced.first, NOTHING, np.searchsorted(GAP_EDGES_S, traced.gap_s, side="right"))
    classes[:, RHYTHM] = np.where(np.isnan(rhythm), NOTHING, np.searchsorted(RHYTHM_EDGES, rhythm, side="right"))
    of_own = 1 + np.searchsorted(PRICE_EDGES, told.price_step, side="right")
    of_all = 2 + len(PRICE_EDGES) + np.searchsorted(FIRST_PRICE_EDGES, price, side="right")
    classes[:, PRICE] = np.where(step_known, of_own, np.where(priced, of_all, 0))
    classes[:, CONTEXT] = np.where(traced.first, NOTHING, told.new @ (1 << np.arange(len(WHEREABOUTS))))
    features = Features(
        raw["action"].astype(np.int64),
        (raw["item"] % ITEM_BUCKETS).astype(np.int64),
        np.where(raw["category"] == 0, 0, 1 + raw["category"] % (CATEGORY_BUCKETS - 1)).astype(np.int64),
        real,
    )
    return Seen(features, classes, traced.high_ms, told.memory)


def after(raw: NDArray[np.void], packing: Packing, past: Past, seen: Seen) -> Past:
    """The past of the U users' next events: for those who have no table."""
    trail = _Trail.of(raw, packing, past)
    last = np.cumsum(packing.counts + RECENT)[:, None] + np.arange(-RECENT, 0)
    last_ms = past.last_time_ms.copy()
    np.maximum.at(last_ms, packing.user, raw["time_ms"])
    return Past(structured.take(trail.events, last), seen.memory, past.events_seen + packing.counts, last_ms)


def _which(same: Bools, hashes: NDArray[np.uint32]) -> Ints:
    """[N] 0: none, k: that of k events ago, _OTHER: that of none of them."""
    place = same.argmax(axis=1)
    found = same[np.arange(len(same)), place]
    return np.where(hashes == 0, 0, np.where(found, 1 + place, _OTHER))


@dataclass(frozen=True, slots=True)
class _Trail:
    """Recent events and those of the batch, one user after the other, so that k events ago is k places back."""

    events: NDArray[np.void]
    near: Ints  # [N, 1 + RECENT] packed -> places in `events`: its own, that of the event before, ...

    @classmethod
    def of(cls, raw: NDArray[np.void], packing: Packing, past: Past) -> _Trail:
        users = len(packing.users)
        end = np.cumsum(packing.counts + RECENT)
        start = end - packing.counts - RECENT
        events = np.empty(int(end[-1]) if users else 0, RAW_EVENT)
        structured.put(events, start[:, None] + np.arange(RECENT), past.recent)
        at = start[packing.user] + RECENT + packing.rank
        structured.put(events, at, raw)
        return cls(events, at[:, None] - np.arange(1 + RECENT))

    def same(self, name: str) -> Bools:
        """[N, RECENT] whether the k-th event before has the same `name`, where there is one."""
        hashes = self.events[name].copy()[self.near]  # copied: side by side they are found sooner
        return np.asarray((hashes[:, 1:] == hashes[:, :1]) & (hashes[:, :1] != 0))

    def rhythm(self, number: Ints) -> tuple[Ints, Ints, Bools]:
        """[N] (longest, shortest, whether there are so many) of the last RHYTHM_GAPS gaps, in milliseconds."""
        time_ms = self.events["time_ms"].copy()[self.near[:, : RHYTHM_GAPS + 1]]
        gap_ms = time_ms[:, :-1] - time_ms[:, 1:]
        shortest, longest = gap_ms.min(axis=1), gap_ms.max(axis=1)
        known = (number >= RHYTHM_GAPS) & (shortest >= 0) & (time_ms != NOT_HELD_MS).all(axis=1)
        return longest, shortest, np.asarray(known)
