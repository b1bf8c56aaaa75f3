"""What tests of parity are made of: records as the source topics have them, and as a service publishes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import torch

from stream.assembly import assemble
from stream.events import EventBatch
from stream.model_file import LoadedModel
from stream.parity.examine import Report, compare
from stream.parity.published import ANOMALY, INTENT, Collected
from stream.parity.reading import Topics
from stream.settings import Settings
from tests.shop import CPU, FakeRecord, no_rows, score_all

SETTINGS = Settings()
SOURCES = {topic: source for source, topic in enumerate(SETTINGS.source_topics)}


def published(model: LoadedModel, events: EventBatch, *, cut: int = 7) -> tuple[list[FakeRecord], list[FakeRecord]]:
    """The records of both score topics, as a service sends them that takes a few events at a time."""
    core = assemble(SETTINGS, model, CPU, no_rows)
    both: tuple[list[FakeRecord], list[FakeRecord]] = ([], [])
    for scored in score_all(core.pipeline, events, range(cut, len(events), cut)):
        for key, *values in core.encoder.scores(scored, 0):
            for records, value in zip(both, values, strict=True):
                records.append(FakeRecord(key, bytes(value), len(records), 0))
    return both


def altered(record: FakeRecord, **fields: object) -> FakeRecord:
    """The record with other fields."""
    return FakeRecord(record.key, orjson.dumps(orjson.loads(record.value or b"") | fields), record.offset, 0)


def of_event(records: Sequence[FakeRecord], offset: int) -> int:
    """The place of the record of the event at that offset."""
    (place,) = [at for at, record in enumerate(records) if f"-{offset}-" in said(record)["id"]]
    return place


def said(record: FakeRecord) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(record.value or b"")
    return told


def topics(
    model: LoadedModel, events: EventBatch, intent: Sequence[FakeRecord], anomaly: Sequence[FakeRecord]
) -> Topics:
    """What reading them all gives."""
    read = Topics(Collected(INTENT, SOURCES, model), Collected(ANOMALY, SOURCES, model), whole=True, events=events)
    read.intent.add(intent, "purchase-intent[0]")
    read.anomaly.add(anomaly, "anomaly-scores[0]")
    return read


def compared(
    model: LoadedModel, events: EventBatch, intent: Sequence[FakeRecord], anomaly: Sequence[FakeRecord]
) -> Report:
    return compare(SETTINGS, model, topics(model, events, intent, anomaly), torch.device("cpu"))
