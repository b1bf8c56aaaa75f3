"""Processor time of an event, and how many a worker does.

An event costs its stages; the network by its multiply-adds; a user who is not in memory a read of the store; and a
checkpoint each row that it writes, which is one for all events of a user since the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.sizing.activity import Activity
from stream.sizing.constants import Constants
from stream.sizing.demands import Demands, multiply_adds


@dataclass(frozen=True, slots=True)
class Cost:
    """What an event takes, and how many of them a worker does in the time that its cores give."""

    stages_us: dict[str, float]  # of processor time, by stage
    worker_us: float  # all threads
    scoring_us: float  # of it, on the scoring thread, of which there is one
    events_per_second: float  # of one worker, with nothing left free
    in_memory: float  # users, of one worker
    misses: float  # store reads of an event
    rows: float  # changelog rows of an event
    interval_secs: float  # between a partition's checkpoints: shorter where rows that wait fill the memory before


def cost(demands: Demands, constants: Constants, of: Activity, workers: int) -> Cost:
    """Of an event, where so many workers share the users."""
    events = demands.events_per_second
    in_memory = min(demands.room, demands.users / workers)
    misses = of.misses_per_second(in_memory * workers) / events
    interval = min(demands.interval_secs, of.secs_of(rows_that_may_wait(demands) * workers))
    rows = min(1.0, of.distinct(interval) / interval / events)
    network = constants.network_us + constants.network_us_per_1000_multiply_adds * multiply_adds(demands.model) / 1000
    scoring = {
        "merge": constants.merge_us,
        "table": constants.table_us,
        "features": constants.features_us,
        "network": network,
        "apply": constants.apply_us,
        "store reads": misses * (constants.store_read_us + constants.seat_us),
        "rows copied": rows * constants.row_scoring_us,
    }
    stages = {
        "decode": constants.decode_us,
        **scoring,
        "encode": constants.encode_us,
        "Kafka": constants.kafka_us,
        "rows written": rows * max(0.0, constants.row_us - constants.row_scoring_us),
    }
    worker_us, scoring_us = sum(stages.values()), sum(scoring.values())
    if demands.settings.guarantee == "exactly_once":
        worker_us /= constants.exactly_once_share
    cores = min(demands.cores_per_worker, constants.worker_cores_most)
    return Cost(
        stages_us=stages,
        worker_us=worker_us,
        scoring_us=scoring_us,
        events_per_second=min(cores * 1e6 / worker_us, 1e6 / scoring_us),
        in_memory=in_memory,
        misses=misses,
        rows=rows,
        interval_secs=interval,
    )


def rows_that_may_wait(demands: Demands) -> float:
    """Changed rows that a worker holds before it makes a checkpoint of all, whatever the interval (`slots.crowded`)."""
    return demands.room / 2
