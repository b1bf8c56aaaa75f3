"""Law: a row that a former version wrote goes on: its events are kept, and what it did not have is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from stream import rows
from stream.errors import StateError
from stream.events import EventBatch
from stream.rows import NOT_HELD_MS, WHEREABOUTS, Sizes
from tests.shop import (
    MODEL,
    START_MS,
    assert_memories_alike,
    by_offset,
    forget_strain,
    pipeline,
    random_events,
    score_all,
    small_model,
    stored_rows,
)

# As version 0.1.0 wrote it, of H = 2 and R = 3, for a user with five events; the fourth was late.
ROW_OF_FORMAT_1 = bytes.fromhex(
    "0100010002000300f0debc9a785634120500000000000000707d51c4a00100002c00000000000000ffffffffffffffff"
    "ffffffffffffffff00000000000000000000000020ba50c4a0010000cd33dade658b0cebb7bfa4118d1804fa33339f41"
    "05707d51c4a00100003818041c47c6a34400000000000000000000c07f0830e150c4a00100001cedb6be63400a53da98"
    "298c8d1804fa0000c07f0303554f3e94bd06bdc3e0dd3f18a17ebd"
)
SIZES = Sizes(sequence=10, parts=2, layers=1, hidden=8)  # of `pipeline()`
Stored = Mapping[tuple[int, bytes], bytes]


def test_the_events_of_a_row_of_format_1_are_kept_and_its_carry_is_not() -> None:
    for sizes in (SIZES, Sizes(sequence=3, parts=2, layers=1, hidden=2)):  # also where the carry would fit
        (row,) = rows.unpack([ROW_OF_FORMAT_1], sizes)
        assert [int(row[name]) for name in ("format", *sizes._fields)] == [
            2,
            *(getattr(sizes, f) for f in sizes._fields),
        ]
        assert (row["events_seen"], row["last_time_ms"] - START_MS) == (5, 70_000)
        assert row["offsets"].tolist() == [44, -1, -1]
        assert row["model"] == 0
        assert not row["carry"].any()
        assert not row["memory"].tobytes().strip(b"\0")
        raw = row["raw"][np.arange(2, 5) % sizes.sequence]
        assert (raw["time_ms"] - START_MS).tolist() == [30_000, 20_000, 70_000]
        assert raw["event_hash"].tolist() == [5983665852060724508, 16937065568280392653, 4946014824497944632]
        assert raw["item"].tolist() == [2351536346, 296009655, 0]
        assert raw["category"].tolist() == [4194572429, 4194572429, 0]
        assert raw["price"].tolist() == pytest.approx([np.nan, 19.9, np.nan], nan_ok=True)
        assert raw["action"].tolist() == [3, 5, 8]
        assert not any(raw[name].any() for name in WHEREABOUTS)


def test_rows_of_both_formats_are_read_beside_each_other() -> None:
    of_today = rows.new_rows(1, SIZES)
    of_today["events_seen"] = 3
    read = rows.unpack([ROW_OF_FORMAT_1, *rows.to_bytes(of_today), ROW_OF_FORMAT_1], SIZES)
    assert read["events_seen"].tolist() == [5, 3, 5]
    assert read[0].tobytes() == read[2].tobytes()
    assert read[1].tobytes() == of_today.tobytes()
    assert rows.unpack(rows.to_bytes(read), SIZES).tobytes() == read.tobytes()  # and once written, it is of today's


@pytest.mark.parametrize("damaged", [ROW_OF_FORMAT_1[:-1], ROW_OF_FORMAT_1 + b"\0", ROW_OF_FORMAT_1[:68]])
def test_bytes_that_are_no_row_of_format_1_are_refused(damaged: bytes) -> None:
    with pytest.raises(StateError, match=f"its header says 171 bytes, but it has {len(damaged)}"):
        rows.unpack([damaged], SIZES)


def test_a_row_that_cannot_be_read_is_named_with_its_partition_and_user() -> None:
    def fetch(partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        return [{b"new": None, b"bad": ROW_OF_FORMAT_1[:-1]}.get(key, ROW_OF_FORMAT_1) for key in keys]

    _, table = pipeline(fetch_rows=fetch)
    keys = np.array([b"new", b"good", b"bad", b"good too"], object)
    with pytest.raises(StateError) as refused:
        table.slots(np.full(4, 3, np.int32), keys)
    assert str(refused.value) == "partition 3, key b'bad': row: its header says 171 bytes, but it has 170"


_RAW_EVENT_1 = np.dtype(
    [
        ("time_ms", "<i8"),
        ("event_hash", "<u8"),
        ("item", "<u4"),
        ("category", "<u4"),
        ("price", "<f4"),
        ("action", "u1"),
    ]
)


def _in_format_1(stored: Stored, sequence: int) -> dict[tuple[int, bytes], bytes]:
    """Rows as they would have been written then, with that many events, by another model."""
    ours = rows.unpack(list(stored.values()), SIZES)
    dtype = np.dtype([*rows.HEADER.descr, ("raw", _RAW_EVENT_1, (sequence,)), ("carry", "<f4", (2, 1, 4))])
    then = np.zeros(len(ours), dtype)
    for name in ("events_seen", "last_time_ms", "offsets"):
        then[name] = ours[name]
    then["format"], then["layers"], then["hidden"], then["sequence"], then["model"] = 1, 1, 4, sequence, 77
    then["carry"] = 0.5
    for row, our in zip(then, ours, strict=True):
        seen = int(our["events_seen"])
        kept = np.arange(max(0, seen - sequence), seen)
        for name in _RAW_EVENT_1.names or ():
            row["raw"][name][kept % sequence] = our["raw"][name][kept % SIZES.sequence]
    return dict(zip(stored, rows.to_bytes(then), strict=True))


def _memories(stored: Stored) -> NDArray[np.void]:
    memories = rows.unpack([stored[key] for key in sorted(stored)], SIZES)["memory"]
    assert isinstance(memories, np.ndarray)
    return memories


@pytest.mark.parametrize("sequence", [10, 16, 5])
def test_a_worker_goes_on_from_rows_of_format_1_as_if_it_had_seen_the_events_that_they_hold(sequence: int) -> None:
    events, later = random_events(5, n=40, users=30), random_events(6, n=60, users=30, first_offset=40)
    always, always_table = pipeline()
    score_all(always, events)
    stored = stored_rows(always_table)
    assert max(rows.unpack(list(stored.values()), SIZES)["events_seen"]) <= 5  # all of them are held
    forget_strain(always_table, 0, [key for _, key in stored])
    expected = by_offset(score_all(always, later))

    of_format_1 = _in_format_1(stored, sequence)
    migrated, table = pipeline(fetch_rows=lambda p, keys: [of_format_1.get((p, key)) for key in keys])
    found = by_offset(score_all(migrated, later))
    for name in ("events_seen", "late"):
        assert found[name].tolist() == expected[name].tolist()
    for name in ("intent", "surprise_parts", "strain", "anomaly"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=0)
    _, first = np.unique(later.key.astype(str), return_index=True)
    known = {key for _, key in stored}
    assert np.flatnonzero(found["carry_rebuilt"]).tolist() == [i for i in sorted(first) if later.key[i] in known]
    migrated_rows, expected_rows = stored_rows(table), stored_rows(always_table)
    assert migrated_rows.keys() == expected_rows.keys()
    assert_memories_alike(_memories(migrated_rows), _memories(expected_rows))


def test_what_a_row_of_format_1_no_longer_holds_is_no_event_of_a_user() -> None:
    def fetch(partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        return [ROW_OF_FORMAT_1 for _ in keys]

    scoring, table = pipeline(small_model(1), model_hash=MODEL + 1, fetch_rows=fetch)
    slot = table.slots(np.zeros(1, np.int32), np.array([b"u"], object))
    owner, held = table.sequences(slot)
    assert len(owner) == len(held) == 3
    assert (table.recent(slot, 8)["time_ms"] == NOT_HELD_MS).tolist() == [[False] * 3 + [True] * 2 + [False] * 3]
    event = EventBatch.of(random_events(1, n=1, users=1, first_offset=45).columns, [b"u"], ["6th"])
    event["time_ms"][:] = START_MS + 75_000
    ((scored,)) = score_all(scoring, event)
    assert scored.events_seen.tolist() == [6] and scored.carry_rebuilt.all() and not scored.late.any()
    memory = table.memory(slot)
    assert memory["prices"].tolist() == [1 + ~np.isnan(event["price"][0])]
    assert np.count_nonzero(memory["counts"][0, 0]) == len({3, 5, 8, int(event["action"][0])})
