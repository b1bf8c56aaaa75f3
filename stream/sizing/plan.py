"""How many workers, partitions and brokers: as few as bear the demand with the headroom left free."""

from __future__ import annotations

import math
from typing import NamedTuple

from stream.sizing import traffic
from stream.sizing.activity import Activity
from stream.sizing.constants import Constants
from stream.sizing.cost import cost
from stream.sizing.demands import Demands
from stream.sizing.deployment import TOPICS, Deployment
from stream.sizing.memory import disk

# So that twice as many workers can share the work without new topics: partitions of a topic with keys are for ever.
PARTITIONS_PER_WORKER = 2


class Planned(NamedTuple):
    """A deployment, and of what there would be too little with less."""

    deployment: Deployment
    workers_for: str
    brokers_for: str


def plan(demands: Demands, constants: Constants, of: Activity) -> Planned:
    """The smallest deployment for these demands."""
    workers, workers_for = _workers(demands, constants, of)
    partitions = PARTITIONS_PER_WORKER * workers
    spent = cost(demands, constants, of, workers)
    factor, free = demands.replication_factor, 1 - demands.headroom
    write = traffic.of(demands, constants, spent).broker_write
    brokers, brokers_for = max(
        (factor, "as many as the replication factor"),
        (_needed(write, free * constants.broker_write_bytes_per_second), "for disk writes"),
        (_needed(TOPICS * partitions * factor, free * constants.broker_replicas_most), "for partitions"),
        (
            _needed(partitions / spent.interval_secs, free * constants.broker_transactions_per_second),
            "for transactions",
        ),
    )
    return Planned(Deployment(workers, partitions, brokers), workers_for, brokers_for)


def _workers(demands: Demands, constants: Constants, of: Activity) -> tuple[int, str]:
    """By halving: with more workers each has less to do, and more users are in memory."""

    def short_of(workers: int) -> str | None:
        spent, free = cost(demands, constants, of, workers), 1 - demands.headroom
        each = disk(demands, constants, spent, Deployment(workers, workers, 1))
        if workers * spent.events_per_second * free < demands.events_per_second:
            return "for processor time"
        if each.bytes_written_per_second > free * constants.disk_write_bytes_per_second:
            return "for disk writes"
        if demands.users / workers / constants.restore_rows_per_second > constants.restore_secs_most:
            return "for time to restore a lost disk"
        return None

    low, high, why = 0, 1, "one is enough"
    while (lacks := short_of(high)) is not None:
        low, high, why = high, 2 * high, lacks
    while high - low > 1:
        middle = (low + high) // 2
        if (lacks := short_of(middle)) is None:
            high = middle
        else:
            low, why = middle, lacks
    return high, why


def _needed(demand: float, each: float) -> int:
    return math.ceil(demand / each)
