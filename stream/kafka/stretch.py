"""Topics between two times: every partition of them, read as it lies there and by no consumer group.

Times are those of the records. A reader for which a topic partition is too far ahead of the others says so, and no more
of it is fetched until they have caught up, so that memory is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from stream.errors import BrokerError
from stream.events import Frame
from stream.kafka import topics
from stream.merge import Source

_POLL_MS = 500
# A broker that has records and sends none for so long is taken for gone. Its own elections take 10 s.
_STALL_SECS = 60.0
Isolation = Literal["read_committed", "read_uncommitted"]
_NONE_WAIT: Mapping[Source, int] = {}


class Fetched(NamedTuple):
    """What one fetch brought; a frame's source is its topic's place among those asked for."""

    frames: Sequence[Frame]
    at_end: Collection[Source]  # topic partitions that are read to their end with this
    share: float  # of the stretch that is read with this; 1: all


class Stretch:
    """The offsets from which to which each topic partition is read, and how far that is."""

    def __init__(self, consumer: Any, bootstrap_servers: str, source_of: Mapping[TopicPartition, Source]) -> None:
        self._consumer, self._bootstrap_servers, self._source_of = consumer, bootstrap_servers, source_of
        self._names = dict.fromkeys(tp.topic for tp in source_of)
        self._begin: dict[TopicPartition, int] = {}
        self._end: dict[TopicPartition, int] = {}
        self._at: dict[TopicPartition, int] = {}
        self._cut: dict[TopicPartition, int | None] = {}  # deleted before where it begins -> time of the first record
        self.lost: dict[TopicPartition, int] = {}  # records that were deleted while others were read
        self.goes_on = False  # there is something that is later than `until_ms`

    @classmethod
    async def find(
        cls,
        bootstrap_servers: str,
        names: Sequence[str],
        since_ms: int | None,
        until_ms: int | None,
        isolation: Isolation = "read_committed",
    ) -> Self:
        """What these topics hold now, from `since_ms` on and before `until_ms` (the records' times), where given.

        SettingsError where a topic is missing or they differ in their partition counts, BrokerError without a broker.
        """
        partitions = await topics.equal_partitions(bootstrap_servers, names)
        source_of = {
            TopicPartition(topic, number): (source, number)
            for source, topic in enumerate(names)
            for number in range(partitions)
        }
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            isolation_level=isolation,
            enable_auto_commit=False,
            auto_offset_reset="none",
        )
        stretch = cls(consumer, bootstrap_servers, source_of)
        try:
            await consumer.start()
            consumer.assign(list(source_of))
            consumer.pause(*source_of)  # until it is known from where to where each is read
            await stretch._bound(since_ms, until_ms)
        except BaseException as error:
            await consumer.stop()
            if isinstance(error, KafkaError | OSError):
                raise stretch._failed(error) from error
            raise
        return stretch

    async def _bound(self, since_ms: int | None, until_ms: int | None) -> None:
        consumer, all_of_them = self._consumer, list(self._source_of)
        oldest, ends = await consumer.beginning_offsets(all_of_them), await consumer.end_offsets(all_of_them)
        self._end, self._begin = dict(ends), dict(oldest)
        if since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(all_of_them, since_ms))
            self._begin = {tp: min(at.offset, ends[tp]) if at else ends[tp] for tp, at in found.items()}
        if until_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(all_of_them, until_ms))
            self.goes_on = any(at is not None for at in found.values())
            self._end = {tp: min(at.offset, ends[tp]) if at else ends[tp] for tp, at in found.items()}
        self._cut = {tp: None for tp in all_of_them if 0 < oldest[tp] == self._begin[tp] < self._end[tp]}
        self._at = dict(self._begin)
        for tp, offset in self._at.items():
            consumer.seek(tp, offset)

    async def fetch(self, waiting: Mapping[Source, int] = _NONE_WAIT, waiting_max: int = 0) -> Fetched:
        """The next records: some, unless none is left. Nothing more of a topic partition of which more than
        `waiting_max` wait with whoever reads."""
        try:
            return await self._next(waiting, waiting_max)
        except (KafkaError, OSError) as error:
            raise self._failed(error) from error

    async def _next(self, waiting: Mapping[Source, int], waiting_max: int) -> Fetched:
        before, deadline = dict(self._at), time.monotonic() + _STALL_SECS
        frames: list[Frame] = []
        while unread := [tp for tp in self._source_of if self._at[tp] < self._end[tp]]:
            self._pause(waiting, waiting_max)
            frames = await self._frames(unread)
            if self._at != before:
                break
            if time.monotonic() > deadline:
                tp = unread[0]
                raise BrokerError(
                    f"broker {self._bootstrap_servers}: expected records of {tp.topic}[{tp.partition}] from offset "
                    f"{self._at[tp]} to {self._end[tp]}, got none in {_STALL_SECS:.0f} s"
                )
        at_end = {source for tp, source in self._source_of.items() if self._at[tp] >= self._end[tp]}
        total = sum(max(0, self._end[tp] - self._begin[tp]) for tp in self._source_of)
        left = sum(max(0, self._end[tp] - self._at[tp]) for tp in self._source_of)
        return Fetched(frames, at_end, 1.0 - left / total if left else 1.0)

    async def _frames(self, unread: list[TopicPartition]) -> list[Frame]:
        """What came of those that are not read to their end."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
        except OffsetOutOfRangeError as error:
            await self._skip_deleted(list(error.args[0]))
            return []
        frames = []
        for tp in unread:
            self._at[tp] = min(await self._consumer.position(tp), self._end[tp])
            records = [record for record in fetched.get(tp, ()) if record.offset < self._end[tp]]
            if records:
                if self._cut.get(tp, 0) is None:
                    self._cut[tp] = records[0].timestamp
                frames.append(Frame(*self._source_of[tp], records, self._at[tp]))
        return frames

    def _pause(self, waiting: Mapping[Source, int], waiting_max: int) -> None:
        for tp, source in self._source_of.items():
            if self._at[tp] >= self._end[tp] or waiting.get(source, 0) > waiting_max:
                self._consumer.pause(tp)
            elif tp in self._consumer.paused():
                self._consumer.resume(tp)

    async def _skip_deleted(self, deleted: list[TopicPartition]) -> None:
        oldest = await self._consumer.beginning_offsets(deleted)
        for tp in deleted:
            there = min(oldest[tp], self._end[tp])
            self.lost[tp] = self.lost.get(tp, 0) + there - self._at[tp]
            self._at[tp] = there
            self._consumer.seek(tp, there)

    @property
    def cut(self) -> dict[str, int]:
        """Topics of whose stretch something was deleted before it was read -> the time from which they are whole."""
        begins: dict[str, int] = {}
        for tp, time_ms in self._cut.items():
            if time_ms is not None:
                begins[tp.topic] = max(time_ms, begins.get(tp.topic, time_ms))
        return begins

    async def close(self) -> None:
        await self._consumer.stop()

    def _failed(self, error: BaseException) -> BrokerError:
        return BrokerError(
            f"broker {self._bootstrap_servers}: expected to read {', '.join(self._names)}, got {error!r}"
        )
