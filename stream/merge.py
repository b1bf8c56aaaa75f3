"""The three topics of one partition -> one order: a k-way merge by running-maximum event time.

Ties go by topic, then offset. One topic partition is never reordered within itself: a row remembers only the last offset
applied of each, and a replay would skip what was left behind.

A topic that is behind its end holds the others back, so that a catch-up after an outage gives the order of live. One
read to its end holds nobody: a quiet purchases topic must not delay clicks. What then comes with an earlier time is
late, and is scored on arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stream.events import SOURCES, EventBatch

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
        """Append a decoded frame that ends before `next_offset`; it may be empty where every record was refused."""
        floor = self.order_ms
        if len(events):
            events = replace(events, order_ms=np.maximum(events.order_ms, floor))
            floor = int(events.order_ms[-1])
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

    def head(self, n: int) -> EventBatch:
        """The first n events, or all, without taking them."""
        chunks, have = [], 0
        for chunk in self._chunks:
            if have >= n:
                break
            chunks.append(chunk.take(slice(n - have)))
            have += len(chunks[-1])
        return EventBatch.concat(chunks)

    def drop(self, n: int) -> None:
        """Take the first n events away."""
        self.waiting -= n
        while n:
            first = self._chunks.popleft()
            taken = min(n, len(first))
            if taken < len(first):
                self._chunks.appendleft(first.take(slice(taken, None)))
            self._taken = Position(int(first.offset[taken - 1]) + 1, int(first.order_ms[taken - 1]))
            n -= taken
        if not self.waiting:
            self._taken = self._read_to


class PartitionMerge:
    """The three queues of one partition number, and the order that they make."""

    def __init__(self, positions: dict[int, Position] | None = None) -> None:
        self.queues = tuple(SourceQueue((positions or {}).get(source)) for source in SOURCES)

    def take(self, n: int, at_end: Sequence[bool]) -> EventBatch:
        """Up to n events in order, as far as no source that is behind its end (`at_end` False) can still come before."""
        limit = min(
            ((queue.order_ms, source) for source, queue in enumerate(self.queues) if not at_end[source]), default=None
        )
        # Among the first n of the merge, no source has more than its own first n.
        heads = EventBatch.concat([queue.head(n) for queue in self.queues if queue.waiting])
        if limit is not None:
            order_ms, source = limit
            heads = heads.take((heads.order_ms < order_ms) | ((heads.order_ms == order_ms) & (heads.source <= source)))
        # Heads lie by source and offset, so a stable sort by key breaks ties by source, then offset.
        merged = heads.take(np.argsort(heads.order_ms, kind="stable")[:n])
        for source, taken in enumerate(np.bincount(merged.source, minlength=len(SOURCES)).tolist()):
            self.queues[source].drop(taken)
        return merged

    def held_by(self, at_end: Sequence[bool]) -> list[int]:
        """The sources with nothing to offer and not at their end, while others wait for them."""
        if not any(queue.waiting for queue in self.queues):
            return []
        return [s for s, queue in enumerate(self.queues) if not queue.waiting and not at_end[s]]
