"""The source topics between two times as one shop: every partition, read as it lies there and by no consumer group.

Times are those of the records. A topic that is behind its end holds the others back, as in serving's own catch-up after
an outage; one with far more than the others is not read further until they have caught up, so that memory is bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from stream.decode import TimeBounds
from stream.errors import BrokerError, SettingsError
from stream.events import Frame
from stream.intake import Source
from stream.kafka import topics
from stream.settings import Settings
from stream.training.fraud_labels import Kinds
from stream.training.reading import Reading, moment
from stream.training.sources import Poll, nothing_known

# Events of a topic partition that wait for another topic until no more of it is fetched: about 20 MB.
_WAITING_MAX = 50_000
_POLL_MS = 500
# A broker that has records and sends none for so long is taken for gone. Its own elections take 10 s.
_STALL_SECS = 60.0


class TopicShop:
    """What lies on the source topics of `settings`, from `since_ms` on and before `until_ms`, where given.

    Without `until_ms`, up to the ends that the topics have when reading begins.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        ignore_refused: bool = False,
        waiting_max: int = _WAITING_MAX,
    ) -> None:
        if since_ms is not None and until_ms is not None and since_ms >= until_ms:
            raise SettingsError(
                f"topics: expected a time to begin at that is before that to end at, got {moment(since_ms)} and "
                f"{moment(until_ms)}"
            )
        self.name = ", ".join(settings.source_topics)
        self.bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
        self.ignore_refused = ignore_refused
        self._settings, self._since_ms, self._until_ms, self._waiting_max = settings, since_ms, until_ms, waiting_max
        self._goes_on = False  # the topics hold something that is later than `until_ms`

    def polls(
        self, kinds: Kinds, reading: Reading, waiting: Mapping[Source, int], looked: Callable[[int], None]
    ) -> Iterator[Poll]:
        with asyncio.Runner() as runner:
            stretch = runner.run(_Stretch.find(self._settings, self._since_ms, self._until_ms))
            self._goes_on = stretch.goes_on
            try:
                while True:
                    yield (poll := runner.run(stretch.poll(waiting, self._waiting_max)))
                    if poll.share == 1.0:
                        break
            finally:
                runner.run(stretch.close())
            reading.notes += stretch.notes()

    def end_ms(self, last_ms: int) -> int:
        until_ms = self._until_ms
        if until_ms is None:
            return last_ms + 1
        return until_ms if self._goes_on else min(until_ms, last_ms + 1)


class _Stretch:
    """The offsets from which to which each topic partition is read, and how far that is."""

    def __init__(self, consumer: Any, bootstrap_servers: str, source_of: Mapping[TopicPartition, Source]) -> None:
        self._consumer, self._bootstrap_servers, self._source_of = consumer, bootstrap_servers, source_of
        self._begin: dict[TopicPartition, int] = {}
        self._end: dict[TopicPartition, int] = {}
        self._at: dict[TopicPartition, int] = {}
        self._cut: dict[TopicPartition, int | None] = {}  # deleted before where it begins -> time of the first record
        self._lost: dict[TopicPartition, int] = {}  # records that were deleted while others were read
        self.goes_on = False

    @classmethod
    async def find(cls, settings: Settings, since_ms: int | None, until_ms: int | None) -> _Stretch:
        partitions = await topics.source_partitions(settings)
        source_of = {
            TopicPartition(topic, number): (source, number)
            for source, topic in enumerate(settings.source_topics)
            for number in range(partitions)
        }
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
        )
        stretch = cls(consumer, settings.bootstrap_servers, source_of)
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

    async def poll(self, waiting: Mapping[Source, int], waiting_max: int) -> Poll:
        """The next records: some, unless none is left."""
        try:
            return await self._poll(waiting, waiting_max)
        except (KafkaError, OSError) as error:
            raise self._failed(error) from error

    async def _poll(self, waiting: Mapping[Source, int], waiting_max: int) -> Poll:
        before, deadline = dict(self._at), time.monotonic() + _STALL_SECS
        frames: list[Frame] = []
        while unread := [tp for tp in self._source_of if self._at[tp] < self._end[tp]]:
            self._pause(waiting, waiting_max)
            frames = await self._fetch(unread)
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
        share = 1.0 - left / total if left else 1.0
        return Poll(frames, [nothing_known(len(frame.records)) for frame in frames], at_end, share)

    async def _fetch(self, unread: list[TopicPartition]) -> list[Frame]:
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
            self._lost[tp] = self._lost.get(tp, 0) + there - self._at[tp]
            self._at[tp] = there
            self._consumer.seek(tp, there)

    def notes(self) -> list[str]:
        """What is not there any more."""
        said = []
        begins: dict[str, int] = {}
        for tp, time_ms in self._cut.items():
            if time_ms is not None:
                begins[tp.topic] = max(time_ms, begins.get(tp.topic, time_ms))
        for topic, time_ms in begins.items():
            said.append(f"{topic} is whole from {moment(time_ms)} on: what was before that is deleted (its retention).")
        if begins:
            latest_ms = max(begins.values())
            said.append(
                f"What users did or bought before {moment(latest_ms)} is known in part only; from then on it is whole."
            )
        for tp, records in self._lost.items():
            said.append(
                f"{tp.topic}[{tp.partition}]: {records:,} records were deleted while others were read (its retention)."
            )
        return said

    async def close(self) -> None:
        await self._consumer.stop()

    def _failed(self, error: BaseException) -> BrokerError:
        return BrokerError(f"broker {self._bootstrap_servers}: expected to read the source topics, got {error!r}")
