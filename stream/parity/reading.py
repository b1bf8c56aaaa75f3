"""The source topics and the two score topics between two times -> events, and what was published of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from stream.decode import TimeBounds, decode
from stream.events import EventBatch, Frame
from stream.kafka.stretch import Stretch
from stream.model_file import LoadedModel
from stream.parity import places
from stream.parity.published import ANOMALY, INTENT, Bools, Collected
from stream.sequences import Ints
from stream.settings import Settings

# A broker takes records that are an hour ahead of its clock, so scores may be that much older than their events.
_AHEAD_MAX_MS = 3_600_000

# What is read, records so far, and the share of them that is read.
Progress = Callable[[str, int, float | None], None]


@dataclass(slots=True)
class Topics:
    """What lies on the topics."""

    intent: Collected
    anomaly: Collected
    whole: bool  # from the oldest record to the newest
    events: EventBatch = field(default_factory=lambda: EventBatch.concat([]))
    refused: int = 0  # records that are no events
    # Source topic partitions -> the first offset that was read, and the one after the last
    stretch: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def covers(self, place: Ints) -> Bools:
        """[N] whether an event that lies there would have been read, were it there."""
        if self.whole:
            return np.ones(len(place), np.bool_)
        covered = np.zeros(len(place), np.bool_)
        for (source, partition), (first, end) in self.stretch.items():
            least, most = (places.number(*np.array([[source], [partition], [at]])) for at in (first, end))
            covered |= (place >= least) & (place < most)
        return covered


async def read(
    settings: Settings, model: LoadedModel, since_ms: int | None, until_ms: int | None, progress: Progress
) -> Topics:
    """Events between two times of their records, where given, and all scores that may be of them."""
    sources = {topic: source for source, topic in enumerate(settings.source_topics)}
    found = Topics(
        Collected(INTENT, sources, model),
        Collected(ANOMALY, sources, model),
        whole=since_ms is None and until_ms is None,
    )
    bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
    servers, names = settings.bootstrap_servers, (settings.purchase_intent_topic, settings.anomaly_scores_topic)
    scores_since_ms = None if since_ms is None else since_ms - _AHEAD_MAX_MS
    # The end of the scores is looked at first: then none is read whose event came after the end of the events.
    async with stretch(servers, names, scores_since_ms, None) as scores:
        async with stretch(servers, settings.source_topics, since_ms, until_ms) as events:
            batches = []
            async for frame in frames(events, "events", progress):
                batch, rejects = decode(frame, bounds)
                batches.append(batch)
                found.refused += len(rejects)
                first, _ = found.stretch.get((frame.source, frame.partition), (frame.records[0].offset, 0))
                found.stretch[frame.source, frame.partition] = first, frame.next_offset
            found.events = EventBatch.concat(batches)
        async for frame in frames(scores, "scores", progress):
            (found.intent, found.anomaly)[frame.source].add(frame.records, f"{names[frame.source]}[{frame.partition}]")
    return found


@asynccontextmanager
async def stretch(
    servers: str, names: Sequence[str], since_ms: int | None, until_ms: int | None
) -> AsyncIterator[Stretch]:
    """What these topics hold between two times."""
    found = await Stretch.find(servers, names, since_ms, until_ms)
    try:
        yield found
    finally:
        await found.close()


async def frames(of: Stretch, what: str, progress: Progress) -> AsyncIterator[Frame]:
    """All of them; a frame's source is its topic's place among those asked for."""
    read_so_far, share = 0, 0.0
    while share < 1.0:
        frames, _, share = await of.fetch()
        for frame in frames:
            read_so_far += len(frame.records)
            yield frame
        progress(what, read_so_far, share)
