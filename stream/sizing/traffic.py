"""Bytes per second, of the whole."""

from __future__ import annotations

from dataclasses import dataclass

from stream.sizing.constants import Constants
from stream.sizing.cost import Cost
from stream.sizing.demands import Demands


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes per second between workers and brokers, none of it compressed; and rows per second."""

    input: float
    output: float  # both scores
    rows_per_second: float
    changelog: float  # a row of each user who acted, once a checkpoint
    broker_write: float  # of all brokers together, replicas included
    standby: float  # the changelog, read by those who keep copies


def of(demands: Demands, constants: Constants, cost: Cost) -> Traffic:
    """Of all workers together."""
    events = demands.events_per_second
    rows = events * cost.rows
    read = events * constants.event_bytes
    scores = events * (constants.intent_bytes + constants.anomaly_bytes)
    changelog = rows * (demands.row_bytes + constants.row_record_bytes)
    return Traffic(
        input=read,
        output=scores,
        rows_per_second=rows,
        changelog=changelog,
        broker_write=demands.replication_factor * (read + scores + changelog),
        standby=demands.settings.standby_replicas * changelog,
    )
