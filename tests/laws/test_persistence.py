"""Law: what is persisted is what is live, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import rows
from stream.cuts import Cut
from stream.errors import StateError
from stream.merge import Position
from stream.model import Cell
from tests.shop import by_offset, pipeline, random_events, score_all, small_model, stored_rows

CELLS = st.sampled_from(["lstm", "gru", "rnn"])
SIZES = rows.Sizes(sequence=10, parts=2, layers=1, hidden=8)  # of `pipeline()`


def _fetch_from(stored: dict[tuple[int, bytes], bytes]) -> Callable[[int, Sequence[bytes]], list[bytes | None]]:
    return lambda partition, keys: [stored.get((partition, key)) for key in keys]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 120), layers=st.integers(1, 2), cell=CELLS)
def test_what_is_persisted_is_what_is_live_bit_for_bit(seed: int, n: int, layers: int, cell: Cell) -> None:
    model = small_model(layers=layers, cell=cell)
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
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 119), layers=st.integers(1, 2), cell=CELLS)
def test_a_worker_restored_from_its_rows_scores_as_if_it_had_never_stopped(
    seed: int, cut: int, layers: int, cell: Cell
) -> None:
    model = small_model(layers=layers, cell=cell)
    events = random_events(seed, n=120, users=6)
    uninterrupted, _ = pipeline(model)
    live = by_offset(score_all(uninterrupted, events, [cut]))

    first, first_table = pipeline(model)
    before = score_all(first, events.take(slice(cut)))
    restored, _ = pipeline(model, fetch_rows=_fetch_from(stored_rows(first_table)))
    found = by_offset([*before, *score_all(restored, events.take(slice(cut, None)))])
    for name in ("offset", "events_seen", "late", "carry_rebuilt"):
        assert np.array_equal(live[name], found[name]), name
    for name in ("intent", "surprise_parts", "strain", "anomaly"):
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
    scoring, table = pipeline()
    score_all(scoring, random_events(3, n=60, users=3))
    values = list(stored_rows(table).values())
    longer, same, shorter = (rows.unpack(values[:1], SIZES._replace(sequence=n))[0] for n in (13, 10, 2))
    seen = int(same["events_seen"])
    assert seen > 13
    for row, kept in ((longer, 10), (shorter, 2)):
        sequence = len(row["raw"])
        for number in range(seen - kept, seen):
            assert row["raw"][number % sequence].tobytes() == same["raw"][number % 10].tobytes()
        assert row["carry"].tobytes() == same["carry"].tobytes()
        assert row["memory"].tobytes() == same["memory"].tobytes()
    for number in range(seen - 13, seen - 10):
        assert longer["raw"]["time_ms"][number % 13] == rows.NOT_HELD_MS


@pytest.mark.parametrize("other", [{"hidden": 16}, {"layers": 2}, {"parts": 1}])
def test_a_row_of_another_carry_keeps_its_events_and_what_is_remembered_and_no_carry(other: dict[str, int]) -> None:
    scoring, table = pipeline()
    score_all(scoring, random_events(3, n=20, users=1))
    (value,) = stored_rows(table).values()
    (same,) = rows.unpack([value], SIZES)
    (row,) = rows.unpack([value], SIZES._replace(**other))
    assert row["model"] == 0 and row["events_seen"] == 20 and not row["carry"].any()
    for name in ("raw", "memory", "offsets", "last_time_ms"):
        assert row[name].tobytes() == same[name].tobytes()


def test_rows_of_several_sizes_are_read_beside_each_other() -> None:
    values = [rows.to_bytes(rows.new_rows(1, SIZES._replace(sequence=n, hidden=h)))[0] for n, h in ((10, 8), (12, 4))]
    values[1] = values[1][:16] + (7).to_bytes(8, "little") + values[1][24:]
    assert rows.unpack(values, SIZES)["events_seen"].tolist() == [0, 7]


@pytest.mark.parametrize("found", [0, 3, 9])
def test_a_row_of_an_unknown_format_is_refused(found: int) -> None:
    (value,) = rows.to_bytes(rows.new_rows(1, SIZES))
    with pytest.raises(StateError, match=f"expected format 2 or older, got {found}"):
        rows.unpack([bytes([found]) + value[1:]], SIZES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value[:-1],
        lambda value: value + b"x",
        lambda value: b"",
        lambda value: b"x",
        lambda value: value[:1] + b"\xff" * 200,  # sizes that no array can have
    ],
)
def test_bytes_that_are_no_row_are_refused(damage: Callable[[bytes], bytes]) -> None:
    (value,) = rows.to_bytes(rows.new_rows(1, SIZES))
    with pytest.raises(StateError, match="row"):
        rows.unpack([damage(value)], SIZES)


def test_a_partitions_row_is_read_back_and_an_unknown_one_refused() -> None:
    cut = Cut(version=3, sha256="ab" * 32, name="shop", changes=1, offsets={0: 7})
    row = rows.PartitionRow(positions={0: Position(7, 70), 2: Position(3)}, cuts=(cut,))
    assert rows.PartitionRow.from_bytes(row.to_bytes()) == row
    with pytest.raises(StateError, match="expected format 2 or older, got 3"):
        rows.PartitionRow.from_bytes(row.to_bytes().replace(b'"format":2', b'"format":3'))
    with pytest.raises(StateError, match="row of a partition"):
        rows.PartitionRow.from_bytes(b"\x00")


def test_a_partitions_row_of_format_1_has_no_cut() -> None:
    row = rows.PartitionRow.from_bytes(b'{"format":1,"positions":{"0":{"offset":7,"order_ms":70}}}')
    assert (row.positions, row.cuts) == ({0: Position(7, 70)}, ())
