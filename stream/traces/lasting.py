"""Until when a record can lie on a topic, by the topic's own settings."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

# A broker looks for what may be deleted every 5 minutes, and removes a file a minute after (its defaults).
_BROKER_LATE_MS = 600_000
# Kafka's way to say "no bound" is the largest number that there is.
_UNBOUNDED_MS = 2**62
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))


class Lasting(msgspec.Struct, frozen=True):
    """When something is gone at the latest, and by what; `until_ms` None: no time can be told."""

    until_ms: int | None
    why: str


def of_record(configs: Mapping[str, str], written_ms: int) -> Lasting:
    """Of a record of that time, on a topic of events or scores.

    What is deleted is a segment of many records, once the last of them is old enough.
    """
    if "delete" not in configs["cleanup.policy"]:
        return Lasting(None, "never: cleanup.policy is compact, which keeps the last record of each key")
    retention_ms, segment_ms = int(configs["retention.ms"]), int(configs["segment.ms"])
    if retention_ms < 0:
        return Lasting(None, "never: retention.ms is -1, so nothing is deleted")
    why = f"by retention.ms ({_duration(retention_ms)}) after segment.ms ({_duration(segment_ms)})"
    return Lasting(written_ms + segment_ms + retention_ms + _BROKER_LATE_MS, why)


def of_older_rows(configs: Mapping[str, str], deleted_ms: int) -> Lasting:
    """Of the rows in the changelog that a deletion at that time has made out of date."""
    lag_ms = int(configs["max.compaction.lag.ms"])
    if lag_ms > _UNBOUNDED_MS:
        return Lasting(None, "when it is compacted: max.compaction.lag.ms is not set, so no time can be told")
    why = f"by max.compaction.lag.ms ({_duration(lag_ms)}), while the partition is written to"
    return Lasting(deleted_ms + lag_ms + _BROKER_LATE_MS, why)


def of_deletion(configs: Mapping[str, str], deleted_ms: int) -> Lasting:
    """Of the deletion in the changelog itself: the user's id, and nothing else."""
    rows = of_older_rows(configs, deleted_ms)
    if rows.until_ms is None:
        return rows
    lag_ms, kept_ms = int(configs["max.compaction.lag.ms"]), int(configs["delete.retention.ms"])
    why = f"by delete.retention.ms ({_duration(kept_ms)}), after and before max.compaction.lag.ms"
    return Lasting(rows.until_ms + kept_ms + lag_ms + _BROKER_LATE_MS, why)


def _duration(ms: int) -> str:
    name, unit = next((name, unit) for name, unit in _UNITS if ms % unit == 0 or unit == 1)
    return f"{ms // unit:,} {name}"
