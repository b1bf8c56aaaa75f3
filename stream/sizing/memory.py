"""What a worker has in memory and on its disk."""

from __future__ import annotations

from dataclasses import dataclass

from stream.events import SOURCES
from stream.sizing.constants import Constants
from stream.sizing.cost import Cost
from stream.sizing.demands import Demands
from stream.sizing.deployment import Deployment

# A row on its way is in the copy taken of the table, as bytes, in RocksDB's write and in Kafka's batch.
_COPIES_IN_CHECKPOINT = 4
# Batches of scores: being written, being sent, waiting to be acknowledged.
_BATCHES_IN_FLIGHT = 3


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one worker at most."""

    process: float  # Python, torch and Faust
    users: float  # rows in memory, their keys and index
    growth: float  # while the table doubles, its former half is there twice
    store: float  # what RocksDB may take
    waiting: float  # events that are fetched and wait, where a backlog is caught up with
    in_flight: float  # rows of a checkpoint, scores not yet acknowledged

    @property
    def total(self) -> float:
        return self.process + self.users + self.growth + self.store + self.waiting + self.in_flight


@dataclass(frozen=True, slots=True)
class Disk:
    """Of one worker, and of all brokers together."""

    rows: float  # of the partitions that a worker owns, and of those that it stands by for
    bytes: float
    bytes_written_per_second: float
    broker_bytes: float  # replicas included, once everything is as old as it is kept; infinite where it is for ever


def memory(demands: Demands, constants: Constants, cost: Cost, deployment: Deployment) -> Memory:
    """Of one worker."""
    settings, row = demands.settings, demands.row_bytes
    of_partition = demands.events_per_second * cost.rows * cost.interval_secs / deployment.partitions
    waiting = settings.buffer_max_events * len(SOURCES) * deployment.partitions / deployment.workers
    scores = settings.batch_max_events * (constants.intent_bytes + constants.anomaly_bytes)
    return Memory(
        process=constants.worker_bytes,
        users=cost.in_memory * (row + constants.user_bytes),
        growth=cost.in_memory / 2 * row,
        store=settings.store_memory_bytes,
        waiting=waiting * (constants.event_bytes + constants.waiting_event_bytes),
        in_flight=_COPIES_IN_CHECKPOINT * of_partition * row + _BATCHES_IN_FLIGHT * scores,
    )


def disk(demands: Demands, constants: Constants, cost: Cost, deployment: Deployment) -> Disk:
    """Of one worker, and of all brokers."""
    copies = 1 + demands.settings.standby_replicas
    rows = demands.users * copies / deployment.workers
    put = demands.events_per_second * cost.rows * demands.row_bytes * copies / deployment.workers
    kept_secs = demands.settings.retention_hours * 3600.0 if demands.settings.retention_hours >= 0 else float("inf")
    records = constants.event_bytes + constants.intent_bytes + constants.anomaly_bytes
    changelog = demands.users * (demands.row_bytes + constants.row_record_bytes) * constants.changelog_copies
    return Disk(
        rows=rows,
        bytes=rows * demands.row_bytes * constants.disk_amplification,
        bytes_written_per_second=put * constants.write_amplification,
        broker_bytes=demands.replication_factor * (demands.events_per_second * records * kept_secs + changelog),
    )
