"""Shop events -> the frames that would be fetched of them, without Kafka: for training and for measuring the core."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

from stream.events import Frame, Record
from stream.shop_event import ROLES, ShopEvent


@dataclass(slots=True)
class _Record:
    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


class ShopFrames:
    """Topics of so many partitions, of which it remembers how far they reach."""

    def __init__(self, partitions: int = 1) -> None:
        self._partitions = partitions
        self._ends: defaultdict[tuple[int, int], int] = defaultdict(int)

    def append(self, events: Iterable[ShopEvent]) -> list[Frame]:
        """The frames of one poll that brings these events: one per topic partition that has any, the records in order.

        A record's timestamp is when its event was sent. A user is in one partition number of all topics, if not in
        that of Kafka's own hash.
        """
        runs: defaultdict[tuple[int, int], list[Record]] = defaultdict(list)
        for event in events:
            place = ROLES.index(event.topic), xxh3_64_intdigest(event.key) % self._partitions
            runs[place].append(_Record(event.key, event.value, self._ends[place], event.sent_ms))
            self._ends[place] += 1
        return [Frame(*place, run, self._ends[place]) for place, run in runs.items()]
