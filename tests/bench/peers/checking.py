"""Whether a system's scores are those of the model: its first ones beside offline scoring, by the code of `parity`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from aiokafka import AIOKafkaConsumer, TopicPartition

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
    unscored: int = 0  # events well before the last ones that are looked at


async def check(settings: Settings, model: LoadedModel, events: int) -> Check:
    """Of the first of a system's scores: about so many."""
    async with reader(settings) as consumer:
        on_topics = await _first(consumer, settings, model, events // settings.partitions)
    try:
        report = compare(settings, model, on_topics, torch.device("cpu"))
    except SettingsError as error:  # nothing to compare
        return Check(ok=False, why=str(error))
    return judged(report, _unscored(on_topics))


def judged(report: Report, unscored: int) -> Check:
    """Whether what `parity` found is as it must be."""
    worst = max(report.largest, key=lambda figure: figure.difference)
    wrong = {
        f"{worst.figure} differs by {worst.difference:.2g}, more than {report.tolerance:g}": not report.ok,
        f"{report.without_event:,} scores are of no event": report.without_event > 0,
        f"{report.unreadable:,} records are no scores, the first: {report.unreadable_first}": report.unreadable > 0,
        f"of {report.begun_users + report.cut_users:,} users events are missing": report.begun_users + report.cut_users,
        f"{unscored:,} events have no score": unscored > 0,
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
        unscored=unscored,
    )


def _unscored(on_topics: Topics) -> int:
    """How many of each topic partition's earlier half have no score, and are not another event's repeat.

    Of the later half some may come after all that is looked at: the order within a batch is a system's own.
    """
    events = on_topics.events
    place = places.number(*(events[name].astype(np.int64) for name in ("source", "partition", "offset")))
    scored = np.isin(place, on_topics.intent.published().place) | np.isin(place, on_topics.anomaly.published().place)
    of_topic = places.source_partition(place)
    last = {topic: events["offset"][scored & (of_topic == topic)].max() for topic in np.unique(of_topic[scored])}
    early = events["offset"] * 2 < np.array([last.get(topic, 0) for topic in of_topic])
    names = list(zip(events.key.tolist(), events["event_hash"].tolist(), strict=True))
    known = {names[i] for i in np.flatnonzero(scored)}
    return sum(names[i] not in known for i in np.flatnonzero(early & ~scored))


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
