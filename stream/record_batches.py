"""Kafka's record batches, version 2, as bytes: read one record after the other.

    base offset i8 | length i4 | leader epoch i4 | magic i1 | crc u4 | attributes i2 | last offset delta i4
    | first timestamp i8 | max timestamp i8 | producer id i8 | epoch i2 | sequence i4 | records i4 | records

and of a record, in numbers of variable length but for the attributes:

    length | attributes i1 | timestamp delta | offset delta | key length | key | value length | value | headers
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES = _HEADER.size
CHECKED_FROM = 21
_AFTER_LENGTH, _CHECKSUM_AT, _MAGIC = 12, 17, 2
COMPRESSION_BITS, APPEND_TIME_BIT, TRANSACTIONAL_BIT = 7, 8, 16


class BatchRecord(NamedTuple):
    """A record of a batch."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int  # ms


class RecordRun(NamedTuple):
    """The records of a batch that is still to be sent."""

    data: bytearray  # room for the header, then the records, all as late as the first
    records: int


class PartitionScores(NamedTuple):
    """What became of events of one partition that came one after the other."""

    partition: int
    intent: Sequence[RecordRun]
    anomaly: Sequence[RecordRun]


class RecordBatches(Sequence[BatchRecord]):
    """The records of batches of one topic partition, in order; parsed anew by whoever goes through them."""

    def __init__(self, batches: Sequence[bytes], from_offset: int) -> None:
        """Whole batches that are not compressed; records before an offset are not wanted."""
        self.batches, self.from_offset = batches, from_offset
        self._count = 0
        self.next_offset = from_offset
        for batch in batches:
            base, *_, last_delta, _, _, _, _, _, count = _HEADER.unpack_from(batch)
            self._count += count if base >= from_offset else min(count, max(0, base + last_delta + 1 - from_offset))
            self.next_offset = base + last_delta + 1

    def __len__(self) -> int:
        """At most so many: where some were compacted away, it may be fewer."""
        return self._count

    def __iter__(self) -> Iterator[BatchRecord]:
        for batch in self.batches:
            yield from (record for record in read(batch) if record.offset >= self.from_offset)

    @overload
    def __getitem__(self, index: int) -> BatchRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[BatchRecord]: ...
    def __getitem__(self, index: int | slice) -> BatchRecord | Sequence[BatchRecord]:
        return list(self)[index]


def next_offset(records: Sequence[Any]) -> int:
    """The offset after these, which are one record at least."""
    return records.next_offset if isinstance(records, RecordBatches) else int(records[-1].offset) + 1


def read(batch: bytes) -> Iterator[BatchRecord]:
    """The records of a batch that is not compressed."""
    base, _, _, _, _, attributes, _, first_ms, max_ms, _, _, _, count = _HEADER.unpack_from(batch)
    at = HEADER_BYTES
    for _ in range(count):
        size, at = varint(batch, at)
        end = at + size
        delta_ms, at = varint(batch, at + 1)
        number, at = varint(batch, at)
        key, at = _bytes(batch, at)
        value, at = _bytes(batch, at)
        time_ms = max_ms if attributes & APPEND_TIME_BIT else _in_64_bits(first_ms + delta_ms)
        yield BatchRecord(key, value, base + number, time_ms)
        at = end


def write_header(run: RecordRun, timestamp_ms: int, *, transactional: bool, producer: tuple[int, int, int]) -> None:
    """Of a batch that is sent by a producer (id, epoch, sequence), but for its checksum."""
    attributes, last = TRANSACTIONAL_BIT if transactional else 0, run.records - 1
    _HEADER.pack_into(
        run.data, 0, 0, len(run.data) - _AFTER_LENGTH, -1, _MAGIC, 0, attributes, last, timestamp_ms, timestamp_ms,
        *producer, run.records,
    )  # fmt: skip


def write_checksum(data: bytearray, checksum: int) -> None:
    """That of what comes `CHECKED_FROM` on."""
    struct.pack_into(">I", data, _CHECKSUM_AT, checksum)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(number, what comes after it): zigzag, then seven bits a byte, the lowest first."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return (number >> 1) ^ -(number & 1), at


def _in_64_bits(number: int) -> int:
    """As brokers and other clients have a sum that is larger: whoever writes a record chooses both of its terms."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = varint(data, at)
    return (None, at) if size < 0 else (bytes(data[at : at + size]), at + size)
