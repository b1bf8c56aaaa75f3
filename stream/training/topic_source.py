"""The source topics between two times as one shop: every partition, read as it lies there and by no consumer group.

Times are those of the records. A topic that is behind its end holds the others back, as in serving's own catch-up after
an outage; one with far more than the others is not read further until they have caught up, so that memory is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from stream.decode import TimeBounds
from stream.errors import SettingsError
from stream.kafka.stretch import Stretch
from stream.merge import Source
from stream.settings import Settings
from stream.training.fraud_labels import Kinds
from stream.training.reading import Reading, moment
from stream.training.sources import Poll, nothing_known

# Events of a topic partition that wait for another topic until no more of it is fetched: about 20 MB.
_WAITING_MAX = 50_000


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
        begun_ms: int | None = None,
        ignore_refused: bool = False,
        waiting_max: int = _WAITING_MAX,
    ) -> None:
        """`begun_ms`: without an end, what was sent before then, so that it is the same when it is read again."""
        if since_ms is not None and until_ms is not None and since_ms >= until_ms:
            raise SettingsError(
                f"topics: expected a time to begin at that is before that to end at, got {moment(since_ms)} and "
                f"{moment(until_ms)}"
            )
        self.name = ", ".join(settings.source_topics)
        self.bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
        self.ignore_refused = ignore_refused
        self._settings, self._since_ms, self._until_ms, self._waiting_max = settings, since_ms, until_ms, waiting_max
        self._before_ms = begun_ms if until_ms is None else until_ms
        self._goes_on = False  # the topics hold something that is later than `until_ms`

    def polls(
        self, kinds: Kinds, reading: Reading, waiting: Mapping[Source, int], looked: Callable[[int], None]
    ) -> Iterator[Poll]:
        with asyncio.Runner() as runner:
            settings = self._settings
            stretch = runner.run(
                Stretch.find(settings.bootstrap_servers, settings.source_topics, self._since_ms, self._before_ms)
            )
            self._goes_on = stretch.goes_on
            try:
                while True:
                    frames, at_end, share = runner.run(stretch.fetch(waiting, self._waiting_max))
                    yield Poll(frames, [nothing_known(len(frame.records)) for frame in frames], at_end, share)
                    if share == 1.0:
                        break
            finally:
                runner.run(stretch.close())
            reading.notes += _notes(stretch)

    def end_ms(self, last_ms: int) -> int:
        until_ms = self._until_ms
        if until_ms is None:
            return last_ms + 1
        return until_ms if self._goes_on else min(until_ms, last_ms + 1)


def _notes(of: Stretch) -> Iterator[str]:
    """What is not there any more."""
    for topic, time_ms in of.cut.items():
        yield f"{topic} is whole from {moment(time_ms)} on: what was before that is deleted (its retention)."
    if of.cut:
        latest_ms = max(of.cut.values())
        yield f"What users did or bought before {moment(latest_ms)} is known in part only; from then on it is whole."
    for tp, records in of.lost.items():
        yield f"{tp.topic}[{tp.partition}]: {records:,} records were deleted while others were read (its retention)."
