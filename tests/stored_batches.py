"""Record batches as a broker stores them, also those that no producer makes: compacted, aborted, stamped on arrival."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import google_crc32c
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream.events import Record
from stream.record_batches import CHECKED_FROM, write_checksum

GZIP, SNAPPY, LZ4, ZSTD = range(1, 5)
_ATTRIBUTES_AT, _LAST_DELTA_AT, _MAX_TIMESTAMP_AT = 21, 23, 35
_APPEND_TIME, _CONTROL = 8, 32
_BYTES_MOST = 1 << 30

Headers = Sequence[tuple[str, bytes | None]]


def stored(
    records: Sequence[Record],
    *,
    base: int | None = None,
    last: int | None = None,
    append_time_ms: int | None = None,
    codec: int = 0,
    producer_id: int = -1,
    transactional: bool = False,
    control: bool = False,
    headers: Headers = (),
) -> bytes:
    """A batch of these records, from offset `base` to `last`: there were others that were compacted away."""
    base = records[0].offset if base is None else base
    last = records[-1].offset if last is None else last
    builder = DefaultRecordBatchBuilder(2, codec, transactional, producer_id, 0, 0, _BYTES_MOST)
    for record in records:
        builder.append(record.offset - base, record.timestamp, record.key, record.value, [*headers])
    batch = bytearray(builder.build())
    (attributes,) = struct.unpack_from(">h", batch, _ATTRIBUTES_AT)
    attributes |= (_CONTROL if control else 0) | (0 if append_time_ms is None else _APPEND_TIME)
    struct.pack_into(">q", batch, 0, base)
    struct.pack_into(">h", batch, _ATTRIBUTES_AT, attributes)
    struct.pack_into(">i", batch, _LAST_DELTA_AT, last - base)
    if append_time_ms is not None:
        struct.pack_into(">q", batch, _MAX_TIMESTAMP_AT, append_time_ms)
    return checked(batch)


def checked(batch: bytearray) -> bytes:
    """With the checksum that is right for it."""
    write_checksum(batch, google_crc32c.value(bytes(batch[CHECKED_FROM:])))
    return bytes(batch)
