"""What waits to be scored: decoded frames in, micro-batches out, and the offsets that may be committed once they are
applied.

Frames are put, started and counted on the event loop's thread; they are taken on the scoring thread. An event of a user
who has had their share of a micro-batch is deferred to the next ones, never dropped: a row remembers its own offsets,
so others may overtake, and a commit stops before the first event not applied. Deferred events take no room of others'.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from stream.deferred import Deferred, share
from stream.events import SOURCES, EventBatch, Reject
from stream.merge import PartitionMerge, Position, Source

logger = logging.getLogger(__name__)


class DecodedFrame(NamedTuple):
    """What became of a frame's records, all of which lie before `next_offset`."""

    source: int
    partition: int
    next_offset: int
    events: EventBatch
    rejects: Sequence[Reject]


class Intake:
    """Queues of all owned partitions.

    `put`, `queued`, `deferred` and `holds_any` may be called from another thread, `positions` between two batches.
    """

    def __init__(self, *, hold_max_ms: int, steps: int) -> None:
        """Of a user with deferred events, `steps` of them are taken at a time."""
        self._hold_max_ms, self._steps = hold_max_ms, steps
        self._frames: deque[DecodedFrame] = deque()
        self._merges: dict[int, PartitionMerge] = {}
        self._deferred = Deferred()
        self._held_back: Collection[int] = frozenset()
        self._held_since_ms: dict[Source, int] = {}
        self._given_up: set[Source] = set()
        self.holds_given_up = 0

    def start(self, partition: int, positions: Mapping[int, Position]) -> None:
        """Own a partition, from the given position of each source on."""
        self._merges[partition] = PartitionMerge(dict(positions))

    def clear(self) -> None:
        """Own nothing, hold nothing: what was not applied comes again from the committed offsets."""
        self._frames.clear()
        self._merges.clear()
        self._deferred.clear()
        self._held_back = frozenset()
        self._held_since_ms.clear()
        self._given_up.clear()

    def hold_back(self, partitions: Collection[int]) -> None:
        """Take nothing new of these partitions, until told otherwise; what was deferred of them still comes."""
        self._held_back = frozenset(partitions)

    def put(self, frame: DecodedFrame) -> None:
        """Append a frame; frames of one topic partition come in offset order."""
        self._frames.append(frame)

    def absorb(self) -> list[Reject]:
        """Queue what was put -> its rejects, to be published before the positions that go past them are committed."""
        rejects: list[Reject] = []
        for _ in range(len(self._frames)):
            frame = self._frames.popleft()
            self._merges[frame.partition].queues[frame.source].put(frame.events, frame.next_offset)
            rejects += frame.rejects
        return rejects

    def take(self, n: int, at_end: Collection[Source], now_ms: int) -> EventBatch:
        """Up to n events: a share of what was deferred of each user, then every partition's share of what the merge
        lets through.

        `at_end` holds the topic partitions read to their end, as they were before `absorb`.
        """
        queued = self._total()
        again = self._deferred.take(share(self._steps, min(n, queued)), max(n // 2, n - queued))
        room = n - len(again)
        taken: list[EventBatch] = []
        ready = {
            p: [self._gave_up(s, p, at_end, now_ms) or (s, p) in at_end for s in SOURCES]
            for p in self._merges.keys() - self._held_back
        }
        # Two rounds: equal shares, so that a backlog in one partition delays no other; then what is left of the room.
        for most in (max(1, room // max(1, len(ready))), room):
            for partition, ends in ready.items():
                if room > 0:
                    events = self._merges[partition].take(min(most, room), ends)
                    room -= len(events)
                    taken.append(events)
        news = self._deferred.keep_behind(EventBatch.concat([events for events in taken if len(events)]))
        return EventBatch.concat([events for events in (again, news) if len(events)])

    def defer(self, events: EventBatch) -> None:
        """Give back events of the last `take` that were not applied; they come again before others of their users."""
        self._deferred.put_back(events)

    @property
    def deferred(self) -> Counter[Source]:
        """Events per topic partition that were taken and not applied."""
        return self._deferred.waiting

    def queued(self) -> Counter[Source]:
        """Events per topic partition not yet taken."""
        waiting = Counter({(s, p): q.waiting for p, merge in self._merges.items() for s, q in enumerate(merge.queues)})
        for frame in list(self._frames):
            waiting[frame.source, frame.partition] += len(frame.events)
        return waiting

    def holds_any(self) -> bool:
        """Whether events wait that were put."""
        return bool(self._frames) or len(self._deferred) > 0 or self._total() > 0

    def positions(self) -> dict[Source, Position]:
        """Per source, the first event not applied, given that all taken and not deferred ones are."""
        positions = {
            (source, partition): queue.position
            for partition, merge in self._merges.items()
            for source, queue in enumerate(merge.queues)
            if queue.position is not None
        }
        return positions | self._deferred.positions()

    def _total(self) -> int:
        return sum(queue.waiting for merge in self._merges.values() for queue in merge.queues)

    def _gave_up(self, source: int, partition: int, at_end: Collection[Source], now_ms: int) -> bool:
        """Whether a source that cannot be read has held the others for longer than the limit."""
        key = (source, partition)
        merge = self._merges[partition]
        if source not in merge.held_by([(s, partition) in at_end for s in SOURCES]):
            self._held_since_ms.pop(key, None)
            self._given_up.discard(key)
            return False
        since = self._held_since_ms.setdefault(key, now_ms)
        if now_ms - since < self._hold_max_ms:
            return False
        if key not in self._given_up:
            self._given_up.add(key)
            self.holds_given_up += 1
            logger.warning(
                "source %d of partition %d is behind its end and gave nothing for %d ms; going on without it "
                "(its events will be late)", source, partition, now_ms - since,
            )  # fmt: skip
        return True
