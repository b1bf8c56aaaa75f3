"""What must have become of a round's records: the core itself, run over them offline, in one process without a fault.

Loaded beforehand, the order is that of the merge. Live, it depends on what arrived when, so it is read back from what
was published, and events are then applied user by user in that order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from stream.assembly import Core, assemble
from stream.decode import decode
from stream.encode import Scored
from stream.events import SOURCES, EventBatch, Frame
from stream.intake import DecodedFrame, Intake
from stream.model_file import LoadedModel
from stream.rows import HEADER
from stream.settings import Settings
from tests.faults.verdict import ANOMALY, INTENT, Event, Expected, Found, Score, Where, repeats_of_events
from tests.shop import no_rows

_BATCH_EVENTS = 4096


class Decoded(NamedTuple):
    """The records of the source topics, by the core's own decoding."""

    frames: Sequence[DecodedFrame]  # one of each topic partition that has records
    events: Mapping[Where, Event]
    rejects: Mapping[Where, str]


def decoded(records: Sequence[Any], settings: Settings, model: LoadedModel) -> Decoded:
    """Of all records of the source topics, those of a partition in their order."""
    core = assemble(settings, model, torch.device("cpu"), no_rows)
    runs: defaultdict[tuple[int, int], list[Any]] = defaultdict(list)
    for record in records:
        runs[settings.source_topics.index(record.topic), record.partition].append(record)
    frames, events, rejects = [], dict[Where, Event](), dict[Where, str]()
    for (source, partition), run in runs.items():
        frame = Frame(source, partition, run, run[-1].offset + 1)
        batch, refused = decode(frame, core.bounds)
        frames.append(DecodedFrame(source, partition, frame.next_offset, batch, refused))
        rejects |= {Where(source, partition, reject.offset): reject.reason for reject in refused}
        for where, key, event_id, time_ms in zip(
            _wheres(batch), batch.key, batch.event_id, batch["record_time_ms"].tolist(), strict=True
        ):
            events[where] = Event(where, key, event_id, time_ms)
    return Decoded(frames, events, rejects)


def loaded(read: Decoded, settings: Settings, model: LoadedModel) -> Expected:
    """In the order of the merge, which is that of any worker that found them on the topics."""
    core = assemble(settings, model, torch.device("cpu"), no_rows)
    intake, at_end = (
        Intake(hold_max_ms=settings.merge_hold_max_ms, steps=settings.batch_max_steps),
        set[tuple[int, int]](),
    )
    for partition in range(settings.partitions):
        intake.start(partition, {})
        at_end |= {(source, partition) for source in SOURCES}
    for frame in read.frames:
        intake.put(frame)
    intake.absorb()
    results = []
    while len(batch := intake.take(_BATCH_EVENTS, at_end, 0)):
        outcome = core.pipeline.apply(batch)
        intake.defer(outcome.deferred)
        results.append(outcome.scored)
    return _expected(read, results, core, settings)


def live(read: Decoded, found: Found, settings: Settings, model: LoadedModel) -> Expected:
    """In the order that `events_seen` tells: of an event that was scored more than once, by the last score.

    An event whose id another one of the user has may have been passed over; one of them must have been scored. What has
    no score at all, and is no such repeat, is in `events` only.
    """
    whole = msgspec.structs.replace(settings, batch_max_steps=1 << 20)  # nothing is deferred
    core = assemble(whole, model, torch.device("cpu"), no_rows)
    last = {score.where: score.events_seen for score in found.scores[ANOMALY] if score.where in read.events}
    place = {where: at for at, where in enumerate(w for frame in read.frames for w in _wheres(frame.events))}
    everything = EventBatch.concat([frame.events for frame in read.frames if len(frame.events)])
    # Everybody's first event, then everybody's second: between users, order is without effect.
    order = np.array([place[where] for where in sorted(last, key=lambda where: last[where])], np.int64)
    ordered = everything.take(order)
    results = [
        core.pipeline.apply(ordered.take(slice(at, at + _BATCH_EVENTS))).scored
        for at in range(0, len(ordered), _BATCH_EVENTS)
    ]
    expected = _expected(read, results, core, settings)
    passed_over = {
        event.where
        for same in repeats_of_events(read.events.values())
        if any(event.where in last for event in same)
        for event in same
        if event.where not in last
    }
    return expected._replace(
        events={where: event for where, event in read.events.items() if where not in passed_over},
        rows=_past(expected.rows, [read.events[where] for where in passed_over]),
    )


def _past(rows: Mapping[bytes, bytes], passed_over: Sequence[Event]) -> dict[bytes, bytes]:
    """Rows that remember the offsets of what was passed over; nothing else of it is in them."""
    past = {key: bytearray(row) for key, row in rows.items()}
    for event in passed_over:
        offsets = np.frombuffer(past[event.key], HEADER, count=1)["offsets"][0]
        offsets[event.where.source] = max(offsets[event.where.source], event.where.offset)
    return {key: bytes(row) for key, row in past.items()}


def _expected(read: Decoded, results: Sequence[Scored], core: Core, settings: Settings) -> Expected:
    figures: tuple[dict[Where, tuple[float, ...]], dict[Where, tuple[float, ...]]] = ({}, {})
    seen: dict[Where, int] = {}
    for scored in results:
        for which, where, number, of in _figures(scored):
            figures[which][where] = of
            seen[where] = number
    changed = (core.table.take_changed(p).to_bytes() for p in range(settings.partitions))
    rows = {key: row for of_partition in changed for key, row in of_partition if row is not None}
    return Expected({where: read.events[where] for where in seen}, figures, seen, rows, read.rejects)


def _figures(scored: Scored) -> Iterator[tuple[int, Where, int, tuple[float, ...]]]:
    intent, parts = scored.intent.tolist(), scored.surprise_parts.tolist()
    numbers, anomaly = scored.events_seen.tolist(), scored.anomaly.tolist()
    for i, where in enumerate(_wheres(scored.events)):
        yield INTENT, where, numbers[i], tuple(intent[i])
        yield ANOMALY, where, numbers[i], (anomaly[i], *parts[i])


def _wheres(events: EventBatch) -> list[Where]:
    columns = (events[name].tolist() for name in ("source", "partition", "offset"))
    return [Where(*place) for place in zip(*columns, strict=True)]


def scores_of(records: Sequence[Any], settings: Settings) -> tuple[list[Score], list[Score]]:
    """The records of both score topics, as `Found` has them."""
    found: tuple[list[Score], list[Score]] = ([], [])
    for record in records:
        value = msgspec.json.decode(record.value)
        topic, partition, offset, _ = value["id"].rsplit("-", 3)
        where = Where(settings.source_topics.index(topic), int(partition), int(offset))
        if record.topic == settings.purchase_intent_topic:
            found[INTENT].append(Score(where, value["events_seen"], tuple(value["purchase_intent"].values())))
        else:
            figures = (value["anomaly"], *value["surprise_parts"].values())
            found[ANOMALY].append(Score(where, value["events_seen"], figures))
    return found


def dead_letters_of(records: Sequence[Any], settings: Settings) -> list[tuple[Where, str]]:
    """The records of the dead-letter topic, as `Found` has them."""
    letters = [msgspec.json.decode(record.value) for record in records]
    index = settings.source_topics.index
    return [
        (Where(index(letter["topic"]), letter["partition"], letter["offset"]), letter["reason"]) for letter in letters
    ]
