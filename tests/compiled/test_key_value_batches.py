"""Keys and values to the bytes of record batches: those that aiokafka makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream import rows
from stream.compiled import key_value_batches
from stream.kafka.batches import BATCH_BYTES, Batches, PreparedBatch
from stream.record_batches import read
from tests.producing import Maker, built

NOW_MS = 1_790_000_123_456
Row = tuple[bytes, bytes | None]


def _assert_alike(records: Sequence[Row], max_bytes: int) -> list[bytes]:
    batches = Batches(Maker(max_bytes), NOW_MS)
    for key, value in records:
        batches.append(key, value)
    runs = key_value_batches.batches(records, max_bytes)
    found = built([PreparedBatch(run, NOW_MS, transactional=True) for run in runs])
    assert found == built(batches.close())
    assert [(record.key, record.value) for batch in found for record in read(batch)] == [*records]
    return found


_SIZES = st.one_of(st.integers(0, 70), st.sampled_from([63, 64, 127, 128, 8_191, 8_192, 20_000]))
_BYTES = st.builds(lambda size, byte: bytes([byte]) * size, _SIZES, st.integers(0, 255))


@given(
    st.lists(st.tuples(_BYTES, st.none() | _BYTES), min_size=1, max_size=30),
    st.sampled_from([1, 61, 62, 75, 100, 200, 1_000, 8_300, 20_200, BATCH_BYTES]),
)
@example([(b"", None)], 1)
@example([(b"", b"")], 1)
@example([(rows.PARTITION_KEY, b"{}"), (b"u", None), (b"u", b"")], 80)
@settings(max_examples=300)
def test_batches_of_any_rows_are_aiokafkas_byte_for_byte(records: list[Row], max_bytes: int) -> None:
    _assert_alike(records, max_bytes)


def test_at_every_limit_a_batch_ends_where_aiokafka_ends_it() -> None:
    records: list[Row] = [(b"user-%d" % i, None if i % 3 == 0 else b"r" * (i % 70)) for i in range(150)]
    for max_bytes in range(60, 600, 7):
        batches = _assert_alike(records, max_bytes)
        assert all(len(batch) <= max_bytes for batch in batches) or max_bytes < 150


@pytest.mark.parametrize("size", [1_485, BATCH_BYTES, 3 * BATCH_BYTES])
def test_a_row_that_is_larger_than_a_batch_has_one_of_its_own(size: int) -> None:
    records: list[Row] = [(b"small", b"x"), (b"large", b"x" * size), (b"small", None)]
    assert len(_assert_alike(records, BATCH_BYTES)) == (1 if size < BATCH_BYTES else 3)


def test_more_records_than_a_byte_and_two_bytes_of_a_number_can_count() -> None:
    batches = _assert_alike([(b"%d" % i, None) for i in range(20_000)], BATCH_BYTES)
    assert len(batches) == 1
