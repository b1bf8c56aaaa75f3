"""Which events are applied: not those applied before, not those sent twice, not those after too long a silence at once.

In each the law is the same: however the input is cut, what comes out of it does not change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.decode import decode
from stream.encode import Scored
from stream.events import EventBatch
from stream.pipeline import Pipeline
from stream.table import Table
from tests.shop import BOUNDS, START_MS, assert_rows_alike, click, frame, pipeline, stored_rows

R = 10
DAY_MS = 86_400_000


def _events(*, ids: Sequence[str], users: Sequence[str], times_ms: Sequence[int] | None = None) -> EventBatch:
    times = times_ms or [START_MS + 1_000 * i for i in range(len(ids))]
    records = [
        click(user, time, offset, event_id=name)
        for offset, (name, user, time) in enumerate(zip(ids, users, times, strict=True))
    ]
    batch, rejects = decode(frame(records), BOUNDS)
    assert not rejects
    return batch


def _apply(pipeline: Pipeline, events: EventBatch, cuts: Sequence[int] = ()) -> tuple[list[Scored], int]:
    """(scores, repeats) of events applied in batches that end at `cuts`."""
    results, repeated, waiting = [], 0, EventBatch.concat([])
    edges = sorted({0, *cuts, len(events)})
    for start, end in [*pairwise(edges), *[(len(events), len(events))] * len(events)]:
        batch = EventBatch.concat([b for b in (waiting, events.take(slice(start, end))) if len(b)])
        if len(batch):
            outcome = pipeline.apply(batch)
            results.append(outcome.scored)
            repeated += outcome.repeated
            waiting = outcome.deferred
    assert not len(waiting)
    return results, repeated


def _scored_ids(results: Sequence[Scored]) -> list[str]:
    return [event for scored in results for event in scored.events.event_id.tolist()]


def _offsets(results: Sequence[Scored]) -> list[int]:
    return sorted(int(offset) for scored in results for offset in scored.events["offset"])


def test_an_event_sent_twice_is_scored_once() -> None:
    scoring, table = pipeline()
    results, repeated = _apply(scoring, _events(ids=["a", "b", "a", "c", "a"], users=["u"] * 5))
    assert (_scored_ids(results), repeated) == (["a", "b", "c"], 2)
    assert table.events_seen(table.slots(np.zeros(1, np.int32), np.array([b"u"], object))).tolist() == [3]


def test_the_same_id_of_two_users_is_two_events() -> None:
    results, repeated = _apply(pipeline()[0], _events(ids=["a", "a"], users=["u", "v"]))
    assert (len(_scored_ids(results)), repeated) == (2, 0)


def test_an_id_that_has_left_the_rolling_sequence_is_a_new_event() -> None:
    ids = ["a", *map(str, range(R)), "a"]
    results, repeated = _apply(pipeline()[0], _events(ids=ids, users=["u"] * len(ids)))
    assert (_scored_ids(results), repeated) == (ids, 0)
    shorter = ["a", *map(str, range(R - 1)), "a"]
    results, repeated = _apply(pipeline()[0], _events(ids=shorter, users=["u"] * len(shorter)))
    assert (_scored_ids(results), repeated) == (shorter[:-1], 1)


def test_a_replay_passes_over_a_repeat_even_if_the_first_has_left_the_rolling_sequence_since() -> None:
    scoring, _ = pipeline()
    events = _events(ids=["a", "a", *map(str, range(2 * R))], users=["u"] * (2 + 2 * R))
    _apply(scoring, events)
    outcome = scoring.apply(events)
    assert (len(outcome.scored), outcome.held, outcome.repeated) == (0, len(events), 0)


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 14)), min_size=1, max_size=90),
    cuts=st.lists(st.integers(1, 89), max_size=8),
    max_steps=st.sampled_from([1, 4, 1_000]),
)
def test_repeats_are_the_same_however_the_input_is_cut(
    names: list[tuple[int, int]], cuts: list[int], max_steps: int
) -> None:
    users, ids = [f"u{user}" for user, _ in names], [str(name) for _, name in names]
    expected = []
    recent: dict[str, deque[str]] = {user: deque(maxlen=R) for user in users}
    for offset, (user, name) in enumerate(zip(users, ids, strict=True)):
        if name not in recent[user]:
            recent[user].append(name)
            expected.append(offset)
    events = _events(ids=ids, users=users)
    whole, whole_table = pipeline()
    parts, parts_table = pipeline(max_steps=max_steps)
    assert _offsets(_apply(whole, events)[0]) == expected
    in_parts, repeated = _apply(parts, events, cuts)
    assert _offsets(in_parts) == expected
    assert repeated == len(names) - len(expected)
    rows, rows_in_parts = stored_rows(whole_table), stored_rows(parts_table)
    assert rows.keys() == rows_in_parts.keys()
    for key, row in rows.items():
        assert_rows_alike(rows_in_parts[key], row)


# -- silence -----------------------------------------------------------------------------------------------------------


def _numbers(results: Sequence[Scored]) -> dict[int, int]:
    """Offset -> the user's count with the event."""
    return {
        int(offset): int(number)
        for scored in results
        for offset, number in zip(scored.events["offset"], scored.events_seen, strict=True)
    }


def test_a_user_who_was_silent_for_too_long_begins_anew() -> None:
    times = [START_MS, START_MS + DAY_MS, START_MS + 3 * DAY_MS, START_MS + 3 * DAY_MS + 1]
    events = _events(ids=list("abcd"), users=["u"] * 4, times_ms=times)
    scoring, table = pipeline(expiry_ms=DAY_MS)
    results, _ = _apply(scoring, events)
    assert _numbers(results) == {0: 1, 1: 2, 2: 1, 3: 2}
    fresh, fresh_table = pipeline(expiry_ms=DAY_MS)
    _apply(fresh, events.take(slice(2, None)))
    ((_, row),), ((_, expected),) = stored_rows(table).items(), stored_rows(fresh_table).items()
    assert_rows_alike(row, expected)


def test_silence_counts_by_the_clock_of_the_topic_partition_so_that_a_late_event_cannot_bring_a_user_back() -> None:
    times = [START_MS, START_MS + 10 * DAY_MS, START_MS + 1]  # of another user, then late
    events = _events(ids=list("abc"), users=["u", "v", "u"], times_ms=times)
    assert _numbers(_apply(pipeline(expiry_ms=DAY_MS)[0], events)[0]) == {0: 1, 1: 1, 2: 1}
    assert _numbers(_apply(pipeline(expiry_ms=None)[0], events)[0]) == {0: 1, 1: 1, 2: 2}


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([1, DAY_MS // 2, DAY_MS, 2 * DAY_MS]), st.integers(0, 5)),
        min_size=1,
        max_size=60,
    ),
    cuts=st.lists(st.integers(1, 59), max_size=8),
    late=st.lists(st.integers(0, 59), max_size=5),
)
def test_who_begins_anew_is_the_same_however_the_input_is_cut(
    steps: list[tuple[int, int, int]], cuts: list[int], late: list[int]
) -> None:
    times = (START_MS + np.cumsum([gap for _, gap, _ in steps])).tolist()
    for i in late:
        times[i % len(times)] -= DAY_MS
    events = _events(
        ids=[str(name) for _, _, name in steps], users=[f"u{user}" for user, _, _ in steps], times_ms=times
    )
    one_by_one, table = pipeline(expiry_ms=DAY_MS)
    parts, parts_table = pipeline(expiry_ms=DAY_MS)
    expected = _numbers(_apply(one_by_one, events, range(1, len(steps)))[0])
    assert _numbers(_apply(parts, events, cuts)[0]) == expected
    rows, rows_in_parts = stored_rows(table), stored_rows(parts_table)
    assert rows.keys() == rows_in_parts.keys()
    for key, row in rows.items():
        assert_rows_alike(rows_in_parts[key], row)


# -- generations, and room ---------------------------------------------------------------------------------------------


def test_offsets_of_a_former_generation_of_a_topic_count_for_none() -> None:
    scoring, table = pipeline()
    events = _events(ids=list("abc"), users=["u"] * 3)
    _apply(scoring, events)
    assert scoring.apply(events).held == 3
    table.own(0, (1, 0, 0))
    anew = _events(ids=list("xyz"), users=["u"] * 3)  # offsets 0 to 2 again
    assert _scored_ids(_apply(scoring, anew)[0]) == ["x", "y", "z"]
    assert scoring.apply(anew).held == 3


class Store:
    """What a table under test has made durable."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, bytes], bytes] = {}

    def fetch(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.rows.get((partition, key)) for key in keys]

    def checkpoint(self, table: Table) -> None:
        for partition in range(3):
            for key, row in table.take_changed(partition).to_bytes():
                if row is None:
                    self.rows.pop((partition, key), None)
                else:
                    self.rows[partition, key] = row
            table.durable(partition)


@pytest.mark.parametrize("room", [3, 5, 1_000])
def test_rows_and_scores_are_the_same_however_few_users_have_room(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.slots._EVICTED_AT_ONCE", 1)
    rng = np.random.default_rng(room)
    names = [str(i) for i in range(400)]
    events = _events(ids=names, users=[f"u{rng.integers(20)}" for _ in names])
    roomy, table = pipeline()
    expected = _numbers(_apply(roomy, events)[0])
    store = Store()
    tight, bounded = pipeline(fetch_rows=store.fetch, max_users=room)
    found: dict[int, int] = {}
    waiting, start = EventBatch.concat([]), 0
    while start < len(events) or len(waiting):
        end = start + int(rng.integers(1, 12))
        outcome = tight.apply(EventBatch.concat([waiting, events.take(slice(start, end))]))
        waiting, start = outcome.deferred, end
        found |= _numbers([outcome.scored])
        assert len(bounded) <= room
        assert outcome.crowded == (len(waiting) > 0)
        if outcome.crowded or rng.random() < 0.1:
            store.checkpoint(bounded)
    assert found == expected
    store.checkpoint(bounded)
    rows = stored_rows(table)
    assert store.rows.keys() == rows.keys()
    for key, row in rows.items():
        assert_rows_alike(store.rows[key], row)
