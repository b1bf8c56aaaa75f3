"""How fast the core alone is on this machine: one thread, no Kafka. A worker's figures are read beside it, since a
shared machine is half as fast again from one minute to the next."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from xxhash import xxh3_64_intdigest

from stream import model_file
from stream.encode import Encoder
from stream.events import SOURCES, Frame, Record, TimeBounds, decode_all
from stream.intake import DecodedFrame, Intake
from stream.pipeline import Pipeline
from stream.scorer import Scorer, pick_device
from stream.settings import Settings
from stream.shop_event import ROLES, ShopEvent
from stream.table import Table


@dataclass(slots=True)
class _Record:
    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


def core_events_per_second(settings: Settings, events: Sequence[ShopEvent]) -> float:
    """Events per second from records to score records, in batches of the settings' size."""
    torch.set_num_threads(settings.torch_threads)
    loaded, device = model_file.load(settings.model), pick_device(settings.device)
    sizes = loaded.card.sizes
    table = Table(
        sequence=settings.sequence_events,
        layers=sizes.layers,
        hidden=sizes.hidden,
        model=loaded.hash64,
        device=device,
        fetch_rows=lambda partition, keys: [None] * len(keys),
    )
    pipeline = Pipeline(
        table,
        Scorer(loaded.model, device),
        loaded.card.statistics,
        loaded.card.normal_traffic,
        max_steps=settings.batch_max_steps,
    )
    encoder = Encoder(
        topics=settings.source_topics, model=loaded.name, model_hash=loaded.hash, horizons_secs=sizes.horizons_secs
    )
    intake = Intake(hold_max_ms=settings.merge_hold_max_ms)
    for partition in range(settings.partitions):
        intake.start(partition, {})
    at_end = {(source, partition) for source in SOURCES for partition in range(settings.partitions)}
    bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
    polls = _polls(events, settings)

    started = time.perf_counter()
    for poll in polls:
        for frames in poll:
            for frame, decoded in zip(frames, decode_all(frames, bounds), strict=True):
                intake.put(DecodedFrame(frame.source, frame.partition, frame.next_offset, *decoded))
        intake.absorb()
        while len(taken := intake.take(settings.batch_max_events, at_end, 0)):
            scored, deferred = pipeline.apply(taken)
            intake.defer(deferred)
            for _ in encoder.scores(scored, 0):
                pass
    return len(events) / (time.perf_counter() - started)


def _polls(events: Sequence[ShopEvent], settings: Settings) -> list[list[list[Frame]]]:
    """What polls of a batch's size would bring: for each, the frames of each source."""
    offsets: defaultdict[tuple[int, int], int] = defaultdict(int)
    polls = []
    for start in range(0, len(events), settings.batch_max_events):
        runs: defaultdict[tuple[int, int], list[Record]] = defaultdict(list)
        for event in events[start : start + settings.batch_max_events]:
            place = ROLES.index(event.topic), xxh3_64_intdigest(event.key) % settings.partitions
            runs[place].append(_Record(event.key, event.value, offsets[place], event.time_ms))
            offsets[place] += 1
        frames = [Frame(*place, run, offsets[place]) for place, run in runs.items()]
        polls.append([of for source in SOURCES if (of := [frame for frame in frames if frame.source == source])])
    return polls
