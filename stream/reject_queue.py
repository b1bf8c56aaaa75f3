"""Rejects that wait until all that came before them in their topic partition is applied.

Published any sooner, they would come again after a change of owner, who goes on from before them.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping

from stream.events import Reject
from stream.merge import Position, Source

_BYTES_OF_AN_EVENT = 4096  # in memory, and more


class RejectQueue:
    """Filled and emptied on the scoring thread; `waiting` and `room` may be read from another."""

    def __init__(self) -> None:
        self._queues: defaultdict[Source, deque[Reject]] = defaultdict(deque)
        # Both replaced, never changed.
        self.waiting: Counter[Source] = Counter()
        self.room: Counter[Source] = Counter()  # as many events would take in memory

    def put(self, rejects: Iterable[Reject]) -> None:
        """Append rejects; those of one topic partition come in offset order."""
        waiting, room = Counter[Source](), Counter[Source]()
        for reject in rejects:
            source = (reject.source, reject.partition)
            self._queues[source].append(reject)
            waiting[source] += 1
            room[source] += _room(reject)
        if waiting:
            self.waiting, self.room = self.waiting + waiting, self.room + room

    def take(self, positions: Callable[[], Mapping[Source, Position]]) -> list[Reject]:
        """Those that lie before their topic partition's position, which may be committed once they are published."""
        if not self._queues:
            return []
        passed, at_each = [], positions()
        waiting, room = Counter[Source](), Counter[Source]()
        for source, queue in list(self._queues.items()):
            at = at_each.get(source)
            while queue and at is not None and queue[0].offset < at.offset:
                passed.append(queue.popleft())
                waiting[source] += 1
                room[source] += _room(passed[-1])
            if not queue:
                del self._queues[source]
        if passed:
            self.waiting, self.room = self.waiting - waiting, self.room - room
        return passed

    def clear(self) -> None:
        self._queues.clear()
        self.waiting = self.room = Counter()


def _room(reject: Reject) -> int:
    return 1 + len(reject.value or b"") // _BYTES_OF_AN_EVENT
