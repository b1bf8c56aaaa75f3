"""What breaks first as the shop grows, its events and users alike.

Two lists. What fills up in a deployment as it stands, at which demand, and what to add then. And what more machines do
not help against: there each demand has the deployment that it needs, until there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

from stream.sizing import traffic
from stream.sizing.activity import activity
from stream.sizing.constants import Constants
from stream.sizing.cost import cost, rows_that_may_wait
from stream.sizing.demands import Demands
from stream.sizing.deployment import TOPICS, Deployment
from stream.sizing.memory import disk, memory
from stream.sizing.plan import plan

# How far is looked: beyond it nothing is said to break.
_FACTOR_MOST, _HALVINGS = 4096.0, 16


class _Use(NamedTuple):
    name: str
    used: float
    limit: float
    unit: str
    then: str  # what happens, and what helps


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that is used up at some demand."""

    name: str
    used: float  # at the demand that was asked for
    limit: float
    unit: str
    breaks_at_events_per_second: float | None  # None: not within thousands of times the demand
    breaks_at_users: int | None
    then: str

    @property
    def holds(self) -> bool:
        """At the demand that was asked for."""
        return self.used <= self.limit


def of_deployment(demands: Demands, constants: Constants, deployment: Deployment) -> list[Limit]:
    """What of a deployment as it stands is used up, the first first."""
    return _in_order(demands, lambda larger: _of_machines(larger, constants, deployment))


def of_growth(demands: Demands, constants: Constants) -> list[Limit]:
    """What is used up though there are as many machines as it takes, the first first."""
    return _in_order(demands, lambda larger: _of_whole(larger, constants))


def _of_machines(demands: Demands, constants: Constants, deployment: Deployment) -> list[_Use]:
    acts = activity(demands)
    workers, brokers = deployment.workers, deployment.brokers
    spent = cost(demands, constants, acts, workers)
    moved = traffic.of(demands, constants, spent)
    each = demands.events_per_second / workers
    cores = min(demands.cores_per_worker, constants.worker_cores_most)
    held, stored = memory(demands, constants, spent, deployment), disk(demands, constants, spent, deployment)
    own = deployment.partitions / workers
    rows = moved.rows_per_second * spent.interval_secs / workers
    checkpoints = own * constants.checkpoint_ms / 1000 + rows * constants.row_us / 1e6
    uses = [
        _Use("a worker's processor", each * spent.worker_us / 1e6, cores, "cores", "lag grows; add workers"),
        _Use(
            "a worker's scoring thread", each * spent.scoring_us / 1e6, 1.0, "of each second",
            "lag grows, however many cores; add workers",
        ),
        _Use(
            "rows that wait for a checkpoint",
            acts.distinct(demands.interval_secs) / workers, rows_that_may_wait(demands), "users a worker",
            "checkpoints come sooner and write more rows; raise --memory-max-users",
        ),
        _Use(
            "a worker's checkpoints, one after the other", checkpoints, spent.interval_secs, "s of each interval",
            "they come late, and a crash repeats more; lengthen --checkpoint-interval-ms",
        ),
        _Use(
            "a worker's disk", stored.bytes_written_per_second, constants.disk_write_bytes_per_second,
            "bytes a second",
            "checkpoints wait for it; lengthen --checkpoint-interval-ms, or add workers",
        ),
        _Use(
            "users of a worker whose disk is lost", demands.users / workers / constants.restore_rows_per_second,
            constants.restore_secs_most, "s without scores", "add workers, or --standby-replicas",
        ),
        _Use(
            "brokers' disks", moved.broker_write / brokers, constants.broker_write_bytes_per_second,
            "bytes a second each",
            "scores come late, then lag grows; add brokers",
        ),
        _Use(
            "brokers' transactions", deployment.partitions / spent.interval_secs / brokers,
            constants.broker_transactions_per_second, "a second each",
            "checkpoints come late; lengthen --checkpoint-interval-ms, or add brokers",
        ),
        _Use(
            "brokers' partitions", TOPICS * deployment.partitions * demands.replication_factor / brokers,
            constants.broker_replicas_most, "replicas each", "failovers take long; add brokers",
        ),
    ]  # fmt: skip
    if demands.worker_memory_bytes is not None:
        uses.append(
            _Use(
                "a worker's memory", held.total, demands.worker_memory_bytes, "bytes",
                "it is killed; lower --memory-max-users or --store-memory-bytes",
            )
        )  # fmt: skip
    return uses


def _of_whole(demands: Demands, constants: Constants) -> list[_Use]:
    acts = activity(demands)
    deployment = plan(demands, constants, acts).deployment
    spent = cost(demands, constants, acts, deployment.workers)
    return [
        _Use(
            "the group's record of its members", group_bytes(constants, deployment), constants.group_record_bytes_most,
            "bytes",
            "no worker is assigned anything; raise message.max.bytes of the brokers (8 MiB was tried), or have fewer "
            "and larger workers (--memory-max-users), or part the users among groups",
        ),
        _Use(
            "partitions of the cluster", TOPICS * deployment.partitions * demands.replication_factor,
            constants.cluster_replicas_most, "replicas", "elections take minutes; part the users among clusters",
        ),
        _Use(
            "the busiest user", acts.busiest_per_second, spent.events_per_second, "events/s",
            "a user's events are scored one after the other, and hold back their partition; refuse such users before",
        ),
    ]  # fmt: skip


def group_bytes(constants: Constants, deployment: Deployment) -> float:
    """Of the one record in which a broker keeps a group: each member says of all others what they have."""
    each = (
        constants.group_bytes_of_itself
        + constants.group_bytes_per_member * deployment.workers
        + constants.group_bytes_per_partition * deployment.partitions
    )
    return deployment.workers * each


def _in_order(demands: Demands, uses: Callable[[Demands], Sequence[_Use]]) -> list[Limit]:
    @cache
    def shares(factor: float) -> list[float]:
        return [use.used / use.limit for use in uses(demands.times(factor))]

    limits = []
    for place, use in enumerate(uses(demands)):
        factor = _breaks_at(partial(_of_one, shares, place))
        limits.append(
            Limit(
                name=use.name,
                used=use.used,
                limit=use.limit,
                unit=use.unit,
                breaks_at_events_per_second=None if factor is None else demands.events_per_second * factor,
                breaks_at_users=None if factor is None else max(1, round(demands.users * factor)),
                then=use.then,
            )
        )
    return sorted(limits, key=lambda limit: (limit.breaks_at_events_per_second or math.inf, limit.name))


def _of_one(shares: Callable[[float], Sequence[float]], place: int, factor: float) -> float:
    return shares(factor)[place]


def _breaks_at(share: Callable[[float], float]) -> float | None:
    """The factor at which the share of a limit passes 1; below 1 where it has; None where it does not."""
    holds = share(1.0) <= 1
    low, high = (1.0, _FACTOR_MOST) if holds else (1 / _FACTOR_MOST, 1.0)
    if holds and share(high) <= 1:
        return None
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if share(middle) <= 1 else (low, middle)
    return low
