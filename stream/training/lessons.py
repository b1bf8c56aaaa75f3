"""Runs -> lessons: the next events of some users side by side, seen as serving sees them.

Whoever has a carry goes on with it from lesson to lesson, and so does what features need of the past. Nothing here is
kept of an event but its raw columns, so that a data set may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream import features, sequences, structured
from stream.features import Past, Seen, Statistics
from stream.sequences import Ints, Packing
from stream.training.recipe import Augmentation
from stream.training.runs import Runs


class Lesson(NamedTuple):
    """n events in packed order; `packing.users` are lanes."""

    packing: Packing
    events: Ints  # [n] packed -> place in the runs
    fresh: Ints  # lanes that begin a user here: their carry is zero
    seen: Seen


class Chunk(NamedTuple):
    """The next events of each lane, one lane after the other."""

    lane: Ints  # [n]
    events: Ints  # [n] place in the runs
    fresh: Ints


@dataclass(frozen=True, slots=True)
class Plan:
    """In which order users come, and how many side by side."""

    order: Ints  # [U'] places of users in the runs
    lanes: int
    steps: int


def lessons(of: Runs, plan: Plan, statistics: Statistics, draw: Draw | None = None) -> Iterator[Lesson]:
    """Every event of the plan's users once, less what `draw` takes away."""
    past = Past.none(plan.lanes)
    first = np.zeros(plan.lanes, np.int64)  # the first event of each lane's user
    stretch = np.ones(plan.lanes)
    for chunk in chunks(of.counts, plan, draw):
        fresh = chunk.fresh
        past.put(fresh, Past.none(len(fresh)))
        first[fresh] = chunk.events[np.searchsorted(chunk.lane, fresh)]
        kept = np.ones(len(chunk.lane), np.bool_)
        if draw is not None:
            kept = draw.kept(len(kept))
            stretch[fresh] = draw.stretch(len(fresh))
        packing = sequences.pack(chunk.lane[kept])
        events = chunk.events[kept][packing.arrival]
        raw = structured.take(of.raw, events)
        if draw is not None:
            lanes = packing.users[packing.user]
            began_ms = of.raw["time_ms"][first[lanes]]
            raw["time_ms"] = began_ms + ((raw["time_ms"] - began_ms) * stretch[lanes]).astype(np.int64)
        before = past.take(packing.users)
        seen = features.build(raw, packing, before, statistics)
        past.put(packing.users, features.after(raw, packing, before, seen))
        yield Lesson(packing, events, fresh, seen)


def chunks(counts: Ints, plan: Plan, draw: Draw | None = None) -> Iterator[Chunk]:
    """Users take the next free lane, and move on by up to `steps` a chunk.

    A chunk goes on from where its lanes' last one ended, so nobody is padded and few steps are narrow.
    """
    ends = np.cumsum(counts)
    starts = ends - counts if draw is None else draw.starts(ends, counts)
    waiting = iter(plan.order.tolist())
    at, end = np.zeros(plan.lanes, np.int64), np.zeros(plan.lanes, np.int64)
    while True:
        free = np.flatnonzero(at == end)
        newcomers = np.array(list(islice(waiting, len(free))), np.int64)
        fresh = free[: len(newcomers)]
        at[fresh], end[fresh] = starts[newcomers], ends[newcomers]
        length = np.minimum(end - at, plan.steps)
        if not length.any():
            return
        lane = np.repeat(np.arange(plan.lanes), length)
        yield Chunk(lane, np.repeat(at - (np.cumsum(length) - length), length) + np.arange(length.sum()), fresh)
        at += length


class Draw:
    """What augmentation draws in one epoch, by a seed."""

    def __init__(self, how: Augmentation, seed: tuple[int, ...]) -> None:
        self._how, self._rng = how, np.random.default_rng(seed)

    def starts(self, ends: Ints, counts: Ints) -> Ints:
        """[U] where in the runs each user begins."""
        cropped = self._rng.random(len(counts)) < self._how.crop
        return ends - counts + np.where(cropped, (self._rng.random(len(counts)) * counts).astype(np.int64), 0)

    def kept(self, n: int) -> NDArray[np.bool_]:
        """[n] whether an event is to come at all; one of them does, since nothing can be learned from none."""
        kept = self._rng.random(n) >= self._how.event_dropout
        if not kept.any():
            kept[self._rng.integers(n)] = True
        return kept

    def stretch(self, users: int) -> NDArray[np.float64]:
        """[users] what their gaps are multiplied by."""
        return np.exp(self._how.time_stretch * self._rng.standard_normal(users))
