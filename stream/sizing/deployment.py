"""What is set up."""

from __future__ import annotations

from dataclasses import dataclass

# Topics with as many partitions: three sources, erasures, two of scores, dead letters, changelog.
TOPICS = 8


@dataclass(frozen=True, slots=True)
class Deployment:
    """Of one consumer group."""

    workers: int
    partitions: int  # of each topic, all alike
    brokers: int
