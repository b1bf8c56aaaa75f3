"""What an event is: the words that it may use, and the columns of a batch.

The words are Google Analytics 4's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray

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

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int  # ms


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
        ("time_bounded", "?"),  # the event's own time was not believed
    ]
)


@dataclasses.dataclass(frozen=True, slots=True)
class EventBatch:
    """N events, in the order in which they are to be applied."""

    columns: NDArray[np.void]  # [N] of EVENT
    key: NDArray[np.object_]  # [N] bytes: the user id, as in the record's key
    event_id: NDArray[np.object_]  # [N] str

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """[N] a column of EVENT, by name."""
        return self.columns[name]

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Self:
        """The events at `index` (positions, mask or slice), in that order."""
        return type(self)(structured.take(self.columns, index), self.key[index], self.event_id[index])

    @classmethod
    def concat(cls, batches: Sequence[EventBatch]) -> EventBatch:
        """One batch after the other; without any, the empty batch."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return cls(np.empty(0, EVENT), np.empty(0, object), np.empty(0, object))
        return cls(
            structured.concat([batch.columns for batch in batches]),
            np.concatenate([batch.key for batch in batches]),
            np.concatenate([batch.event_id for batch in batches]),
        )


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
