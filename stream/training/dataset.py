"""Shop events -> examples to learn from, made by the code that serves: no other way may make a feature.

    events -> decode -> merge -> a run of raw events per user -> features, outcome and labels -> chunks

A feature looks at nothing after its event, a label at nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream import features, sequences
from stream.decode import TimeBounds, decode
from stream.events import ACTIONS, SOURCES
from stream.features import Features, Outcome, Statistics
from stream.merge import PartitionMerge
from stream.sequences import Ints, Packing
from stream.shop_event import ROLES, ShopEvent
from stream.shop_frames import ShopFrames
from stream.table import raw_events

Bools = NDArray[np.bool_]

_PURCHASE = ACTIONS.index("purchase")
# Record and event carry one and the same time here, so that any bound believes it.
_BOUNDS = TimeBounds(max_ahead_ms=86_400_000, max_behind_ms=86_400_000)


@dataclass(frozen=True, slots=True)
class Runs:
    """N raw events of U users: one user after the other, each in the order in which serving applies them."""

    raw: NDArray[np.void]  # [N] `rows.RAW_EVENT`
    counts: Ints  # [U] events of each user, 1 or more

    @property
    def user(self) -> Ints:
        """[N] the place of each event's user in `counts`."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @classmethod
    def concat(cls, runs: Sequence[Runs]) -> Runs:
        """The users of one after those of the other, never taken for the same, whatever their ids."""
        return cls(np.concatenate([r.raw for r in runs]), np.concatenate([r.counts for r in runs]))


class Labels(NamedTuple):
    """What came of N events within each of K horizons."""

    bought: Bools  # [N, K] the user purchased later than the event, and within the horizon
    known: Bools  # [N, K] the horizon ends within the time that was watched; elsewhere `bought` says nothing


@dataclass(frozen=True, slots=True)
class Examples:
    """N events of U users as the model sees them and as they turned out, in the order of their `Runs`."""

    features: Features
    outcome: Outcome
    labels: Labels
    counts: Ints  # [U]

    def __len__(self) -> int:
        return len(self.outcome.first)

    def model_columns(self, events: Ints) -> tuple[Features, Outcome]:
        """Features and outcome of the events at these places."""
        x, came = self.features, self.outcome
        return (
            Features(x.action[events], x.item[events], x.category[events], x.real[events]),
            Outcome(came.classes[events], came.first[events]),
        )


class Chunk(NamedTuple):
    """The next events of some users, one user per lane, in packed order."""

    packing: Packing  # `packing.users` are lanes
    events: Ints  # [n] packed -> place in the examples
    fresh: Ints  # lanes that begin a user here: their carry is zero


def runs(events: Iterable[ShopEvent]) -> Runs:
    """The runs of one shop's users, by user id. Raises ValueError for an event that serving would not accept."""
    merge = PartitionMerge()
    for frame in ShopFrames().append(events):
        batch, rejects = decode(frame, _BOUNDS)
        if rejects:
            role, first = ROLES[frame.source], rejects[0]
            raise ValueError(f"{role}@{first.offset}: {first.error}; {len(rejects)} such records")
        merge.queues[frame.source].put(batch, frame.next_offset)
    waiting = sum(queue.waiting for queue in merge.queues)
    merged = merge.take(waiting, at_end=[True] * len(SOURCES))
    _, user = np.unique(merged.key, return_inverse=True)
    return Runs(raw_events(merged)[np.argsort(user, kind="stable")], np.bincount(user))


def labels(of: Runs, horizons_secs: Sequence[int], end_ms: int) -> Labels:
    """Labels of events that were watched up to `end_ms` (epoch ms, not included).

    An early purchase within a horizon that is cut off is not known either: to keep the yes of such events, and to mask
    their no, would make the last of the time look as if all bought (a day of 28: a base rate of 13.8 % for 13.4 %).
    """
    horizon_ms = 1000 * np.asarray(horizons_secs, np.int64)
    time_ms = of.raw["time_ms"]
    # All users on one axis, further apart than any horizon reaches: a single search finds everyone's next purchase.
    axis = of.user * (end_ms - time_ms.min() + horizon_ms.max() + 1) + time_ms
    purchases = np.sort(axis[of.raw["action"] == _PURCHASE])
    following = np.searchsorted(purchases, axis, side="right")
    wait_ms = np.append(purchases, np.iinfo(np.int64).max)[following] - axis
    return Labels(wait_ms[:, None] <= horizon_ms, time_ms[:, None] + horizon_ms < end_ms)


def statistics(of: Runs) -> Statistics:
    """Mean and standard deviation of the log gap over events that have a predecessor, of the log price over priced."""
    packing = sequences.pack(of.user)
    gap_ms = _gaps_ms(of.raw[packing.arrival], packing)[packing.rank > 0]
    gap = np.log1p(gap_ms / 1000.0)
    price = of.raw["price"].astype(np.float64)
    price = np.log1p(price[~np.isnan(price)])
    return Statistics(*(round(float(number), 6) for number in (gap.mean(), gap.std(), price.mean(), price.std())))


def examples(of: Runs, scale: Statistics, *, horizons_secs: Sequence[int], end_ms: int) -> Examples:
    """Features, outcome and labels of every event."""
    packing = sequences.pack(of.user)
    raw = of.raw[packing.arrival]
    before = raw[np.maximum(packing.before - len(packing.users), 0)]
    x, came = features.build(raw, before, _gaps_ms(raw, packing), packing.rank == 0, scale)
    return Examples(
        features=Features(
            action=packing.to_arrival(x.action),
            item=packing.to_arrival(x.item),
            category=packing.to_arrival(x.category),
            real=packing.to_arrival(x.real),
        ),
        outcome=Outcome(packing.to_arrival(came.classes), packing.to_arrival(came.first)),
        labels=labels(of, horizons_secs, end_ms),
        counts=of.counts,
    )


def _gaps_ms(raw: NDArray[np.void], packing: Packing) -> Ints:
    """[N] packed, as the pipeline has it: the time since the latest of the user's events before; 0 where late.

    `raw` [N] is packed too; a user's first event has no meaning here.
    """
    never = np.full(len(packing.users), -1, np.int64)
    return np.maximum(raw["time_ms"] - sequences.running_max(raw["time_ms"], packing, never), 0)


def chunks(counts: Ints, order: Ints, *, lanes: int, steps: int) -> Iterator[Chunk]:
    """Every event once: users in `order` take the next free of `lanes` lanes, and move on by up to `steps` a chunk.

    A chunk goes on from where its lanes' last one ended, so nobody is padded and few steps are narrow.
    """
    ends = np.cumsum(counts)
    waiting = iter(order.tolist())
    at, end = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    while True:
        free = np.flatnonzero(at == end)
        newcomers = np.array(list(islice(waiting, len(free))), np.int64)
        fresh = free[: len(newcomers)]
        at[fresh], end[fresh] = ends[newcomers] - counts[newcomers], ends[newcomers]
        length = np.minimum(end - at, steps)
        if not length.any():
            return
        events = np.repeat(at - (np.cumsum(length) - length), length) + np.arange(length.sum())
        packing = sequences.pack(np.repeat(np.arange(lanes), length))
        yield Chunk(packing, events[packing.arrival], fresh)
        at += length
