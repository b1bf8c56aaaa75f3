"""The three topics of one partition -> one order: a k-way merge by running-maximum event time.

Ties go by topic, then offset. One topic partition is never reordered within itself: a row remembers only the last
offset applied of each, and a replay would skip what was left behind.

A topic that is behind its end holds the others back, so that a catch-up after an outage gives the order of live. One
read to its end holds nobody: a quiet purchases topic must not delay clicks. What then comes with an earlier time is
late, and is scored on arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.events import SOURCES, EventBatch

# A topic partition: (source, partition).
Source = tuple[int, int]

# Before any event: smaller than every event time, so that it never decides an order.
NO_ORDER_MS = -1


@dataclass(frozen=True, slots=True)
class Position:
    """Where a source stands: the first offset not yet applied, and the running maximum of event time before it."""

    offset: int
    order_ms: int = NO_ORDER_MS


class SourceQueue:
    """Decoded events of one topic partition that wait to be merged."""

    def __init__(self, position: Position | None = None) -> None:
        self._chunks: deque[EventBatch] = deque()
        self._taken = position
        self._read_to = position
        self.waiting = 0

    def put(self, events: EventBatch, next_offset: int) -> None:
        """Take over a decoded frame that ends before `next_offset`; it may be empty where every record was refused."""
        floor = self.order_ms
        if len(events):
            np.maximum(events["order_ms"], floor, out=events["order_ms"])
            floor = int(events["order_ms"][-1])
            self._chunks.append(events)
            self.waiting += len(events)
        self._read_to = Position(next_offset, floor)
        if not self.waiting:
            self._taken = self._read_to

    @property
    def order_ms(self) -> int:
        """No event that is still to come can have a smaller key in the merge."""
        return self._read_to.order_ms if self._read_to else NO_ORDER_MS

    @property
    def position(self) -> Position | None:
        """The first event not taken; None before anything is known of this source."""
        return self._taken

    def keys(self, n: int) -> NDArray[np.int64]:
        """The merge's keys of the first n events, or of all."""
        keys: list[NDArray[np.int64]] = []
        for chunk in self._chunks:
            if n <= 0:
                break
            keys.append(chunk["order_ms"][:n])
            n -= len(chunk)
        return np.concatenate(keys) if keys else np.empty(0, np.int64)

    def take(self, n: int) -> list[EventBatch]:
        """Take the first n events away, in pieces."""
        pieces = []
        self.waiting -= n
        while n:
            first = self._chunks.popleft()
            if len(first) > n:
                self._chunks.appendleft(first.take(slice(n, None)))
                first = first.take(slice(n))
            pieces.append(first)
            n -= len(first)
        if not self.waiting:
            self._taken = self._read_to
        elif pieces:
            self._taken = Position(int(pieces[-1]["offset"][-1]) + 1, int(pieces[-1]["order_ms"][-1]))
        return pieces


class PartitionMerge:
    """The three queues of one partition number, and the order that they make."""

    def __init__(self, positions: dict[int, Position] | None = None) -> None:
        self.queues = tuple(SourceQueue((positions or {}).get(source)) for source in SOURCES)

    def take(self, n: int, at_end: Sequence[bool]) -> EventBatch:
        """Up to n events in order, as far as no source that is not `at_end` can still come before."""
        if not any(queue.waiting for queue in self.queues):
            return EventBatch.concat([])
        # Among the first n of the merge, no source has more than its own first n.
        keys = [queue.keys(n) for queue in self.queues]
        behind = [(queue.order_ms, source) for source, queue in enumerate(self.queues) if not at_end[source]]
        if behind:
            order_ms, source = min(behind)
            keys = [
                column[: np.searchsorted(column, order_ms, side="right" if s <= source else "left")]
                for s, column in enumerate(keys)
            ]
        # They lie by source and offset, so a stable sort by key breaks ties by source, then offset.
        order = np.argsort(np.concatenate(keys), kind="stable")[:n]
        source_of = np.repeat(np.arange(len(SOURCES)), [len(column) for column in keys])
        counts = np.bincount(source_of[order], minlength=len(SOURCES)).tolist()
        events = EventBatch.concat([piece for s, queue in enumerate(self.queues) for piece in queue.take(counts[s])])
        # What is taken of each source is its first, so the order among the taken is that of their own keys.
        return events.take(np.argsort(events["order_ms"], kind="stable"))

    def held_by(self, at_end: Sequence[bool]) -> list[int]:
        """The sources with nothing to offer and not at their end, while others wait for them."""
        if not any(queue.waiting for queue in self.queues):
            return []
        return [s for s, queue in enumerate(self.queues) if not queue.waiting and not at_end[s]]
