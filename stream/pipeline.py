"""From a micro-batch of events to its scores: the whole of it, in order. Start reading here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import torch

from stream import admission, anomaly, features, sequences, structured
from stream.admission import Suspects
from stream.anomaly import Interp, NormalTraffic, StrainedBy
from stream.deferred import share
from stream.encode import Scored
from stream.events import EventBatch
from stream.features import RECENT, Past, Statistics, Trace
from stream.scorer import AnyScorer
from stream.sequences import Ints, Packing
from stream.table import Table, raw_events


class Outcome(NamedTuple):
    """What became of a micro-batch."""

    scored: Scored
    deferred: EventBatch  # to be brought again, before any later event of their users
    held: int  # passed over, since their rows hold them: a replay brought them
    repeated: int  # passed over, since their id is that of one of the user's last events
    crowded: bool  # some wait for room in memory, which only a checkpoint can make
    begun_anew: int  # so many users had been silent for too long

    @classmethod
    def none(cls) -> Self:
        """Of no events."""
        return cls(Scored.none(), EventBatch.concat([]), 0, 0, crowded=False, begun_anew=0)


class Pipeline:
    """Applies events to the table and scores them. One thread at a time."""

    def __init__(
        self,
        table: Table,
        scorer: AnyScorer,
        statistics: Statistics,
        normal: NormalTraffic,
        *,
        max_steps: int,
        expiry_ms: int | None = None,
        trace: Trace = features.trace,
        suspects: Suspects = admission.suspects,
        strained: StrainedBy = anomaly.strained,
        interp: Interp = np.interp,
    ) -> None:
        """`max_steps` events of a user in a batch at most; after a silence of `expiry_ms` they begin anew."""
        self._table, self._scorer, self._statistics, self._normal = table, scorer, statistics, normal
        self._max_steps, self._expiry_ms = max_steps, expiry_ms
        self._trace, self._suspects, self._strained, self._interp = trace, suspects, strained, interp

    def apply(self, events: EventBatch, lap: Callable[[str], None] = lambda stage: None) -> Outcome:
        """Score `events` in their order. `lap` is told of each stage as it ends."""
        table = self._table
        max_steps = share(self._max_steps, len(events))
        admitted = admission.admit(
            table, events, max_steps=max_steps, expiry_ms=self._expiry_ms, suspects=self._suspects
        )
        events, packing = admitted.events, admitted.packing
        lap("table")
        scored = self._score(events, packing, lap) if len(events) else Scored.none()
        repeated = admitted.repeated
        table.pass_over(repeated.slots, repeated.events["source"], repeated.events["offset"])
        return Outcome(
            scored, admitted.deferred, admitted.held, len(repeated.slots), admitted.crowded, admitted.begun_anew
        )

    def _score(self, events: EventBatch, packing: Packing, lap: Callable[[str], None]) -> Scored:
        table = self._table
        self._rebuild(table.stale(packing.users))
        lap("rebuild")

        raw = structured.take(raw_events(events), packing.arrival)
        past = self._past(packing.users)
        seen = features.build(raw, packing, past, self._statistics, self._trace)
        late = raw["time_ms"] < seen.high_ms
        lap("features")

        scores, carry = self._scorer.score(seen, packing, table.gather(packing.users))
        lap("lstm")

        number = past.events_seen[packing.user] + packing.rank + 1
        # A strain without weight was begun anew, with the carry; every event since gives it some. It says so wherever
        # the input is cut, and whoever made the carry: this batch, or `refresh` before it.
        anew = (packing.rank == 0) & (number > 1) & (past.memory["strain_weight"] == 0)[packing.user]
        table.append(packing, raw, events, np.maximum(seen.high_ms, raw["time_ms"]))
        strained = self._strained(scores.surprise, packing, seen.memory, self._normal)
        table.remember(packing.users, strained.memory)
        table.scatter(packing.users, carry)
        in_order = packing.to_arrival
        parts, strain = in_order(scores.surprise), in_order(strained.strain)
        scored = Scored(
            events=events,
            events_seen=in_order(number),
            late=in_order(late),
            carry_rebuilt=in_order(anew),
            intent=in_order(scores.intent),
            surprise_parts=parts,
            strain=strain,
            anomaly=self._normal.anomaly(parts, strain, self._interp),
            fraud=None if scores.fraud is None else in_order(scores.fraud),
        )
        lap("apply")
        return scored

    def refresh(self, n: int) -> int:
        """Make the carries of up to n users in memory who have none by this model, before their events come -> of how
        many; 0 once that is done."""
        slots = self._table.next_stale(n)
        self._rebuild(slots)
        self._table.changed(slots)
        return len(slots)

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
        seen = features.build(raw, packing, Past.none(len(packing.users)), self._statistics, self._trace)
        blank = torch.zeros_like(table.gather(packing.users))
        table.scatter(packing.users, self._scorer.advance(seen.features, packing, blank))
        memory = table.memory(packing.users)
        bare = ~memory["counts"].any(axis=(1, 2))
        structured.put(memory, bare, structured.take(seen.memory, bare))
        memory["strain"] = memory["strain_weight"] = 0.0
        table.remember(packing.users, memory)
