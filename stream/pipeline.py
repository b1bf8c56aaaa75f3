"""From a micro-batch of events to its scores: the whole of it, in order. Start reading here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from stream import anomaly, features, sequences, structured
from stream.anomaly import NormalTraffic
from stream.encode import Scored
from stream.events import EventBatch
from stream.features import RECENT, Past, Statistics
from stream.scorer import Scorer
from stream.sequences import Ints
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
        past = self._past(packing.users)
        seen = features.build(raw, packing, past, self._statistics)
        late = raw["time_ms"] < seen.high_ms
        lap("features")

        scores, carry = self._scorer.score(seen, packing, table.gather(packing.users))
        lap("lstm")

        number = past.events_seen[packing.user] + packing.rank + 1
        table.append(packing, raw, events, np.maximum(seen.high_ms, raw["time_ms"]))
        strained = anomaly.strained(scores.surprise, packing, seen.memory, self._normal)
        table.remember(packing.users, strained.memory)
        table.scatter(packing.users, carry)
        in_order = packing.to_arrival
        parts, strain = in_order(scores.surprise), in_order(strained.strain)
        scored = Scored(
            events=events,
            events_seen=in_order(number),
            late=in_order(late),
            carry_rebuilt=np.isin(slots, stale),
            intent=in_order(scores.intent),
            surprise_parts=parts,
            strain=strain,
            anomaly=self._normal.anomaly(parts, strain),
            fraud=None if scores.fraud is None else in_order(scores.fraud),
        )
        lap("apply")
        return scored, deferred

    def _past(self, slots: Ints) -> Past:
        table = self._table
        return Past(
            table.recent(slots, RECENT), table.memory(slots), table.events_seen(slots), table.last_time_ms(slots)
        )

    def _rebuild(self, slots: Ints) -> None:
        """Make the carry of users whose row has none by this model: run their rolling sequence through it.

        The memory is of raw inputs, and stays; a row of the first format has none, and gets that of the sequence. The
        strain begins anew: it is of another model's surprise.
        """
        if not len(slots):
            return
        table = self._table
        owner, raw = table.sequences(slots)
        packing = sequences.pack(owner)
        raw = structured.take(raw, packing.arrival)
        seen = features.build(raw, packing, Past.none(len(packing.users)), self._statistics)
        blank = torch.zeros_like(table.gather(packing.users))
        table.scatter(packing.users, self._scorer.advance(seen.features, packing, blank))
        memory = table.memory(packing.users)
        bare = ~memory["counts"].any(axis=(1, 2))
        structured.put(memory, bare, structured.take(seen.memory, bare))
        memory["strain"] = memory["strain_weight"] = 0.0
        table.remember(packing.users, memory)
