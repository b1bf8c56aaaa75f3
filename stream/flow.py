"""What waits where between the consumer and the scorer, and what the consumer is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from faust.types.tuples import TP

from stream.events import Frame
from stream.frame_decoder import FrameDecoder
from stream.intake import DecodedFrame, Intake
from stream.merge import Source
from stream.record_batches import next_offset
from stream.reject_queue import RejectQueue
from stream.settings import Settings

# Events of the busiest users may wait beyond the limit on what waits, so that they hold up nobody else.
_DEFERRED_TIMES = 8


class Reach(Protocol):
    """What this asks of the consumer, and says to it."""

    def at_end(self) -> frozenset[TP]: ...
    def delivered(self, tp: TP) -> None: ...
    def lag(self) -> dict[TP, int]: ...
    def set_full(self, full: set[TP]) -> None: ...


class Flow:
    """From the consumer through the decoder into the intake; a topic partition with enough waiting is held back."""

    def __init__(
        self,
        settings: Settings,
        *,
        decoder: FrameDecoder,
        intake: Intake,
        rejects: RejectQueue,
        reach: Callable[[], Reach],
        also_full: Callable[[], set[TP]],
    ) -> None:
        """`also_full`: of what is not delivered here, that of which enough waits."""
        self._limit, self._topics = settings.buffer_max_events, settings.read_topics
        self._source_of = {topic: source for source, topic in enumerate(settings.source_topics)}
        self._decoder, self._intake, self._rejects, self._reach = decoder, intake, rejects, reach
        self._also_full = also_full

    def topic(self, source: int) -> str:
        """Its name."""
        return self._topics[source]

    def deliver(self, frames: Iterable[tuple[TP, Sequence[Any]]]) -> None:
        """Take the records of some topic partitions, to be decoded."""
        for tp, records in frames:
            self._decoder.put(Frame(self._source_of[tp.topic], tp.partition, records, next_offset(records)))
        self.hold_back_the_full()

    def decoded(self, frames: Sequence[DecodedFrame]) -> None:
        """They wait to be merged from here on."""
        for frame in frames:
            self._intake.put(frame)
            self._reach().delivered(TP(self.topic(frame.source), frame.partition))

    def hold_back_the_full(self) -> None:
        """Have no more fetched where enough waits, and fetched again where there is room."""
        queued = self._decoder.waiting + self._intake.queued() + self._rejects.room
        full = {place for place, n in queued.items() if n >= self._limit}
        full |= {place for place, n in self._intake.deferred.items() if n >= _DEFERRED_TIMES * self._limit}
        places = {TP(self.topic(source), partition) for source, partition in full}
        self._reach().set_full(places | self._also_full())

    def waiting(self) -> Counter[Source]:
        """Records that were fetched and are not yet applied."""
        return self._decoder.waiting + self._intake.queued() + self._intake.deferred + self._rejects.waiting

    def at_end(self) -> set[Source]:
        """The source partitions that are read to their end."""
        sources = self._source_of
        return {(sources[tp.topic], tp.partition) for tp in self._reach().at_end() if tp.topic in sources}

    def lag(self) -> dict[tuple[str, int], int]:
        """By topic and partition, records that are not yet applied, fetched or not."""
        waiting = self.waiting()
        return {
            (tp.topic, tp.partition): behind + waiting.get((self._source_of[tp.topic], tp.partition), 0)
            for tp, behind in self._reach().lag().items()
            if tp.topic in self._source_of
        }
