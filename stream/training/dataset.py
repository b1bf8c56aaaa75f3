"""Runs -> examples to learn from, made by the code that serves: no other way may make a feature.

    sources -> runs -> features, outcome and labels -> chunks

A feature looks at nothing after its event, a label at nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream import features, sequences
from stream.features import Features, Outcome, Statistics
from stream.sequences import Ints, Packing
from stream.training import labels
from stream.training.labels import Labels
from stream.training.runs import Runs


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


def statistics(of: Runs) -> Statistics:
    """Mean and standard deviation of the log gap over events that have a predecessor, of the log price over priced."""
    packing = sequences.pack(of.owner)
    gap_ms = _gaps_ms(of.raw[packing.arrival], packing)[packing.rank > 0]
    gap = np.log1p(gap_ms / 1000.0)
    price = of.raw["price"].astype(np.float64)
    price = np.log1p(price[~np.isnan(price)])
    return Statistics(*(round(float(number), 6) for number in (gap.mean(), gap.std(), price.mean(), price.std())))


def examples(of: Runs, scale: Statistics, *, horizons_secs: Sequence[int]) -> Examples:
    """Features, outcome and labels of every event."""
    packing = sequences.pack(of.owner)
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
        labels=labels.within(of, horizons_secs),
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
