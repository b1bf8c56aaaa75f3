"""All of it, of one demand."""

from __future__ import annotations

from dataclasses import dataclass

from stream.sizing import traffic as traffic_of
from stream.sizing.activity import activity
from stream.sizing.constants import Constants, Fact, facts
from stream.sizing.cost import Cost, cost
from stream.sizing.demands import Demands
from stream.sizing.deployment import Deployment
from stream.sizing.limits import Limit, group_bytes, of_deployment, of_growth
from stream.sizing.memory import Disk, Memory, disk, memory
from stream.sizing.plan import plan
from stream.sizing.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a demand takes. Bytes, seconds, microseconds; of the whole, where it does not say of which part."""

    demands: Demands
    row_bytes: int
    cost: Cost
    deployment: Deployment
    workers_for: str  # of what there would be too little with fewer
    brokers_for: str
    memory: Memory  # of a worker
    disk: Disk
    traffic: Traffic
    rows_per_checkpoint: float  # of a partition
    transactions_per_second: float
    restore_partition_secs: float  # on an empty disk
    restore_worker_secs: float
    group_bytes: float
    fills_first: list[Limit]  # of this deployment
    breaks_first: list[Limit]  # whatever is added
    constants: list[Fact]  # all that it was made of

    @property
    def fits(self) -> bool:
        """Whether no limit is passed at the demand that was asked for."""
        return all(limit.holds for limit in (*self.fills_first, *self.breaks_first))


def size(demands: Demands, constants: Constants, given: frozenset[str] = frozenset()) -> Sizing:
    """`given` are the names of constants that are one's own."""
    acts = activity(demands)
    deployment, workers_for, brokers_for = plan(demands, constants, acts)
    spent = cost(demands, constants, acts, deployment.workers)
    moved = traffic_of.of(demands, constants, spent)
    restored = 1 / constants.restore_rows_per_second
    return Sizing(
        demands=demands,
        row_bytes=demands.row_bytes,
        cost=spent,
        deployment=deployment,
        workers_for=workers_for,
        brokers_for=brokers_for,
        memory=memory(demands, constants, spent, deployment),
        disk=disk(demands, constants, spent, deployment),
        traffic=moved,
        rows_per_checkpoint=moved.rows_per_second * spent.interval_secs / deployment.partitions,
        transactions_per_second=deployment.partitions / spent.interval_secs,
        restore_partition_secs=demands.users / deployment.partitions * restored,
        restore_worker_secs=demands.users / deployment.workers * restored,
        group_bytes=group_bytes(constants, deployment),
        fills_first=of_deployment(demands, constants, deployment),
        breaks_first=of_growth(demands, constants),
        constants=list(facts(constants, given)),
    )
