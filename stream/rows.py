"""The row of a user as bytes: what is in the changelog and in RocksDB. Format version 1.

    format u1 | flags u1 | layers u2 | hidden u2 | sequence u2 | model u8 | events_seen i8 | last_time_ms i8
    | offsets i8 x 3 | generations u4 x 3 | raw events x sequence | carry (h, c) f4

Little-endian, no padding. The header says its own sizes, so that a row written with other ones is still read: the
rolling sequence holds raw inputs, from which any model can make its carry again. A version that is not known is
refused. A change of this layout takes the next version number, and `unpack` goes on reading the former ones.

Beside the users' rows, each partition has one of its own, with where its sources stood when the rows were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.errors import StateError
from stream.events import SOURCES
from stream.merge import Position

FORMAT = 1
NO_OFFSET = -1

# One event of a rolling sequence, as it came: never a feature, so that features may change without losing state.
RAW_EVENT = np.dtype(
    [
        ("time_ms", "<i8"),
        ("event_hash", "<u8"),
        ("item", "<u4"),
        ("category", "<u4"),
        ("price", "<f4"),
        ("action", "u1"),
    ]
)

_HEADER = [
    ("format", "u1"),
    ("flags", "u1"),
    ("layers", "<u2"),
    ("hidden", "<u2"),
    ("sequence", "<u2"),
    ("model", "<u8"),  # of the carry: the first 8 bytes of the model's hash; 0: no carry
    ("events_seen", "<i8"),
    ("last_time_ms", "<i8"),
    ("offsets", "<i8", (len(SOURCES),)),  # last applied of each source, NO_OFFSET: none
    ("generations", "<u4", (len(SOURCES),)),  # of each source topic; raised when one is made anew (not yet: 0)
]
HEADER = np.dtype(_HEADER)

Rows = NDArray[np.void]


def state_dtype(sequence: int) -> np.dtype[np.void]:
    """A row up to its carry, with R = `sequence` raw events, oldest at `events_seen % R` once full."""
    return np.dtype([*_HEADER, ("raw", RAW_EVENT, (sequence,))])


def row_dtype(sequence: int, layers: int, hidden: int) -> np.dtype[np.void]:
    """A whole row: its state, then a carry [2, L, H]."""
    return np.dtype([*_HEADER, ("raw", RAW_EVENT, (sequence,)), ("carry", "<f4", (2, layers, hidden))])


def new_rows(n: int, sequence: int, layers: int, hidden: int) -> Rows:
    """n rows of users never seen."""
    rows = np.zeros(n, row_dtype(sequence, layers, hidden))
    rows["format"], rows["layers"], rows["hidden"], rows["sequence"] = FORMAT, layers, hidden, sequence
    rows["last_time_ms"] = rows["offsets"] = NO_OFFSET
    return rows


def to_bytes(rows: Rows) -> list[bytes]:
    """Each row's bytes."""
    whole, size = rows.tobytes(), rows.dtype.itemsize
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def unpack(values: Sequence[bytes], sequence: int, layers: int, hidden: int) -> Rows:
    """Rows from their bytes, in the sizes asked for.

    A row of another sequence length keeps its latest events; one of another hidden size keeps no carry (`model` 0).
    Raises StateError for a format that is not known, or bytes that are no row.
    """
    rows = new_rows(len(values), sequence, layers, hidden)
    if all(len(value) == rows.dtype.itemsize for value in values):  # nearly always: all at once, not 5 us a row
        as_they_are = np.frombuffer(b"".join(values), rows.dtype)
        if all((as_they_are[name] == rows[name]).all() for name in ("format", "layers", "hidden", "sequence")):
            return as_they_are.copy()
    for i, value in enumerate(values):
        rows[i] = _unpacked(value, rows[i])
    return rows


def _unpacked(value: bytes, blank: np.void) -> np.void:
    header = _header(value)
    if header["format"] != FORMAT:
        raise StateError(f"row: expected format {FORMAT}, got {int(header['format'])}; a newer version wrote it")
    dtype = row_dtype(int(header["sequence"]), int(header["layers"]), int(header["hidden"]))
    if dtype.itemsize != len(value):
        raise StateError(f"row: its header says {dtype.itemsize} bytes, but it has {len(value)}")
    row: np.void = np.frombuffer(value, dtype)[0]
    return row if dtype == blank.dtype else _resized(row, blank)


def _header(value: bytes) -> np.void:
    if len(value) < HEADER.itemsize:
        raise StateError(f"row: expected at least {HEADER.itemsize} bytes, got {len(value)}")
    header: np.void = np.frombuffer(value, HEADER, count=1)[0]
    return header


def _resized(row: np.void, blank: np.void) -> np.void:
    resized = blank.copy()
    for name in ("events_seen", "last_time_ms", "offsets", "generations"):
        resized[name] = row[name]
    seen, had, has = int(row["events_seen"]), int(row["sequence"]), int(blank["sequence"])
    kept = np.arange(max(0, seen - min(had, has)), seen)
    resized["raw"][kept % has] = row["raw"][kept % had]
    if (row["layers"], row["hidden"]) == (blank["layers"], blank["hidden"]):
        resized["model"], resized["carry"] = row["model"], row["carry"]
    return resized


# No user has this key: 0xff is in no UTF-8 text.
PARTITION_KEY = b"\xffpartition"


class PartitionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition must know beside its users, written in the same transaction as they and the offsets.

    A restart that forgot the running maximum of event time would merge what follows in another order.
    """

    format: int = FORMAT
    positions: Mapping[int, Position]  # of each source that was read

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, value: bytes) -> PartitionRow:
        """Raises StateError for a format that is not known, or bytes that are no such row."""
        try:
            row = msgspec.json.decode(value, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"row of a partition: {error}") from None
        if row.format != FORMAT:
            raise StateError(
                f"row of a partition: expected format {FORMAT}, got {row.format}; a newer version wrote it"
            )
        return row
