"""Law: offline scoring in the applied order equals what the service published within 1e-4."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from stream import model_file
from stream.assembly import assemble
from stream.decode import TimeBounds, decode
from stream.encode import Scored
from stream.events import EventBatch, Frame
from stream.features import PARTS
from stream.kafka.topics import TopicReport
from stream.parity.examine import examine
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training.reading import unseen
from tests.running import fill, read, running, scores, until_committed
from tests.shop import no_rows

EVENTS, USERS = 6_000, 120
PUBLISHED_DIGITS = 5e-7  # half of the last digit that is published
TOLERANCE = 1e-4 + PUBLISHED_DIGITS

Where = tuple[str, int, int]  # topic, partition, offset


async def _sources(settings: Settings) -> dict[Where, EventBatch]:
    """Every event on the source topics, decoded by itself."""
    bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
    found: dict[Where, EventBatch] = {}
    for source, topic in enumerate(settings.source_topics):
        for record in await read(settings, topic):
            batch, rejects = decode(Frame(source, record.partition, [record], record.offset + 1), bounds)
            assert not rejects
            found[topic, record.partition, record.offset] = batch
    return found


def _where(score: Mapping[str, Any]) -> Where:
    topic, partition, offset, _ = score["id"].rsplit("-", 3)
    return topic, int(partition), int(offset)


def _applied_order(published: Sequence[Mapping[str, Any]]) -> list[Where]:
    """Step by step: everybody's first event, then everybody's second, ...; between users order is without effect."""
    return [_where(score) for score in sorted(published, key=lambda score: int(score["events_seen"]))]


def _offline(settings: Settings, events: EventBatch) -> Scored:
    """One batch, one pipeline, no state before it, the shipped model."""
    whole = msgspec.structs.replace(settings, batch_max_steps=len(events))
    pipeline = assemble(whole, model_file.load(settings.model), torch.device("cpu"), no_rows).pipeline
    outcome = pipeline.apply(events)
    assert not len(outcome.deferred)
    return outcome.scored


async def test_offline_scoring_in_the_applied_order_equals_what_the_service_published(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    # Small batches and few steps: many cuts, and users whose events are deferred.
    settings = msgspec.structs.replace(settings, batch_max_events=64, batch_max_steps=4)
    await fill(
        settings, itertools.islice(simulate(scenario.load(), seed=5, users=USERS, start_ms=1_700_000_000_000), EVENTS)
    )
    with running(settings, tmp_path / "worker.log") as worker:
        await until_committed(settings, worker)
        _, metrics = await worker.get("/metrics")
        assert await worker.stop() == 0, worker.said()
    assert "behaviour_deferred_events_total 0.0" not in metrics

    sources = await _sources(settings)
    intent = {_where(score): score for score in await scores(settings, settings.purchase_intent_topic)}
    anomaly = {_where(score): score for score in await scores(settings, settings.anomaly_scores_topic)}
    assert len(sources) == EVENTS and sources.keys() > intent.keys() == anomaly.keys()
    once = {(event.key[0], event.event_id[0]) for event in sources.values()}
    assert len(once) == len(anomaly)  # what was sent twice is scored once

    order = _applied_order(list(anomaly.values()))
    offline = _offline(settings, EventBatch.concat([sources[where] for where in order]))
    published = [anomaly[where] for where in order]
    for score, where in zip(published, order, strict=True):
        assert intent[where]["events_seen"] == score["events_seen"]
    for name in ("events_seen", "late"):
        assert getattr(offline, name).tolist() == [score[name] for score in published], name

    horizons = model_file.load(settings.model).card.sizes.horizons
    found: dict[str, Any] = defaultdict(list)
    for where, score in zip(order, published, strict=True):
        found["intent"].append([intent[where]["purchase_intent"][horizon] for horizon in horizons])
        found["surprise_parts"].append([score["surprise_parts"][part] for part in PARTS])
        found["surprise"].append(score["surprise"])
        found["anomaly"].append(score["anomaly"])
    for name, column in found.items():
        np.testing.assert_allclose(np.array(column), getattr(offline, name), atol=TOLERANCE, rtol=0, err_msg=name)
    assert np.ptp(offline.intent) > 0.1 and np.ptp(offline.anomaly) > 0.9  # else nothing would be compared

    # The command, which scores as training and evaluation do
    model = model_file.load(settings.model)
    report = await examine(settings, model, since_ms=None, until_ms=None, device=torch.device("cpu"), progress=unseen)
    assert report.ok and report.compared == len(once), report
    assert (report.sent_twice, report.without_score) == (EVENTS - len(once), 0)
