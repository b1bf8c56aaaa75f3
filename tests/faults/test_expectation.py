"""What is expected of a live round is what the published order gives, and of a loaded one what the merge gives."""

from __future__ import annotations

import dataclasses
from itertools import islice
from typing import Any

import numpy as np
import pytest

from stream import model_file
from stream.model_file import LoadedModel
from stream.rows import HEADER
from stream.settings import Settings
from tests.faults import expectation, load, verdict
from tests.faults.expectation import Decoded
from tests.faults.verdict import ANOMALY, INTENT, Expected, Found, Score, Where
from tests.faults.watch import rows_alike
from tests.shop import START_MS

SETTINGS = Settings(partitions=1, batch_max_steps=2)
EVENTS = 600


@dataclasses.dataclass(slots=True)
class _Record:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return model_file.load(SETTINGS.model)


@pytest.fixture(scope="module")
def read(model: LoadedModel) -> Decoded:
    records: list[Any] = []
    ends = [0, 0, 0]
    for sent in islice(load.traffic(1, users=20, start_ms=START_MS, hostile_share=0.05), EVENTS):
        topic = SETTINGS.source_topics[sent.source]
        records.append(_Record(topic, 0, ends[sent.source], sent.key, sent.value, sent.time_ms))
        ends[sent.source] += 1
    return expectation.decoded(records, SETTINGS, model)


@pytest.fixture(scope="module")
def loaded(read: Decoded, model: LoadedModel) -> Expected:
    return expectation.loaded(read, SETTINGS, model)


def _as_published(expected: Expected) -> Found:
    """The topics of a service that did what is expected."""
    intent, anomaly = (
        [Score(where, expected.events_seen[where], figures) for where, figures in expected.figures[which].items()]
        for which in (INTENT, ANOMALY)
    )
    return Found((intent, anomaly), expected.rows, list(expected.rejects.items()))


def _alike(found: bytes, expected: bytes) -> bool:
    return rows_alike(found, expected, verdict.PARITY_TOLERANCE)


def test_every_record_is_an_event_or_a_reject(read: Decoded) -> None:
    assert len(read.events) + len(read.rejects) == EVENTS
    assert len(read.rejects) > 10


def test_a_service_that_does_what_is_expected_has_no_defect_in_either_form(
    read: Decoded, loaded: Expected, model: LoadedModel
) -> None:
    found = _as_published(loaded)
    for expected in (loaded, expectation.live(read, found, SETTINGS, model)):
        assert verdict.judge(expected, found, _alike) == []


def test_live_the_order_that_was_published_counts_not_that_of_the_merge(
    read: Decoded, loaded: Expected, model: LoadedModel
) -> None:
    """Two events of different topics that were applied the other way round: right in itself, but another order."""
    places = {(read.events[where].key, number): where for where, number in loaded.events_seen.items()}
    first, second = next(
        (where, after)
        for (key, number), where in places.items()
        if (after := places.get((key, number + 1))) is not None and after.source != where.source
    )
    swapped = {first: loaded.events_seen[second], second: loaded.events_seen[first]}
    seen = dict(loaded.events_seen) | swapped
    scores = tuple(
        [Score(where, seen[where], figures) for where, figures in loaded.figures[which].items()]
        for which in (INTENT, ANOMALY)
    )
    found = Found((scores[0], scores[1]), loaded.rows, list(loaded.rejects.items()))
    expected = expectation.live(read, found, SETTINGS, model)
    assert (expected.events_seen[first], expected.events_seen[second]) == (seen[first], seen[second])
    # The scores were made in the order of the merge: they are not those of the order that they tell.
    assert verdict.tally(verdict.judge(expected, found, _alike)).scores_differ > 0


def test_live_an_event_without_a_score_is_expected_unless_another_of_its_id_has_one(
    read: Decoded, loaded: Expected, model: LoadedModel
) -> None:
    same = next(same for same in verdict.repeats_of_events(read.events.values()))
    alone = next(where for where in reversed(list(loaded.events)) if all(where != event.where for event in same))
    for unscored, lost in (({alone}, True), ({event.where for event in same}, True), ({same[-1].where}, False)):
        scores = tuple(
            [score for score in of_topic if score.where not in unscored] for of_topic in _as_published(loaded).scores
        )
        found = _as_published(loaded)._replace(scores=(scores[0], scores[1]))
        expected = expectation.live(read, found, SETTINGS, model)
        assert (unscored <= expected.events.keys()) == lost


def test_rows_go_past_what_was_passed_over(read: Decoded, loaded: Expected, model: LoadedModel) -> None:
    same = verdict.repeats_of_events(read.events.values())[0]
    passed_over = same[-1].where
    scores = tuple([s for s in of_topic if s.where != passed_over] for of_topic in _as_published(loaded).scores)
    found = _as_published(loaded)._replace(scores=(scores[0], scores[1]))
    row = expectation.live(read, found, SETTINGS, model).rows[same[-1].key]
    offsets = np.frombuffer(row, HEADER, count=1)[0]["offsets"].tolist()
    of_user = [w for w, event in read.events.items() if event.key == same[-1].key and w.source == passed_over.source]
    assert offsets[passed_over.source] == max(where.offset for where in of_user)
    assert Where(passed_over.source, 0, offsets[passed_over.source]) in read.events
