"""Whether a system's scores are those of the model: its first ones beside offline scoring, by the code of `parity`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from aiokafka import AIOKafkaConsumer, TopicPartition
from numpy.typing import NDArray

from stream.bench.bed import partitions_of, reader
from stream.decode import TimeBounds, decode
from stream.errors import SettingsError
from stream.events import EventBatch, Frame
from stream.model_file import LoadedModel
from stream.parity import places
from stream.parity.examine import Report, compare
from stream.parity.published import ANOMALY, INTENT, Collected
from stream.parity.reading import Topics
from stream.settings import Settings

_COMPARED_SHARE = 0.8  # of the scores, at least: the rest may have their other record beyond what is looked at


class Check(msgspec.Struct, kw_only=True):
    """What a comparison is worth."""

    ok: bool
    why: str  # not, if it is not
    compared: int = 0  # events
    users: int = 0
    largest_difference: float = 0.0  # of any figure
    figure: str = ""  # which one
    repeated_ids: int = 0  # score records
    unscored: int = 0  # events that were passed over


async def check(settings: Settings, model: LoadedModel, events: int) -> Check:
    """Of the first of a system's scores: about so many."""
    async with reader(settings) as consumer:
        on_topics = await _first(consumer, settings, model, events // settings.partitions)
    try:
        report = compare(settings, model, on_topics, torch.device("cpu"))
    except SettingsError as error:  # nothing to compare
        return Check(ok=False, why=str(error))
    place = places.number(*(on_topics.events[name].astype(np.int64) for name in ("source", "partition", "offset")))
    scored = [np.isin(place, of_topic.published().place) for of_topic in (on_topics.intent, on_topics.anomaly)]
    return judged(report, unscored(on_topics.events, scored[0] | scored[1]))


def judged(report: Report, lost: int) -> Check:
    """Whether what `parity` found is as it must be."""
    worst = max(report.largest, key=lambda figure: figure.difference)
    wrong = {
        f"{worst.figure} differs by {worst.difference:.2g}, more than {report.tolerance:g}": not report.ok,
        f"{report.without_event:,} scores are of no event": report.without_event > 0,
        f"{report.unreadable:,} records are no scores, the first: {report.unreadable_first}": report.unreadable > 0,
        f"of {report.begun_users + report.cut_users:,} users events are missing": report.begun_users + report.cut_users,
        f"{lost:,} events have no score": lost > 0,
        f"{report.compared:,} of {report.published:,} were compared": (
            report.compared < _COMPARED_SHARE * report.published
        ),
    }
    why = "; ".join(words for words, is_wrong in wrong.items() if is_wrong)
    return Check(
        ok=not why,
        why=why,
        compared=report.compared,
        users=report.users,
        largest_difference=worst.difference,
        figure=worst.figure,
        repeated_ids=report.repeated,
        unscored=lost,
    )


def unscored(events: EventBatch, scored: NDArray[np.bool_]) -> int:
    """How many events have no score though a later one of their user and topic has, and repeat none that has one.

    What is to be scored later has none yet: in which order a batch comes out is a system's own, but for a user's
    events.
    """
    users = list(zip(events.key.tolist(), events["source"].tolist(), strict=True))
    names = list(zip(events.key.tolist(), events["event_hash"].tolist(), strict=True))
    offsets = events["offset"].tolist()
    last: dict[tuple[bytes, int], int] = {}
    known = set()
    for i in np.flatnonzero(scored).tolist():
        last[users[i]] = max(offsets[i], last.get(users[i], -1))
        known.add(names[i])
    return sum(offsets[i] < last.get(users[i], -1) and names[i] not in known for i in np.flatnonzero(~scored).tolist())


async def _first(consumer: AIOKafkaConsumer, settings: Settings, model: LoadedModel, each: int) -> Topics:
    """The first scores of each partition, and the events up to the last that they are of."""
    sources = {topic: source for source, topic in enumerate(settings.source_topics)}
    intent, anomaly = (Collected(which, sources, model) for which in (INTENT, ANOMALY))
    for of_topic, topic in ((intent, settings.purchase_intent_topic), (anomaly, settings.anomaly_scores_topic)):
        wanted = dict.fromkeys(partitions_of(settings, topic), each)
        for tp, records in (await _read(consumer, wanted)).items():
            of_topic.add(records, f"{tp.topic}[{tp.partition}]")
    ends: dict[tuple[int, int], int] = defaultdict(int)
    for of_topic in (intent, anomaly):
        for number in of_topic.published().place.tolist():
            place = places.place(number)
            at = place.source, place.partition
            ends[at] = max(ends[at], place.offset + 1)
    wanted = {TopicPartition(settings.source_topics[source], p): end for (source, p), end in ends.items()}
    bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
    batches, refused = [], 0
    for tp, records in (await _read(consumer, wanted)).items():
        batch, rejects = decode(Frame(sources[tp.topic], tp.partition, records, len(records)), bounds)
        batches.append(batch)
        refused += len(rejects)
    # `whole`: all that is read of the events is known to be, so no score lies outside
    return Topics(intent, anomaly, whole=True, events=EventBatch.concat(batches), refused=refused)


async def _read(
    consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Sequence[Any]]:
    """The first records of topic partitions, so many of each, as far as there are any."""
    found: dict[TopicPartition, Sequence[Any]] = {}
    for tp, n in wanted.items():
        consumer.assign([tp])
        consumer.seek(tp, 0)
        end = (await consumer.end_offsets([tp]))[tp]
        records: list[Any] = []
        while len(records) < n and await consumer.position(tp) < end:
            for run in (await consumer.getmany(timeout_ms=1_000)).values():
                records += run
        found[tp] = records[:n]
    return found
