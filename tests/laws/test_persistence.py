"""Law: what is persisted is what is live, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import rows
from stream.errors import StateError
from stream.merge import Position
from tests.shop import by_offset, pipeline, random_events, score_all, small_model, stored_rows


def _fetch_from(stored: dict[tuple[int, bytes], bytes]) -> Callable[[int, Sequence[bytes]], list[bytes | None]]:
    return lambda partition, keys: [stored.get((partition, key)) for key in keys]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 120), layers=st.integers(1, 2))
def test_what_is_persisted_is_what_is_live_bit_for_bit(seed: int, n: int, layers: int) -> None:
    model = small_model(layers=layers)
    live, live_table = pipeline(model)
    score_all(live, random_events(seed, n=n, users=6))
    stored = stored_rows(live_table)

    _, restored = pipeline(model, fetch_rows=_fetch_from(stored))
    keys = np.array([key for _, key in stored], object)
    partition = np.zeros(len(keys), np.int32)
    here, there = live_table.slots(partition, keys), restored.slots(partition, keys)
    assert live_table.gather(here).numpy().tobytes() == restored.gather(there).numpy().tobytes()
    assert [live_table.rows(here)[i].tobytes() for i in range(len(keys))] == [
        row.tobytes() for row in restored.rows(there)
    ]
    assert [row.tobytes() for row in restored.rows(there)] == list(stored.values())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 119), layers=st.integers(1, 2))
def test_a_worker_restored_from_its_rows_scores_as_if_it_had_never_stopped(seed: int, cut: int, layers: int) -> None:
    model = small_model(layers=layers)
    events = random_events(seed, n=120, users=6)
    uninterrupted, _ = pipeline(model)
    live = by_offset(score_all(uninterrupted, events, [cut]))

    first, first_table = pipeline(model)
    before = score_all(first, events.take(slice(cut)))
    restored, _ = pipeline(model, fetch_rows=_fetch_from(stored_rows(first_table)))
    found = by_offset([*before, *score_all(restored, events.take(slice(cut, None)))])
    for name in ("offset", "events_seen", "late", "carry_rebuilt"):
        assert np.array_equal(live[name], found[name]), name
    for name in ("intent", "surprise_parts", "anomaly"):
        np.testing.assert_allclose(found[name], live[name], atol=1e-5, rtol=0)


def test_a_replayed_event_is_passed_over() -> None:
    scoring, table = pipeline()
    events = random_events(0, n=50, users=5)
    score_all(scoring, events)
    rows_before = stored_rows(table)
    again = score_all(scoring, events)
    assert sum(map(len, again)) == 0
    assert stored_rows(table) == {} and rows_before


def test_a_row_with_another_sequence_length_keeps_its_latest_events() -> None:
    scoring, table = pipeline(sequence=6)
    score_all(scoring, random_events(3, n=60, users=3))
    values = list(stored_rows(table).values())
    (longer,) = rows.unpack(values[:1], 9, 1, 8)
    (same,) = rows.unpack(values[:1], 6, 1, 8)
    (shorter,) = rows.unpack(values[:1], 2, 1, 8)
    seen = int(same["events_seen"])
    for row, kept in ((longer, 6), (shorter, 2)):
        sequence = len(row["raw"])
        for number in range(seen - kept, seen):
            assert row["raw"][number % sequence].tobytes() == same["raw"][number % 6].tobytes()
        assert row["carry"].tobytes() == same["carry"].tobytes()


def test_a_row_of_another_hidden_size_keeps_its_events_and_no_carry() -> None:
    scoring, table = pipeline()
    score_all(scoring, random_events(3, n=20, users=1))
    (value,) = stored_rows(table).values()
    (row,) = rows.unpack([value], 6, 1, 16)
    assert row["model"] == 0 and row["events_seen"] == 20 and not row["carry"].any()


def test_a_row_of_an_unknown_format_is_refused() -> None:
    (value,) = rows.to_bytes(rows.new_rows(1, 6, 1, 8))
    with pytest.raises(StateError, match="expected format 1, got 9"):
        rows.unpack([bytes([9]) + value[1:]], 6, 1, 8)


@pytest.mark.parametrize(
    "damage", [lambda value: value[:-1], lambda value: value + b"x", lambda value: b"", lambda value: b"x"]
)
def test_bytes_that_are_no_row_are_refused(damage: object) -> None:
    (value,) = rows.to_bytes(rows.new_rows(1, 6, 1, 8))
    with pytest.raises(StateError, match="row"):
        rows.unpack([damage(value)], 6, 1, 8)  # type: ignore[operator]


def test_a_partitions_row_is_read_back_and_an_unknown_one_refused() -> None:
    row = rows.PartitionRow(positions={0: Position(7, 70), 2: Position(3)})
    assert rows.PartitionRow.from_bytes(row.to_bytes()) == row
    with pytest.raises(StateError, match="expected format 1, got 2"):
        rows.PartitionRow.from_bytes(row.to_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(StateError, match="row of a partition"):
        rows.PartitionRow.from_bytes(b"\x00")
