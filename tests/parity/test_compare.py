"""Parity without a broker: what is compared, what is left out and counted, and where a difference is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.errors import SettingsError
from stream.events import EventBatch
from stream.model_file import LoadedModel
from stream.parity.differences import TOLERANCE
from stream.parity.reading import Topics
from tests.models import model_in
from tests.parity.topics import altered, compared, of_event, published, said, topics
from tests.shop import FakeRecord, random_events

N, USERS = 300, 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return model_in(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def events() -> EventBatch:
    return random_events(3, n=N, users=USERS)


@pytest.fixture(scope="module")
def records(model: LoadedModel, events: EventBatch) -> tuple[list[FakeRecord], list[FakeRecord]]:
    return published(model, events)


Records = tuple[list[FakeRecord], list[FakeRecord]]


def of_user(events: EventBatch, user: str) -> list[int]:
    """The offsets of a user's events."""
    return [int(offset) for offset in events["offset"][events.key == user.encode()]]


def test_what_a_service_publishes_is_what_offline_scoring_gives(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    report = compared(model, events, *records)
    assert report.ok and report.compared == report.events == report.published == N
    assert report.users == USERS
    assert {figure.figure for figure in report.largest} >= {"purchase_intent.30m", "surprise_parts.gap", "anomaly"}
    assert 0 < max(figure.difference for figure in report.largest) < TOLERANCE  # they are made in another order
    left_out = (report.without_event, report.without_score, report.single, report.begun_events, report.cut_events)
    assert left_out == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("figure", "fields"),
    [
        ("purchase_intent.24h", {"purchase_intent": {"30m": 0.5, "24h": 0.99, "session": 0.5}}),
        ("anomaly", {"anomaly": 0.123}),
        ("strain", {"strain": 12.5}),
        ("surprise", {"surprise": 99.0}),
    ],
)
def test_a_record_that_was_altered_is_found_and_named(
    model: LoadedModel, events: EventBatch, records: Records, figure: str, fields: dict[str, object]
) -> None:
    changed = (list(records[0]), list(records[1]))
    half = changed[0 if "purchase_intent" in fields else 1]
    at = of_event(half, 77)
    half[at] = altered(half[at], **fields)
    report = compared(model, events, *changed)
    assert not report.ok
    (found,) = [largest for largest in report.largest if largest.figure == figure]
    assert (found.topic, found.partition, found.offset, found.above) == ("clicks", 0, 77, 1)
    user = events.key[77].decode()
    assert (found.user, found.event) == (user, 1 + of_user(events, user).index(77))
    assert found.difference == pytest.approx(abs(found.published - found.offline))
    whole = compared(model, events, *records)
    others = {largest.figure: largest.difference for largest in whole.largest}
    assert all(others[largest.figure] == largest.difference for largest in report.largest if largest.difference < 1e-4)


def test_of_an_id_that_came_again_the_last_record_counts(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    wrong = altered(records[1][5], anomaly=0.5, surprise=99.0)
    first = compared(model, events, records[0], [wrong, *records[1]])
    assert first.ok and first.repeated == 1
    last = compared(model, events, records[0], [*records[1], wrong])
    assert not last.ok and last.repeated == 1


def test_events_without_a_score_and_scores_without_an_event_are_counted(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    some, many = events.take(slice(0, 200)), (records[0][:150], records[1][:150])
    # Deferral and cuts aside, the first records are those of the first events.
    report = compared(model, some, *many)
    assert report.ok
    assert (report.without_score, report.without_event, report.compared) == (50, 0, 150)
    report = compared(model, some, *records)
    assert report.ok
    assert (report.without_score, report.without_event, report.compared) == (0, 100, 200)


def test_a_user_who_began_before_is_left_out_whole(model: LoadedModel, events: EventBatch, records: Records) -> None:
    user = events.key[0].decode()
    theirs = of_user(events, user)
    later = events.take(slice(1, None))
    report = compared(model, later, *records)
    assert report.ok and report.without_event == 1
    assert (report.begun_users, report.begun_events) == (1, len(theirs) - 1)
    assert report.compared == N - len(theirs)


def test_from_where_an_event_is_missing_a_user_is_left_out(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    user = events.key[0].decode()
    theirs = of_user(events, user)
    kept = np.ones(N, bool)
    kept[theirs[3]] = False
    report = compared(model, events.take(kept), *records)
    assert report.ok
    assert (report.cut_users, report.cut_events, report.begun_users) == (1, len(theirs) - 4, 0)
    assert report.compared == N - len(theirs) + 3


@pytest.mark.parametrize("from_offset", [0, 1, 40, 150])
def test_two_lives_of_a_user_who_was_forgotten_are_not_taken_for_one(
    model: LoadedModel, events: EventBatch, records: Records, from_offset: int
) -> None:
    second = random_events(4, n=200, users=USERS, first_offset=N)
    both = EventBatch.concat([events.take(slice(from_offset, None)), second])
    again = published(model, second)  # by a table that has nobody
    report = compared(model, both, records[0] + again[0], records[1] + again[1])
    assert report.ok
    assert report.cut_events + report.begun_events + report.compared == len(both)


def test_of_a_topic_that_was_made_anew_the_scores_of_former_events_are_counted_and_not_compared(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    def anew(half: list[FakeRecord]) -> list[FakeRecord]:
        return [altered(record, id=said(record)["id"].replace("clicks-", "clicks~1-")) for record in half]

    now = random_events(4, n=200, users=USERS)
    again = [anew(half) for half in published(model, now)]
    report = compared(model, now, records[0] + again[0], records[1] + again[1])
    assert report.ok and report.compared == report.published == 200
    assert (report.former, report.unreadable, report.repeated) == (2 * N, 0, 0)


def test_from_where_the_carry_was_made_anew_a_user_is_left_out(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    theirs = of_user(events, events.key[0].decode())
    changed = (list(records[0]), list(records[1]))
    for half in changed:
        at = of_event(half, theirs[2])
        half[at] = altered(half[at], carry_rebuilt=True)
    report = compared(model, events, *changed)
    assert (report.cut_users, report.cut_events) == (1, len(theirs) - 2)


def test_two_scores_of_an_event_that_are_of_two_applications_are_not_compared(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    at = of_event(records[1], 77)
    seen = said(records[1][at])["events_seen"]
    changed = [*records[1], altered(records[1][at], events_seen=seen + 1, anomaly=0.5)]
    report = compared(model, events, records[0], changed)
    assert report.ok and report.single == 1


def test_scores_by_another_model_are_counted_and_not_compared(
    model: LoadedModel, events: EventBatch, records: Records, tmp_path: Path
) -> None:
    other = model_in(tmp_path, seed=1)
    of_other = published(other, events)
    report = compared(model, events, [*of_other[0], *records[0]], [*of_other[1], *records[1]])
    assert report.ok and report.compared == N
    assert report.other_models == {other.hash: 2 * N}


def test_where_all_scores_are_by_another_model_it_is_said_by_which(
    model: LoadedModel, events: EventBatch, records: Records, tmp_path: Path
) -> None:
    other = model_in(tmp_path, seed=1)
    with pytest.raises(SettingsError, match=f"hash {other.hash}, got 600 of hash {model.hash}; --model names"):
        compared(other, events, *records)


def test_where_nobody_is_known_from_their_beginning_on_it_is_said(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    first = [of_user(events, user.decode())[0] for user in set(events.key.tolist())]
    later = events.take(~np.isin(events["offset"], first))
    with pytest.raises(SettingsError, match=f"got {USERS:,} of whom none is: .* begin earlier"):
        compared(model, later, *records)


def test_scores_of_other_horizons_are_refused_with_both(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    changed = [altered(records[0][0], purchase_intent={"30m": 0.5, "24h": 0.5}), *records[0][1:]]
    with pytest.raises(
        SettingsError, match=r"purchase-intent\[0\]@0: expected the horizons 30m, 24h, session.*got 30m"
    ):
        topics(model, events, changed, records[1])


def test_records_that_are_no_scores_are_counted_and_the_first_is_named(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    bad = [FakeRecord(b"ann", b"{", 900, 0), altered(records[1][0], id="elsewhere-0-1-abc")]
    report = compared(model, events, records[0], [*bad, *records[1]])
    assert report.ok and report.unreadable == 2
    assert report.unreadable_first.startswith("anomaly-scores[0]@900: ")


def test_without_any_score_it_is_said(model: LoadedModel, events: EventBatch) -> None:
    with pytest.raises(SettingsError, match=f"got none of the {N} events"):
        compared(model, events, [], [])


def test_of_a_stretch_only_scores_of_its_own_offsets_count(
    model: LoadedModel, events: EventBatch, records: Records
) -> None:
    read = topics(model, events, *records)
    part = Topics(read.intent, read.anomaly, whole=False, events=events.take(slice(0, 100)), stretch={(0, 0): (0, 100)})
    assert part.covers(np.arange(300)).sum() == 100
