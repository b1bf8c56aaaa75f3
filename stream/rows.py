"""The row of a user as bytes: what is in the changelog and in RocksDB. Format version 2.

    format u1 | parts u1 | layers u2 | hidden u2 | sequence u2 | model u8 | events_seen i8 | last_time_ms i8
    | offsets i8 x 3 | generations u4 x 3 | memory | raw events x sequence | carry f4 x parts x layers x hidden

Little-endian, no padding. The header says its own sizes, so that a row written with other ones is still read: the
rolling sequence holds raw inputs, from which any model can make its carry again. A version that is not known is
refused. A change of this layout takes the next version number, and `unpack` goes on reading the former ones.

Format 1 had neither memory nor whereabouts: a row of it is read with both empty, and without its carry, which was made
of other features.

Beside the users' rows, each partition has one of its own, with where its sources stood when the rows were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.cuts import Cut
from stream.errors import StateError
from stream.events import SOURCES
from stream.merge import Position

FORMAT = 2
_READABLE = (1, FORMAT)
NO_OFFSET = -1
# The time of an event that a rolling sequence has a place for and never held: it was shorter when the event came.
NOT_HELD_MS = -1

# One event of a rolling sequence, as it came: never a feature, so that features may change without losing state.
RAW_EVENT = np.dtype(
    [
        ("time_ms", "<i8"),
        ("event_hash", "<u8"),
        ("item", "<u4"),
        ("category", "<u4"),
        ("price", "<f4"),
        ("device", "<u2"),
        ("country", "<u2"),
        ("place", "<u2"),
        ("action", "u1"),
    ]
)

# What is kept of all of a user's events, also of those that have left the rolling sequence: running figures of raw
# inputs, by rules in `habits`. But for the strain, no model has a part in them.
COUNT_SCALES = 4
COUNT_BUCKETS = 16  # of actions: there are 13, and a row must not change its layout for a 14th
WHEREABOUTS = ("device", "country", "place")
KNOWN_PLACES = 4  # of each whereabout
MEMORY = np.dtype(
    [
        ("counts", "<f4", (COUNT_SCALES, COUNT_BUCKETS)),  # of actions, fading
        ("prices", "<f4"),  # how many events had one
        ("price_mean", "<f4"),  # of ln(1 + price), of the latest few
        ("price_variance", "<f4"),
        ("strain", "<f4"),  # of surprise beyond the usual, fading: by rules in `anomaly`, and of the carry's model
        ("strain_weight", "<f4"),
        ("known", "<u2", (len(WHEREABOUTS), KNOWN_PLACES)),  # hashes, the latest first; 0: none
    ]
)

_SIZES = ("parts", "layers", "hidden", "sequence")
_HEADER = [
    ("format", "u1"),
    ("parts", "u1"),  # of the carry: h and c of an LSTM, h of others; format 1: always 0, for 2
    ("layers", "<u2"),
    ("hidden", "<u2"),
    ("sequence", "<u2"),
    ("model", "<u8"),  # of the carry: `cuts.carry_mark` of the model that made it; 0: no carry
    ("events_seen", "<i8"),
    ("last_time_ms", "<i8"),
    ("offsets", "<i8", (len(SOURCES),)),  # last applied of each source, NO_OFFSET: none
    ("generations", "<u4", (len(SOURCES),)),  # of each source topic; raised when one is made anew
]
HEADER = np.dtype(_HEADER)

_WORDS_1 = ("time_ms", "event_hash", "item", "category", "price", "action")
_RAW_EVENT_1 = np.dtype([(name, RAW_EVENT[name]) for name in _WORDS_1])

Rows = NDArray[np.void]


class UnreadableRowError(StateError):
    """Bytes that are no row of a format known here; `at`: which of those that were given."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at = at


class Sizes(NamedTuple):
    """What the layout of a row depends on."""

    sequence: int  # R
    parts: int  # P of the carry
    layers: int  # L
    hidden: int  # H


def state_dtype(sequence: int) -> np.dtype[np.void]:
    """A row up to its carry, with R = `sequence` raw events, oldest at `events_seen % R` once full."""
    return np.dtype([*_HEADER, ("memory", MEMORY), ("raw", RAW_EVENT, (sequence,))])


def row_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """A whole row: its state, then a carry [P, L, H]."""
    sequence, *carry = sizes
    return np.dtype([*_HEADER, ("memory", MEMORY), ("raw", RAW_EVENT, (sequence,)), ("carry", "<f4", tuple(carry))])


def new_rows(n: int, sizes: Sizes) -> Rows:
    """n rows of users never seen."""
    rows = np.zeros(n, row_dtype(sizes))
    rows["format"] = FORMAT
    for name in _SIZES:
        rows[name] = getattr(sizes, name)
    rows["last_time_ms"] = rows["offsets"] = NO_OFFSET
    return rows


def headers(values: Sequence[bytes]) -> Rows:
    """[N] of HEADER: what rows say of themselves, in every format. StateError for bytes that are no row."""
    if short := next((value for value in values if len(value) < HEADER.itemsize), None):
        raise StateError(f"row: expected at least {HEADER.itemsize} bytes, got {len(short)}")
    return np.frombuffer(b"".join([value[: HEADER.itemsize] for value in values]), HEADER)


def may_come_again(
    headers: Rows, positions: Mapping[int, Position], generations: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """[N] whether an event that a row holds would be brought by a replay from these positions, so that the row must
    not go: nobody would know then that it was applied.
    """
    ends = [positions[source].offset if source in positions else 0 for source in SOURCES]
    counts = headers["generations"] >= generations  # offsets of a former topic of the name are no places in this one
    return np.asarray((counts & (headers["offsets"] >= np.array(ends))).any(axis=1))


def to_bytes(rows: Rows) -> list[bytes]:
    """Each row's bytes."""
    whole, size = rows.tobytes(), rows.dtype.itemsize
    return [whole[at : at + size] for at in range(0, len(whole), size)]


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """U rows as they are to be persisted, and the users whose row is to be deleted."""

    keys: NDArray[np.object_]  # [U] bytes
    rows: Rows  # [U]
    deleted: Sequence[bytes] = ()

    def __len__(self) -> int:
        return len(self.rows) + len(self.deleted)

    def to_bytes(self) -> list[tuple[bytes, bytes | None]]:
        """(key, row) of each, None for a deleted one; about 2 us a row, which nobody should have to wait for."""
        written = zip(self.keys.tolist(), to_bytes(self.rows), strict=True)
        return [*written, *((key, None) for key in self.deleted)]


def unpack(values: Sequence[bytes], sizes: Sizes) -> Rows:
    """Rows from their bytes, in the sizes asked for.

    A row of another sequence length keeps its latest events; one of another carry, or of format 1, keeps none (`model`
    0). Raises UnreadableRowError for a format that is not known, or bytes that are no row.
    """
    rows = new_rows(len(values), sizes)
    if all(len(value) == rows.dtype.itemsize for value in values):  # nearly always: all at once, not 5 us a row
        as_they_are = np.frombuffer(b"".join(values), rows.dtype)
        if all((as_they_are[name] == rows[name]).all() for name in ("format", *_SIZES)):
            return as_they_are.copy()
    for i, value in enumerate(values):
        try:
            rows[i] = _unpacked(value, rows[i])
        except StateError as error:
            raise UnreadableRowError(i, str(error)) from None
    return rows


def _unpacked(value: bytes, blank: np.void) -> np.void:
    _refuse_unknown(value)
    header = np.frombuffer(value, HEADER, count=1)[0]
    try:
        dtype = _dtype_of(header)
    except ValueError:  # numpy's: larger than a row can be
        raise StateError(f"row: its header says sizes that no row has, and it has {len(value)} bytes") from None
    if dtype.itemsize != len(value):
        raise StateError(f"row: its header says {dtype.itemsize} bytes, but it has {len(value)}")
    row: np.void = np.frombuffer(value, dtype)[0]
    return row if dtype == blank.dtype else _fitted(row, blank)


def _refuse_unknown(value: bytes) -> None:
    if len(value) < HEADER.itemsize:
        raise StateError(f"row: expected at least {HEADER.itemsize} bytes, got {len(value)}")
    if value[0] not in _READABLE:
        raise StateError(f"row: expected format {FORMAT} or older, got {value[0]}; a newer version wrote it")


def _dtype_of(header: np.void) -> np.dtype[np.void]:
    parts, layers, hidden, sequence = (int(header[name]) for name in _SIZES)
    if header["format"] == 1:
        return np.dtype([*_HEADER, ("raw", _RAW_EVENT_1, (sequence,)), ("carry", "<f4", (2, layers, hidden))])
    return row_dtype(Sizes(sequence, parts, layers, hidden))


def _fitted(row: np.void, blank: np.void) -> np.void:
    fitted = blank.copy()
    for name in ("events_seen", "last_time_ms", "offsets", "generations"):
        fitted[name] = row[name]
    seen, had, has = int(row["events_seen"]), int(row["sequence"]), int(blank["sequence"])
    kept, wanted = (np.arange(max(0, seen - n), seen) for n in (min(had, has), has))
    fitted["raw"]["time_ms"][wanted % has] = NOT_HELD_MS
    for name in row["raw"].dtype.names:
        fitted["raw"][name][kept % has] = row["raw"][name][kept % had]
    if row["format"] != FORMAT:
        return fitted
    fitted["memory"] = row["memory"]
    if row["carry"].shape == blank["carry"].shape:
        fitted["model"], fitted["carry"] = row["model"], row["carry"]
    return fitted


# No user has this key: 0xff is in no UTF-8 text.
PARTITION_KEY = b"\xffpartition"
PARTITION_FORMAT = 2


class SourceTopic(msgspec.Struct, frozen=True):
    """Which topic of its name a source was: the id that the broker gave it, and how many there were before."""

    id: str  # empty where the broker tells none
    generation: int = 0


class PartitionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition must know beside its users, written in the same transaction as they and the offsets.

    A restart that forgot the running maximum of event time would merge what follows in another order, and one that
    forgot the cuts would score by another model what this one has scored. Format 1 knew neither its topics nor its
    model.
    """

    format: int = PARTITION_FORMAT
    positions: Mapping[int, Position]  # of each source that was read, and of the erasures (`erasures.ERASURES`)
    topics: Mapping[int, SourceTopic] = {}  # by source
    cuts: tuple[Cut, ...] = ()  # the latest last, at most CUTS_KEPT

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, value: bytes) -> PartitionRow:
        """Raises StateError for a format that is not known, or bytes that are no such row."""
        try:
            row = msgspec.json.decode(value, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"row of a partition: {error}") from None
        if row.format not in (1, PARTITION_FORMAT):
            raise StateError(
                f"row of a partition: expected format {PARTITION_FORMAT} or older, got {row.format}; a newer version "
                "wrote it"
            )
        return row


def refuse_unknown(key: bytes, value: bytes) -> None:
    """StateError for a row that no version up to this one wrote, told by its first bytes: 0.2 us a row."""
    if key == PARTITION_KEY:
        PartitionRow.from_bytes(value)
    else:
        _refuse_unknown(value)
