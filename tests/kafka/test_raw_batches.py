"""Record batches as they were fetched: what they hold, and where a consumer stands after them, is as stock has it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kafka import raw_batches
from stream.kafka.raw_batches import BatchesOfPartition, Fetched, KeptRecords, as_batches, run_of, to_batches
from stream.record_batches import BatchRecord, RecordBatches, next_offset
from tests.shop import START_MS, FakeRecord
from tests.stored_batches import GZIP, LZ4, SNAPPY, ZSTD, checked, stored

TP = TopicPartition("clicks", 3)
# (producer, first offset of what it aborted)
Aborted = Sequence[tuple[int, int]]
_ABORT, _COMMIT = 0, 1
_CODECS = {GZIP: has_gzip, SNAPPY: has_snappy, LZ4: has_lz4, ZSTD: has_zstd}
_NAMES = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}


def _records(first: int, n: int = 3, gap: int = 1) -> list[FakeRecord]:
    values = [b'{"a":1}', b"", None, b"x" * 300]
    return [
        FakeRecord(None if i % 3 == 2 else b"u%d" % i, values[i % 4], first + gap * i, START_MS + i) for i in range(n)
    ]


def _marker(offset: int, producer: int, kind: int) -> bytes:
    record = FakeRecord(struct.pack(">HH", 0, kind), struct.pack(">hi", 0, 5), offset, START_MS)
    return stored([record], producer_id=producer, transactional=True, control=True)


def _legacy(records: Sequence[FakeRecord], magic: int, codec: int = 0) -> bytes:
    """A message set; one that is compressed has its last message's offset, and in magic 1 offsets from 0 within."""
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 30)
    first = records[0].offset if codec and magic else 0
    for record in records:
        builder.append(record.offset - first, record.timestamp, record.key, record.value)
    message_set = bytearray(builder.build())
    if codec:
        struct.pack_into(">q", message_set, 0, records[-1].offset)
    return bytes(message_set)


def _stock(data: bytes, position: int, aborted: Aborted, isolation: int, *, check_crcs: bool = True) -> Any:
    return PartitionRecords(TP, MemoryRecords(data), [*aborted], position, None, None, check_crcs, isolation)


def _ours(data: bytes, position: int, aborted: Aborted, isolation: int, *, check_crcs: bool = True) -> Any:
    return BatchesOfPartition(TP, KeptRecords(data), [*aborted], position, as_batches, None, check_crcs, isolation)


def _plain(records: Sequence[Any]) -> list[BatchRecord]:
    return [BatchRecord(r.key, r.value, r.offset, r.timestamp) for r in records]


def _assert_alike(
    batches: Sequence[bytes], *, position: int = 0, aborted: Aborted = (), isolation: int = READ_COMMITTED
) -> list[BatchRecord]:
    """Of as many of the batches as were fetched: the same records, and the same position after them."""
    told: list[BatchRecord] = []
    for n in range(len(batches) + 1):
        data = b"".join(batches[:n])
        stock, ours = (kind(data, position, aborted, isolation) for kind in (_stock, _ours))
        told, fetched = _plain([*stock]), [*ours]
        assert _plain([*run_of(fetched)] if fetched else []) == told
        assert ours.next_fetch_offset == stock.next_fetch_offset
    return told


def test_whole_batches_are_handed_on_as_they_are() -> None:
    batches = [stored(_records(0)), stored(_records(3, 5)), stored(_records(8, 1))]
    fetched = [*_ours(b"".join(batches), 0, (), READ_COMMITTED)]
    assert [one.batch for one in fetched] == batches
    assert [(one.from_offset, one.offset, one.timestamp) for one in fetched] == [
        (0, 2, START_MS + 2),
        (3, 7, START_MS + 4),
        (8, 8, START_MS),
    ]
    run = run_of(fetched)
    assert isinstance(run, RecordBatches) and (len(run), run.next_offset) == (9, 9)
    assert len(_assert_alike(batches)) == 9


def test_after_each_batch_a_consumer_stands_behind_it_and_never_within() -> None:
    batches = [stored(_records(0)), stored(_records(10, 2), base=5, last=19), stored(_records(20))]
    ours = _ours(b"".join(batches), 1, (), READ_COMMITTED)
    assert [(next(ours).offset, ours.next_fetch_offset) for _ in batches] == [(2, 3), (19, 20), (22, 23)]
    assert next(ours, None) is None and ours.next_fetch_offset == 23


@pytest.mark.parametrize("position", range(25))
def test_records_before_the_position_are_passed_over(position: int) -> None:
    batches = [stored(_records(0)), stored(_records(5, 4, gap=3), base=4, last=16), stored(_records(20))]
    _assert_alike(batches, position=position)
    ends = (3, 17, 23)
    answer = [batch for batch, end in zip(batches, ends, strict=True) if end > position]  # as a broker gives it
    found = _assert_alike(answer, position=position)
    assert [record.offset for record in found] == [o for o in (0, 1, 2, 5, 8, 11, 14, 20, 21, 22) if o >= position]


def test_a_batch_of_which_nothing_is_left_moves_the_position_past_it() -> None:
    empty = bytearray(stored(_records(5, 1), last=9)[:61])
    struct.pack_into(">i", empty, 8, len(empty) - 12)
    struct.pack_into(">i", empty, 57, 0)
    batches = [stored(_records(0)), checked(empty), stored(_records(10))]
    assert len(_assert_alike(batches)) == 6
    assert len(_assert_alike(batches[:2])) == 3
    (of_none,) = _ours(checked(empty), 5, (), READ_COMMITTED)
    assert (len(run_of([of_none])), next_offset(run_of([of_none]))) == (0, 10)


@pytest.mark.parametrize("isolation", [READ_COMMITTED, READ_UNCOMMITTED])
def test_what_was_aborted_is_dropped_and_markers_are_no_records(isolation: int) -> None:
    batches = [
        stored(_records(0), producer_id=7, transactional=True),
        stored(_records(3), producer_id=8, transactional=True),
        stored(_records(6), producer_id=7),  # outside of any transaction
        _marker(9, 7, _ABORT),
        stored(_records(10), producer_id=7, transactional=True),
        _marker(13, 8, _COMMIT),
        _marker(14, 7, _COMMIT),
        stored(_records(15)),
    ]
    found = _assert_alike(batches, aborted=[(7, 0)], isolation=isolation)
    dropped = 3 if isolation == READ_COMMITTED else 0
    assert [record.offset for record in found] == [*range(dropped, 9), *range(10, 13), *range(15, 18)]
    for position in range(18):
        _assert_alike(batches, position=position, aborted=[(7, 0)], isolation=isolation)
    _assert_alike(batches[:4], aborted=[(7, 0)], isolation=isolation)


def test_a_producer_that_aborts_again_and_again_is_believed_each_time() -> None:
    batches, aborted, offset = [], [], 0
    for round_ in range(6):
        batches.append(stored(_records(offset), producer_id=7, transactional=True))
        batches.append(_marker(offset + 3, 7, _COMMIT if round_ % 3 == 1 else _ABORT))
        aborted += [(7, offset)] if round_ % 3 != 1 else []
        offset += 4
    assert len(_assert_alike(batches, aborted=[*reversed(aborted)])) == 6


@pytest.mark.parametrize("codec", _CODECS, ids=_NAMES.values())
def test_a_batch_that_was_compressed_is_handed_on_as_it_was_before(codec: int) -> None:
    if not _CODECS[codec]():
        pytest.skip(f"no library for {_NAMES[codec]} is installed")
    records = _records(100, 50)
    batches = [stored(records, codec=codec), stored(_records(150)), stored(_records(153, 40), codec=codec)]
    assert len(_assert_alike(batches, position=120)) == 73
    (fetched,) = _ours(batches[0], 0, (), READ_COMMITTED)
    plain = stored(records)
    assert checked(bytearray(fetched.batch)) == plain and len(plain) > len(batches[0])
    assert _plain([*RecordBatches([fetched.batch], 0)]) == _plain(records)


@pytest.mark.parametrize("codec", [SNAPPY, LZ4, ZSTD, 5, 6, 7])
def test_a_codec_that_is_not_there_is_said_to_be_missing_as_stock_says_it(codec: int) -> None:
    if _CODECS.get(codec, bool)():
        pytest.skip(f"{_NAMES[codec]} is installed")
    batch = bytearray(stored(_records(0)))
    batch[22] |= codec
    said = []
    for kind in (_stock, _ours):
        with pytest.raises(UnsupportedCodecError) as error:
            [*kind(checked(batch), 0, (), READ_COMMITTED)]
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("codec", [0, GZIP])
def test_any_bit_that_is_not_as_it_was_written_makes_a_batch_corrupt(codec: int) -> None:
    good, bad = stored(_records(0)), stored(_records(3, 20), codec=codec)
    for at in [17, 18, 21, *range(23, len(bad), 7)]:
        broken = bytearray(bad)
        broken[at] ^= 1 << at % 8
        data = good + bytes(broken) + stored(_records(23))
        for kind in (_stock, _ours):
            records = kind(data, 0, (), READ_COMMITTED)
            with pytest.raises(CorruptRecordException, match="Invalid CRC"):
                for _ in range(100):
                    next(records)
            assert records.next_fetch_offset == 3  # what came before it is good


def test_a_consumer_that_checks_nothing_is_given_what_there_is() -> None:
    broken = bytearray(stored(_records(0)))
    broken[17] ^= 1
    (fetched,) = _ours(bytes(broken), 0, (), READ_COMMITTED, check_crcs=False)
    assert fetched.batch == bytes(broken)


def test_a_last_batch_that_was_cut_off_is_left_for_the_next_fetch() -> None:
    whole, last = stored(_records(0)), stored(_records(3))
    for end in range(len(last)):
        assert len(_assert_alike([whole, last[:end]])) == 3


@pytest.mark.parametrize("length", [-1, 0, 5, 13])
def test_a_batch_that_is_too_short_to_be_one_is_as_corrupt_as_to_stock(length: int) -> None:
    data = stored(_records(0)) + struct.pack(">qi", 3, length) + bytes(max(0, length))
    ended: list[type[Exception] | None] = []
    for kind in (_stock, _ours):
        try:
            assert [*kind(data, 0, (), READ_COMMITTED)]
            ended.append(None)
        except Exception as error:
            ended.append(type(error))
    assert ended[0] is ended[1]


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, GZIP])
def test_message_sets_of_old_brokers_are_read_record_by_record(magic: int, codec: int) -> None:
    sets = [_legacy(_records(0), magic, codec), _legacy(_records(3, 4), magic, codec)]
    found = _assert_alike(sets)
    assert [record.offset for record in found] == [*range(7)]
    if codec:  # others are never sent from within
        assert len(_assert_alike(sets, position=2)) == 5
    fetched = [*_ours(b"".join(sets), 0, (), READ_COMMITTED)]
    assert not any(type(one) is Fetched for one in fetched)
    fetched += _ours(stored(_records(7)), 8, (), READ_COMMITTED)
    assert [record.offset for record in run_of(fetched)] == [*range(7), 8, 9]


@pytest.mark.parametrize("magic", [0, 1])
def test_a_message_set_with_a_wrong_checksum_is_corrupt(magic: int) -> None:
    broken = bytearray(_legacy(_records(0, 1), magic))
    broken[-1] ^= 1
    for kind in (_stock, _ours):
        with pytest.raises(CorruptRecordException):
            next(kind(bytes(broken), 0, (), READ_COMMITTED))


@st.composite
def _logs(draw: st.DrawFn) -> tuple[list[bytes], Aborted]:
    """What may stand in a partition: transactions of three producers, compacted and compressed batches."""
    offset, batches, aborted = draw(st.integers(0, 5)), [], []
    begun: dict[int, int] = {}
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["plain", "plain", "transaction", "transaction", "end"]))
        producer = draw(st.integers(1, 3))
        if kind == "end":
            ends = draw(st.sampled_from([_ABORT, _COMMIT]))
            if producer in begun and ends == _ABORT:
                aborted.append((producer, begun[producer]))
            begun.pop(producer, None)
            batches.append(_marker(offset, producer, ends))
            offset += 1
        else:
            n, gap, skipped = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
            records = _records(offset + skipped, n, gap)
            last = records[-1].offset + draw(st.integers(0, 2))
            transactional = kind == "transaction"
            if transactional:
                begun.setdefault(producer, offset)
            batches.append(
                stored(
                    records,
                    base=offset,
                    last=last,
                    codec=draw(st.sampled_from([0, 0, GZIP])),
                    producer_id=producer if transactional or draw(st.booleans()) else -1,
                    transactional=transactional,
                    append_time_ms=draw(st.none() | st.just(START_MS + 99)),
                )
            )
            offset = last + 1
        offset += draw(st.integers(0, 1))
    return batches, aborted


@given(_logs(), st.integers(0, 40), st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]))
@settings(max_examples=300)
def test_any_log_from_any_position(log: tuple[list[bytes], Aborted], position: int, isolation: int) -> None:
    _assert_alike(log[0], position=position, aborted=log[1], isolation=isolation)


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("MemoryRecords", "PartitionRecords"):
        monkeypatch.setattr(fetcher, name, getattr(fetcher, name))
    raw_batches.install()
    yield


@pytest.mark.usefixtures("_installed")
def test_only_a_consumer_that_asks_for_batches_is_given_them() -> None:
    data = stored(_records(0)) + stored(_records(3))
    stock = fetcher.PartitionRecords(TP, fetcher.MemoryRecords(data), [], 1, None, None, True, READ_COMMITTED)
    assert type(stock) is PartitionRecords
    assert [record.offset for record in stock] == [1, 2, 3, 4, 5]
    asking = fetcher.PartitionRecords(TP, fetcher.MemoryRecords(data), [], 1, as_batches, None, True, READ_COMMITTED)
    assert [(one.from_offset, one.offset) for one in asking] == [(1, 2), (3, 5)]
    upper = fetcher.PartitionRecords(TP, fetcher.MemoryRecords(data), [], 5, len, bytes.upper, True, READ_COMMITTED)
    assert isinstance(upper, PartitionRecords) and not isinstance(upper, BatchesOfPartition)


@pytest.mark.usefixtures("_installed")
def test_nothing_fetched_is_nothing_kept() -> None:
    for data in (b"", b"\0" * 5, stored(_records(0))[:40]):
        kept, stock = fetcher.MemoryRecords(data), MemoryRecords(data)
        assert (
            (kept.has_next(), kept.size_in_bytes()) == (stock.has_next(), stock.size_in_bytes()) == (False, len(data))
        )


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 7))
def test_records_made_into_batches_are_read_back(gaps: list[int], most: int) -> None:
    records = _records(0, len(gaps))
    offset = 5
    for record, gap in zip(records, gaps, strict=True):
        record.offset = offset = offset + 1 + gap
    batches = to_batches(records, most)
    assert _plain([*batches]) == _plain(records)
    assert [batches[i] for i in range(len(records))] == _plain(records)
    assert batches[1:3] == _plain(records[1:3])
    if records:
        assert (len(batches), next_offset(batches)) == (len(records), records[-1].offset + 1)
