"""Polls of a shop -> its events in the order in which serving applies them, with what is known beside each.

Serving's own `decode` and `merge` do it. What it would send to dead letters is counted, and nothing else is lost by it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream import structured
from stream.decode import decode
from stream.events import SOURCES, EventBatch, Frame, Record
from stream.merge import PartitionMerge, Source
from stream.training.fraud_labels import Kinds
from stream.training.reading import Reading
from stream.training.sources import BESIDE, Shop


class Merged(NamedTuple):
    """The next N events of a partition number, in the order in which they are applied."""

    events: EventBatch
    beside: NDArray[np.void]  # [N] of BESIDE
    share: float | None  # of the shop that is read


class _Session(msgspec.Struct, gc=False):
    session_id: str | int | float | None = None


_decode = msgspec.json.Decoder(_Session).decode


def merged(shop: Shop, kinds: Kinds, reading: Reading, looked: Callable[[int], None]) -> Iterator[Merged]:
    """Go through the shop once; `reading` counts."""
    partitions: defaultdict[int, _Partition] = defaultdict(_Partition)
    waiting: dict[Source, int] = {}
    for poll in shop.polls(kinds, reading, waiting, looked):
        for frame, of_records in zip(poll.frames, poll.beside, strict=True):
            events, rejects = decode(frame, shop.bounds)
            reading.refuse(rejects)
            records, beside = _of(events, frame.records, of_records)
            beside["session"] = [_session_hash(record.value) for record in records]
            partitions[frame.partition].put(frame, events, beside)
        for number, partition in partitions.items():
            taken, beside = partition.take(number, poll.at_end)
            waiting |= {(source, number): queue.waiting for source, queue in enumerate(partition.queues)}
            if len(taken):
                reading.see([int(taken["time_ms"].min()), int(taken["time_ms"].max())], len(taken))
                yield Merged(taken, beside, poll.share)


class _Partition:
    """The merge of a partition number, and what lies beside the events that wait in it."""

    def __init__(self) -> None:
        self._merge = PartitionMerge()
        self._beside: tuple[deque[NDArray[np.void]], ...] = tuple(deque() for _ in SOURCES)
        self.queues = self._merge.queues

    def put(self, frame: Frame, events: EventBatch, beside: NDArray[np.void]) -> None:
        self.queues[frame.source].put(events, frame.next_offset)
        if len(beside):
            self._beside[frame.source].append(beside)

    def take(self, number: int, at_end: Collection[Source] | None) -> tuple[EventBatch, NDArray[np.void]]:
        """All that no topic that is not at its end can still come before."""
        waiting = sum(queue.waiting for queue in self.queues)
        events = self._merge.take(waiting, [at_end is None or (s, number) in at_end for s in SOURCES])
        beside = np.empty(len(events), BESIDE)
        for source in SOURCES:
            # Of one topic the merge takes the first ones, and leaves them in their order.
            of_source = np.flatnonzero(events["source"] == source)
            beside[of_source] = self._first(source, len(of_source))
        return events, beside

    def _first(self, source: int, n: int) -> NDArray[np.void]:
        pieces = [np.empty(0, BESIDE)]
        waiting = self._beside[source]
        while n:
            piece = waiting.popleft()
            if len(piece) > n:
                waiting.appendleft(piece[n:])
                piece = piece[:n]
            pieces.append(piece)
            n -= len(piece)
        return structured.concat(pieces)


def _of(
    events: EventBatch, records: Sequence[Record], beside: NDArray[np.void]
) -> tuple[Sequence[Record], NDArray[np.void]]:
    """The records of which decoding made these events, and what lies beside them."""
    if len(events) == len(records):
        return records, beside
    kept = np.searchsorted([record.offset for record in records], events["offset"])
    return [records[place] for place in kept.tolist()], structured.take(beside, kept)


def _session_hash(value: bytes | None) -> int:
    """Of the session id, which serving does not decode; 0 where there is none, or what is no id."""
    try:
        session = _decode(value or b"{}").session_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # serving looks at none of it
        return 0
    return (xxh3_64_intdigest(str(session).encode()) or 1) if session not in (None, "") else 0
