"""What an event is: the words that it may use, and the columns of a batch.

The words are Google Analytics 4's.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream import structured

CLICKS, SEARCHES, PURCHASES = SOURCES = (0, 1, 2)

CLICK_NAMES = (
    "view_item_list",
    "select_item",
    "view_item",
    "add_to_wishlist",
    "add_to_cart",
    "remove_from_cart",
    "view_cart",
    "begin_checkout",
    "add_payment_info",
)
SEARCH_NAMES = ("search",)
PURCHASE_NAMES = ("purchase", "refund")
# The code of an action is its place here; 0 is "none". Rows and models hold these codes: append, never reorder.
ACTIONS = ("none", *CLICK_NAMES, *SEARCH_NAMES, *PURCHASE_NAMES)

# Above it a "price" is a mistake (1e308), and float32 still holds a cent at 1e5 to 1 %.
PRICE_MAX = 1e9
# Ids go out again in two score records and in the state's key; a longer one is no id.
ID_MAX_LENGTH = 256


class Record(Protocol):
    """What decoding needs of a Kafka record."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """A fetched run of records of one topic partition, in offset order, opaque until it is decoded."""

    source: int
    partition: int
    records: Sequence[Record]
    next_offset: int  # the offset after the run's last record


# One event of a batch. One array of these instead of one per column: a batch is cut and joined many times, and every
# call costs, the more where threads wait for the interpreter (merging took 3.3 us an event with 12 arrays).
EVENT = np.dtype(
    [
        ("source", "u1"),  # index into `SOURCES`
        ("partition", "i4"),
        ("offset", "i8"),
        ("record_time_ms", "i8"),  # the Kafka record's own timestamp
        ("time_ms", "i8"),  # event time, bounded
        ("order_ms", "i8"),  # running maximum of event time in its topic partition: the key of the merge
        ("action", "u1"),  # index into `ACTIONS`
        ("item", "u4"),  # hash of item id or search term; 0: none
        ("category", "u4"),  # hash; 0: none
        ("price", "f4"),  # or an order's value, in its own currency; NaN: none
        ("device", "u2"),  # hash, as of the next two; 0: none
        ("country", "u2"),
        ("place", "u2"),  # location id
        ("event_hash", "u8"),  # of the event id
        ("user_hash", "u8"),  # of the user id
        ("time_bounded", "?"),  # the event's own time was not believed
        ("text_at", "i8"),  # where in the batch's text the user id begins; the event id follows it
        ("key_size", "u2"),  # bytes of the one
        ("id_size", "u2"),  # and the other
    ]
)


@dataclasses.dataclass(frozen=True, slots=True)
class EventBatch:
    """N events, in the order in which they are to be applied.

    User ids and event ids are bytes in one array, not an object each: a million events are a million columns' rows, and
    no more than that to Python.
    """

    columns: NDArray[np.void]  # [N] of EVENT
    text: NDArray[np.uint8]  # of these events, and perhaps of others that this batch was taken from

    @classmethod
    def of(cls, columns: NDArray[np.void], keys: Sequence[bytes], event_ids: Sequence[str]) -> Self:
        """Columns [N] and the user id, as in the record's key, and event id of each."""
        ids = [event_id.encode() for event_id in event_ids]
        columns["user_hash"] = np.array([*map(xxh3_64_intdigest, keys)], np.uint64)
        columns["key_size"], columns["id_size"] = [*map(len, keys)], [*map(len, ids)]
        columns["text_at"] = _places(_sizes(columns))
        text = b"".join(itertools.chain.from_iterable(zip(keys, ids, strict=True)))
        return cls(columns, np.frombuffer(text, np.uint8))

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """[N] a column of EVENT, by name."""
        return self.columns[name]

    @property
    def key(self) -> NDArray[np.object_]:
        """[N] bytes: the user id, as in the record's key. Made anew each time, 0.2 us an event."""
        at = self.columns["text_at"]
        return self._pieces(at, at + self.columns["key_size"], bytes)

    @property
    def event_id(self) -> NDArray[np.object_]:
        """[N] str. Made anew each time."""
        at = self.columns["text_at"] + self.columns["key_size"]
        return self._pieces(at, at + self.columns["id_size"], lambda piece: str(piece, "utf-8"))

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Self:
        """The events at `index` (positions, mask or slice), in that order; with the same text."""
        return type(self)(structured.take(self.columns, index), self.text)

    def compact(self) -> Self:
        """The same with a text of its own, which keeps nothing else in memory."""
        sizes = _sizes(self.columns)
        used = int(sizes.sum())
        if used == len(self.text):
            return self
        columns, places = self.columns.copy(), _places(sizes)
        text = self.text[np.repeat(columns["text_at"] - places, sizes) + np.arange(used)]
        columns["text_at"] = places
        return type(self)(columns, text)

    @classmethod
    def concat(cls, batches: Sequence[EventBatch]) -> EventBatch:
        """One batch after the other; without any, the empty batch."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return cls(np.empty(0, EVENT), np.empty(0, np.uint8))
        batches = [batch.compact() for batch in batches]
        columns = structured.concat([batch.columns for batch in batches])
        before = itertools.accumulate((len(batch.text) for batch in batches[:-1]), initial=0)
        columns["text_at"] += np.repeat(list(before), [len(batch) for batch in batches])
        return cls(columns, np.concatenate([batch.text for batch in batches]))

    def _pieces(self, begins: NDArray[Any], ends: NDArray[Any], made: Callable[[Any], Any]) -> NDArray[np.object_]:
        text, pieces = self.text.data, np.empty(len(self), object)
        pieces[:] = [made(text[begin:end]) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        return pieces


def _sizes(columns: NDArray[np.void]) -> NDArray[np.int64]:
    sizes: NDArray[np.int64] = columns["key_size"].astype(np.int64) + columns["id_size"]
    return sizes


def _places(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.cumsum(sizes) - sizes)


# Why a record could not become an event; few words, for counting.
Reason = Literal["not_json", "schema", "null_value", "unknown_event", "key_mismatch", "bad_price", "bad_time"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not become an event: where from, at which stage, and why in words."""

    source: int
    partition: int
    offset: int
    record_time_ms: int
    stage: str
    reason: Reason
    error: str
    key: bytes | None
    value: bytes | None
