"""What throughput should be, as a share of the base case's, from what single things cost at the base. Pure.

One worker does its work one thing after the other, so that what an event costs is a sum: a part that nothing here
changes, the network, and the rows that are written. What is added to one of them is added to the event:

    share = event / (event + what is added)

hidden, layers  the network's multiplications, 4 H (H + width) of the first layer and 4 H (H + H) of each other one,
                take as long each as at the base; a row grows by its carry
sequence        a row grows by the raw events that it holds; each byte costs what it does at the base
users           an event of a user who is not in memory reads their row; the fewer events a user has between two
                checkpoints, the more rows an event has written
partitions      nothing: they share the worker's batches
workers         as many times as much, until the processors are full: worker and broker take theirs of an event
hot             each event of one user is a step of its own, which no other event shares, and costs so much more. Up to
                a quarter of a batch is theirs; what they send beyond it waits until the others' events are done, and
                is scored alone
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream import rows

FAIR_SHARE = 0.25  # of a batch, which one user has at most: `deferred.share`


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """At the base case, in microseconds."""

    event_us: float  # of one worker over a backlog, by the clock
    lstm_us: float  # of it, the network
    quarter_us: float  # that an event costs more where a quarter of all events is one user's
    alone_us: float  # the same where all are
    row_us_per_kb: float  # to write a row, to the local copy and to the changelog
    rows_per_event: float
    worker_cpu_us: float  # of an event, all threads of the worker
    broker_cpu_us: float


def row_kb(sizes: rows.Sizes) -> float:
    """Of a user."""
    return rows.row_dtype(sizes).itemsize / 1000


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Of a model and the rows of its users."""

    hidden: int
    layers: int
    sequence: int
    width: int  # of x
    parts: int  # of a carry

    @property
    def multiplications(self) -> int:
        """Of an event, in the layers."""
        return 4 * self.hidden * (self.hidden + self.width + (self.layers - 1) * 2 * self.hidden)

    @property
    def row_kb(self) -> float:
        """Of a user."""
        return row_kb(rows.Sizes(self.sequence, self.parts, self.layers, self.hidden))


def of_shape(costs: Costs, base: Shape, shape: Shape) -> float:
    """Another H, number of layers or sequence."""
    network = costs.lstm_us * (shape.multiplications / base.multiplications - 1)
    written = costs.rows_per_event * costs.row_us_per_kb * (shape.row_kb - base.row_kb)
    return costs.event_us / (costs.event_us + network + written)


def of_workers(costs: Costs, workers: int, cores: int) -> float:
    """So many of them, each as fast as one, where the processors are enough for them and the broker."""
    return min(float(workers), cores * costs.event_us / (costs.worker_cpu_us + costs.broker_cpu_us))


def of_a_hot_user(costs: Costs, share: float) -> float:
    """Who sends that share of all events."""
    if share <= FAIR_SHARE:
        added = costs.quarter_us * share / FAIR_SHARE
    else:
        beside_others = (1 - share) / (1 - FAIR_SHARE)  # of all events, those of batches that have others too
        added = costs.quarter_us * beside_others + costs.alone_us * (1 - beside_others)
    return costs.event_us / (costs.event_us + added)


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Users by Zipf's law: the k-th has k ** -exponent times as many events as the first."""

    users: int
    exponent: float

    def _shares(self) -> NDArray[np.float64]:
        weights = np.arange(1, self.users + 1, dtype=np.float64) ** -self.exponent
        return np.asarray(weights / weights.sum())

    def share_beyond(self, busiest: int) -> float:
        """Of all events, those of other users than so many of the busiest, who are in memory."""
        return float(self._shares()[busiest:].sum())

    def distinct(self, events: float) -> float:
        """Users that so many events are of."""
        return float(-np.expm1(events * np.log1p(-np.minimum(self._shares(), 1 - 1e-12))).sum())


def of_users(
    costs: Costs, base: Crowd, crowd: Crowd, *, in_memory: int, read_us: float, row_kb: float, interval_secs: float
) -> float:
    """Another number of users, of whom so many have room; a checkpoint each interval, at the base case's rate."""
    events = interval_secs * 1e6 / costs.event_us
    more_rows = (crowd.distinct(events) - base.distinct(events)) / events
    read = read_us * crowd.share_beyond(in_memory)
    return costs.event_us / (costs.event_us + read + more_rows * row_kb * costs.row_us_per_kb)
