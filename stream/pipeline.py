"""From a micro-batch of events to its scores: the whole of it, in order. Start reading here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from stream import features, sequences, structured
from stream.anomaly import NormalTraffic
from stream.encode import Scored
from stream.events import EventBatch
from stream.features import Statistics
from stream.scorer import Scorer
from stream.sequences import Ints, Packing
from stream.table import Table, raw_events


class Pipeline:
    """Applies events to the table and scores them. One thread at a time."""

    def __init__(
        self, table: Table, scorer: Scorer, statistics: Statistics, normal: NormalTraffic, *, max_steps: int
    ) -> None:
        self._table, self._scorer, self._statistics, self._normal = table, scorer, statistics, normal
        self._max_steps = max_steps

    def apply(self, events: EventBatch, lap: Callable[[str], None] = lambda stage: None) -> tuple[Scored, EventBatch]:
        """Score `events` in their order -> (scores, events deferred because their user had `max_steps` already).

        An event that its row already holds, since a replay brings it again, is passed over. `lap` is told of each stage
        as it ends.
        """
        table = self._table
        slots = table.slots(events["partition"], events.key)
        news = ~table.applied(slots, events["source"], events["offset"])
        if not news.all():
            events, slots = events.take(news), slots[news]
        packing = sequences.pack(slots)
        deferred = events.take(slice(0))
        if len(packing.batch_sizes) > self._max_steps:
            waits = packing.to_arrival(packing.rank >= self._max_steps)
            deferred = events.take(waits)
            events, slots = events.take(~waits), slots[~waits]
            packing = sequences.pack(slots)
        lap("table")
        if not len(events):
            return Scored.none(), deferred

        stale = table.stale(packing.users)
        self._rebuild(stale)
        lap("rebuild")

        raw = structured.take(raw_events(events), packing.arrival)
        last_ms = table.last_time_ms(packing.users)
        first = packing.before < len(packing.users)
        first &= table.events_seen(packing.users)[packing.user] == 0
        before = structured.take(structured.concat([table.last_events(packing.users), raw]), packing.before)
        high_ms = sequences.running_max(raw["time_ms"], packing, last_ms)
        gap_ms = np.maximum(raw["time_ms"] - high_ms, 0)
        late = raw["time_ms"] < high_ms
        x, came = features.build(raw, before, gap_ms, first, self._statistics)
        lap("features")

        intent, parts, carry = self._scorer.score(x, came, packing, table.gather(packing.users))
        lap("lstm")

        number = table.events_seen(packing.users)[packing.user] + packing.rank + 1
        table.append(packing, raw, events, np.maximum(high_ms, raw["time_ms"]))
        table.scatter(packing.users, carry)
        in_order = packing.to_arrival
        scored = Scored(
            events=events,
            events_seen=in_order(number),
            late=in_order(late),
            carry_rebuilt=np.isin(slots, stale),
            intent=in_order(intent),
            surprise_parts=in_order(parts),
            anomaly=self._normal.percentile(in_order(parts).sum(axis=1, dtype=np.float64)),
        )
        lap("apply")
        return scored, deferred

    def _rebuild(self, slots: Ints) -> None:
        """Make the carry of users whose row has none by this model: run their rolling sequence through it."""
        if not len(slots):
            return
        owner, raw = self._table.sequences(slots)
        packing = sequences.pack(owner)
        raw = structured.take(raw, packing.arrival)
        first = packing.rank == 0
        never = np.full(len(packing.users), -1, np.int64)
        before = structured.take(raw, _before(packing))
        x, _ = features.build(raw, before, _gaps(raw, packing, never), first, self._statistics)
        blank = torch.zeros_like(self._table.gather(packing.users))
        self._table.scatter(packing.users, self._scorer.advance(x, packing, blank))


def _before(packing: Packing) -> Ints:
    return np.maximum(packing.before - len(packing.users), 0)


def _gaps(raw: NDArray[np.void], packing: Packing, never: Ints) -> Ints:
    return np.maximum(raw["time_ms"] - sequences.running_max(raw["time_ms"], packing, never), 0)
