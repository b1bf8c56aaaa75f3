"""Records of the three source topics -> columns. Pure: bytes in, arrays and rejects out.

The words are Google Analytics 4's. A record that cannot be read is a `Reject`, a value beside the batch, so that
nothing else in its frame is lost by it. What the model never sees (session, device, country, ...) is not even decoded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import nan
from typing import Annotated, Any, Protocol, Self

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

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
_CODES: tuple[Mapping[str, int], ...] = tuple(
    {name: ACTIONS.index(name) for name in names} for names in (CLICK_NAMES, SEARCH_NAMES, PURCHASE_NAMES)
)

# Above it a "price" is a mistake (1e308), and float32 still holds a cent at 1e5 to 1 %.
PRICE_MAX = 1e9
# Ids go out again in two score records and in the state's key; a longer one is no id.
ID_MAX_LENGTH = 256

# The last millisecond that every calendar library can still write: 9999-12-31T23:59:59.999Z.
_TIME_MAX_MS = 253_402_300_799_999

_Id = Annotated[str, Meta(min_length=1, max_length=ID_MAX_LENGTH)]
_ItemId = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None
_Money = float | str | None


class Record(Protocol):
    """What decoding needs of a Kafka record."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int  # ms


class _Event(msgspec.Struct, gc=False):
    user_id: _Id
    event_id: _Id
    event_name: str
    event_time: Annotated[int, Meta(ge=0, le=_TIME_MAX_MS)] | str


class _Item(msgspec.Struct, gc=False):
    item_id: _ItemId = None
    item_category: str | None = None


class _Click(_Event, gc=False):
    item_id: _ItemId = None
    item_category: str | None = None
    price: _Money = None

    def facts(self) -> tuple[str | int | None, str | None, _Money]:
        return self.item_id, self.item_category, self.price


class _Search(_Event, gc=False):
    search_term: str | None = None

    def facts(self) -> tuple[str | int | None, str | None, _Money]:
        return self.search_term and self.search_term.casefold(), None, None


class _Purchase(_Event, gc=False):
    value: _Money = None
    items: list[_Item] | None = None

    def facts(self) -> tuple[str | int | None, str | None, _Money]:
        first = self.items[0] if self.items else _Item()
        return first.item_id, first.item_category, self.value


_DECODERS: tuple[Callable[[bytes], _Click | _Search | _Purchase], ...] = tuple(
    msgspec.json.Decoder(kind).decode for kind in (_Click, _Search, _Purchase)
)


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """A fetched run of records of one topic partition, in offset order, opaque until it is decoded."""

    source: int
    partition: int
    records: Sequence[Record]
    next_offset: int  # the offset after the run's last record


@dataclasses.dataclass(frozen=True, slots=True)
class EventBatch:
    """N events as equal-length columns, in the order in which they are to be applied."""

    source: NDArray[np.uint8]  # index into `SOURCES`
    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    record_time_ms: NDArray[np.int64]  # the Kafka record's own timestamp
    time_ms: NDArray[np.int64]  # event time, bounded
    order_ms: NDArray[np.int64]  # running maximum of event time in its topic partition: the key of the merge
    action: NDArray[np.uint8]  # index into `ACTIONS`
    item: NDArray[np.uint32]  # hash of item id or search term; 0: none
    category: NDArray[np.uint32]  # hash; 0: none
    price: NDArray[np.float32]  # or an order's value, in its own currency; NaN: none
    event_hash: NDArray[np.uint64]  # of the event id
    time_bounded: NDArray[np.bool_]  # the event's own time was not believed
    key: NDArray[np.object_]  # bytes: the user id, as in the record's key
    event_id: NDArray[np.object_]  # str

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Self:
        """The events at `index` (positions, mask or slice), in that order."""
        return type(self)(*(getattr(self, name)[index] for name in _COLUMNS))

    @classmethod
    def concat(cls, batches: Sequence[EventBatch]) -> EventBatch:
        """One batch after the other; without any, the empty batch."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return _EMPTY
        return cls(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in _COLUMNS))


_COLUMNS = tuple(field.name for field in dataclasses.fields(EventBatch))
_EMPTY = EventBatch(
    *(
        np.empty(0, dtype)
        for dtype in ("u1", "i4", "i8", "i8", "i8", "i8", "u1", "u4", "u4", "f4", "u8", "?", object, object)
    )
)


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not become an event: where from, at which stage, and why in words."""

    source: int
    partition: int
    offset: int
    record_time_ms: int
    stage: str
    reason: str  # one of a few words, for counting
    error: str
    key: bytes | None
    value: bytes | None


class _Unfit(Exception):  # noqa: N818 - not an error: it never leaves this module
    def __init__(self, reason: str, error: str) -> None:
        self.reason, self.error = reason, error


@dataclasses.dataclass(frozen=True, slots=True)
class TimeBounds:
    """How far event time may lie from its record's timestamp before the latter is believed instead."""

    max_ahead_ms: int
    max_behind_ms: int


def decode(frame: Frame, bounds: TimeBounds) -> tuple[EventBatch, list[Reject]]:
    """A frame's records as columns, in offset order, and those that are none.

    About 2 us a record; `order_ms` is the running maximum within the frame only (`merge` carries it on).
    """
    decode_one, codes = _DECODERS[frame.source], _CODES[frame.source]
    rows: list[tuple[Any, ...]] = []
    rejects: list[Reject] = []
    for record in frame.records:
        try:
            rows.append(_row(record, decode_one, codes))
        except _Unfit as unfit:
            rejects.append(_reject(frame, record, unfit))
    if not rows:
        return _EMPTY, rejects
    offset, record_time, time, action, item, category, price, event_hash, key, event_id = zip(*rows, strict=True)
    n = len(rows)
    record_time_ms = np.array(record_time, np.int64)
    time_ms = np.array(time, np.int64)
    bounded = (time_ms > record_time_ms + bounds.max_ahead_ms) | (time_ms < record_time_ms - bounds.max_behind_ms)
    time_ms = np.where(bounded, record_time_ms, time_ms)
    batch = EventBatch(
        source=np.full(n, frame.source, np.uint8),
        partition=np.full(n, frame.partition, np.int32),
        offset=np.array(offset, np.int64),
        record_time_ms=record_time_ms,
        time_ms=time_ms,
        order_ms=np.maximum.accumulate(time_ms),
        action=np.array(action, np.uint8),
        item=np.array(item, np.uint32),
        category=np.array(category, np.uint32),
        price=np.array(price, np.float32),
        event_hash=np.array(event_hash, np.uint64),
        time_bounded=bounded,
        key=_objects(key, n),
        event_id=_objects(event_id, n),
    )
    return batch, rejects


def _row(
    record: Record, decode_one: Callable[[bytes], _Click | _Search | _Purchase], codes: Mapping[str, int]
) -> tuple[Any, ...]:
    value = record.value
    if value is None:
        raise _Unfit("null_value", "expected a JSON object, got a null value")
    try:
        event = decode_one(value)
    except msgspec.ValidationError as error:
        raise _Unfit("schema", _in_words(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # nested 1,000 deep is no event
        raise _Unfit(
            "not_json", f"expected a JSON object in UTF-8, got {len(value)} bytes that are none: {error}"
        ) from None
    action = codes.get(event.event_name)
    if action is None:
        raise _Unfit(
            "unknown_event", f"expected one of {', '.join(codes)}, got {_cut(event.event_name)} - at $.event_name"
        )
    key = record.key
    if event.user_id.encode() != key:
        raise _Unfit("key_mismatch", f"expected the record's key to be user_id {_cut(event.user_id)}, got {_cut(key)}")
    time = event.event_time
    item, category, price = event.facts()
    return (
        record.offset,
        record.timestamp,
        time if isinstance(time, int) else _time_ms(time),
        action,
        0 if item is None or item == "" else _hash32(item if type(item) is str else str(item)),
        _hash32(category) if category else 0,
        nan if price is None else _money(price),
        xxh3_64_intdigest(event.event_id.encode()),
        key,
        event.event_id,
    )


def _hash32(text: str) -> int:
    return (xxh3_64_intdigest(text.encode()) & 0xFFFF_FFFF) or 1  # 0 means none


def _money(value: float | str) -> float:
    try:
        amount = abs(float(value))  # shops write a refund's value with and without a sign
    except ValueError:
        amount = nan
    if amount <= PRICE_MAX:  # False for NaN
        return amount
    raise _Unfit("bad_price", f"expected an amount from 0 to {PRICE_MAX:g}, got {_cut(value)} - at $.price or $.value")


def _time_ms(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:16]) <= _TIME_MAX_MS and len(text) <= len(str(_TIME_MAX_MS)):
        return int(text)
    try:
        moment = datetime.fromisoformat(text.upper())  # RFC 3339 allows t and z
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _Unfit(
            "bad_time",
            f"expected RFC 3339 with a zone (2026-01-31T12:00:00.000Z) or milliseconds, got {_cut(text)} - at $.event_time",
        )
    # Whole milliseconds without a float in between, which would turn .001 into .000999
    whole = int(moment.replace(microsecond=0).timestamp()) * 1000
    return max(0, whole + moment.microsecond // 1000)


def _objects(values: Iterable[object], n: int) -> NDArray[np.object_]:
    column = np.empty(n, object)
    column[:] = values
    return column


def _reject(frame: Frame, record: Record, unfit: _Unfit) -> Reject:
    return Reject(
        source=frame.source,
        partition=frame.partition,
        offset=record.offset,
        record_time_ms=record.timestamp,
        stage="decode",
        reason=unfit.reason,
        error=unfit.error,
        key=record.key,
        value=record.value,
    )


def _in_words(error: msgspec.ValidationError) -> str:
    return str(error).replace("`", "")


def _cut(value: object) -> str:
    # A megabyte of rubbish in a message helps nobody.
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
