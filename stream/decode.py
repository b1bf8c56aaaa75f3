"""Records of the three source topics -> columns. Pure: bytes in, arrays and rejects out.

A record that cannot be read is a `Reject`, a value beside the batch, so that nothing else in its frame is lost by it.
What the model never sees (session, address, currency, ...) is not even decoded.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import inf, isnan, nan
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from xxhash import xxh3_64_intdigest

from stream.events import (
    ACTIONS,
    CLICK_NAMES,
    EVENT,
    ID_MAX_LENGTH,
    PRICE_MAX,
    PURCHASE_NAMES,
    SEARCH_NAMES,
    EventBatch,
    Frame,
    Reason,
    Record,
    Reject,
)

_CODES: tuple[Mapping[str, int], ...] = tuple(
    {name: ACTIONS.index(name) for name in names} for names in (CLICK_NAMES, SEARCH_NAMES, PURCHASE_NAMES)
)


# The last millisecond that every calendar library can still write: 9999-12-31T23:59:59.999Z.
TIME_MAX_MS = 253_402_300_799_999
_TIME_DIGITS = len(str(TIME_MAX_MS))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NESTED_MAX = 200
_NESTS_FROM_BYTES = 2 * _NESTED_MAX  # what is shorter cannot: each bracket is closed, or it is no JSON anyway
# Or what is left of the record, where it never ends; nothing of it is looked at twice.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)

# Item ids, categories and search words come again and again: 0.05 us from the cache, 0.2 us anew. One may be a megabyte
# long; those are not kept, or a sender of many would fill the memory.
_HASHES_KEPT, _KEPT_CHARACTERS = 1 << 16, 64

_Id = Annotated[str, Meta(min_length=1, max_length=ID_MAX_LENGTH)]
_ItemId = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None
_Money = float | str | None


class _Event(msgspec.Struct, gc=False):
    user_id: _Id
    event_id: _Id
    event_name: str
    event_time: Annotated[int, Meta(ge=0, le=TIME_MAX_MS)] | str
    # Of any type: a shop that sends an object here loses what it says, not the event
    device_id: Any = None
    country: Any = None
    location_id: Any = None


class _Item(msgspec.Struct, gc=False):
    item_id: _ItemId = None
    item_category: str | None = None


class _Click(_Event, gc=False):
    item_id: _ItemId = None
    item_category: str | None = None
    price: _Money = None


class _Search(_Event, gc=False):
    search_term: str | None = None


class _Purchase(_Event, gc=False):
    value: _Money = None
    items: list[_Item] | None = None


class _Facts(NamedTuple):
    """What the model sees of N events beside action and time: a list each."""

    item: list[str | int | None]
    category: list[str | None]
    amount: list[_Money]


def _click_facts(events: list[_Click]) -> _Facts:
    return _Facts([e.item_id for e in events], [e.item_category for e in events], [e.price for e in events])


def _search_facts(events: list[_Search]) -> _Facts:
    nothing: list[Any] = [None] * len(events)
    return _Facts([e.search_term and e.search_term.casefold() for e in events], nothing, nothing)


def _purchase_facts(events: list[_Purchase]) -> _Facts:
    first = [e.items[0] if e.items else _Item() for e in events]
    return _Facts([i.item_id for i in first], [i.item_category for i in first], [e.value for e in events])


_DECODERS: tuple[Callable[[bytes], Any], ...] = tuple(
    msgspec.json.Decoder(kind).decode for kind in (_Click, _Search, _Purchase)
)
_FACTS: tuple[Callable[[list[Any]], _Facts], ...] = (_click_facts, _search_facts, _purchase_facts)


@dataclasses.dataclass(frozen=True, slots=True)
class TimeBounds:
    """How far event time may lie from its record's timestamp before the latter is believed instead."""

    max_ahead_ms: int
    max_behind_ms: int
    # A record's own timestamp must be before it. One of next year would be the time of its whole topic partition from
    # there on, by which everybody has been silent for long.
    end_ms: int = TIME_MAX_MS + 1


def decode(frame: Frame, bounds: TimeBounds) -> tuple[EventBatch, list[Reject]]:
    """A frame's records as columns, in offset order, and those that are none.

    `order_ms` is the running maximum within the frame only; `merge` carries it on.
    """
    return decode_all([frame], bounds)[0]


def decode_all(frames: Sequence[Frame], bounds: TimeBounds) -> list[tuple[EventBatch, list[Reject]]]:
    """What `decode` makes of each frame; all are of one source.

    At once: the arrays of a frame cost 60 us, however few its records are, and a poll brings one per topic partition.
    """
    source = frames[0].source
    events, records, counts, rejects = _parsed(frames)
    codes = _CODES[source]
    keys = [record.key for record in records]
    users = [event.user_id.encode() for event in events]
    facts = _FACTS[source](events)
    action = np.array([codes.get(event.event_name, 0) for event in events], np.uint8)
    time_ms = np.array([t if type(t) is int else event_time_ms(t) for t in [e.event_time for e in events]], np.int64)
    amount = np.array([p if type(p) is float and p >= 0 else amount_of(p) for p in facts.amount], np.float64)
    record_time_ms = np.array([record.timestamp for record in records], np.int64)
    good = (action != 0) & (time_ms >= 0) & ~(amount > PRICE_MAX)
    good &= (record_time_ms >= 0) & (record_time_ms < bounds.end_ms)
    if users != keys:
        good &= np.array([user == key for user, key in zip(users, keys, strict=True)], np.bool_)

    columns = np.empty(len(events), EVENT)
    columns["source"], columns["partition"] = source, np.repeat([frame.partition for frame in frames], counts)
    columns["offset"] = [record.offset for record in records]
    columns["record_time_ms"] = record_time_ms
    bounded = (time_ms > record_time_ms + bounds.max_ahead_ms) | (time_ms < record_time_ms - bounds.max_behind_ms)
    columns["time_bounded"] = bounded
    columns["time_ms"] = np.where(bounded, record_time_ms, time_ms)
    columns["action"] = action
    columns["item"] = _hashes(facts.item)
    columns["category"] = _hashes(facts.category)
    columns["price"] = np.where(good, amount, nan)
    columns["device"] = [_hash16(event.device_id) for event in events]
    columns["country"] = [_hash16(event.country) for event in events]
    columns["place"] = [_hash16(event.location_id) for event in events]
    columns["event_hash"] = np.array([xxh3_64_intdigest(event.event_id.encode()) for event in events], np.uint64)
    # One whose key is none, or another's, is no event: what its text says here is never read.
    everything = EventBatch.of(columns, users, [event.event_id for event in events])

    decoded, end = [], 0
    for frame, count, refused in zip(frames, counts, rejects, strict=True):
        start, end = end, end + count
        batch, fit = everything.take(slice(start, end)), good[start:end]
        if not fit.all():
            batch = batch.take(fit)
            for i in (start + np.flatnonzero(~fit)).tolist():
                refused.append(
                    _reject(frame, records[i], *_unfit(events[i], records[i], codes, facts.amount[i], bounds))
                )
            refused.sort(key=lambda reject: reject.offset)
        batch["order_ms"][:] = np.maximum.accumulate(batch["time_ms"])
        decoded.append((batch, refused))
    return decoded


def _parsed(frames: Sequence[Frame]) -> tuple[list[Any], list[Record], list[int], list[list[Reject]]]:
    """The records that are JSON of the right shape, each beside its event, how many per frame; its other records."""
    decode_one = _DECODERS[frames[0].source]
    events: list[Any] = []
    records, counts, rejects = [], [], []
    for frame in frames:
        before, refused = len(events), []
        for record in frame.records:
            value = record.value
            try:
                if len(value) >= _NESTS_FROM_BYTES and _nests_too_deep(value):  # type: ignore[arg-type]  # as below
                    words = f"expected at most {_NESTED_MAX} brackets open at a time, got more"
                    refused.append(_reject(frame, record, "not_json", words))
                    continue
                events.append(decode_one(value))  # type: ignore[arg-type]  # None: a TypeError
                records.append(record)
            except msgspec.ValidationError as error:
                refused.append(_reject(frame, record, "schema", str(error).replace("`", "")))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                words = f"expected a JSON object in UTF-8, got {len(value or b'')} bytes that are none: {error}"
                refused.append(_reject(frame, record, "not_json", words))
            except TypeError:
                refused.append(_reject(frame, record, "null_value", "expected a JSON object, got a null value"))
        counts.append(len(events) - before)
        rejects.append(refused)
    return events, records, counts, rejects


def _nests_too_deep(value: bytes) -> bool:
    """Whether it has more brackets open at a time than an event may.

    msgspec's own limit is what is left of Python's stack: it would depend on the caller whether a record is an event.
    """
    if value.count(b"[") + value.count(b"{") <= _NESTED_MAX:
        return False
    marks = np.frombuffer(_STRING.sub(b"", value), np.uint8)
    opened = np.isin(marks, np.frombuffer(b"[{", np.uint8)).astype(np.int64)
    closed = np.isin(marks, np.frombuffer(b"]}", np.uint8))
    return bool((opened - closed).cumsum().max(initial=0) > _NESTED_MAX)


def _unfit(
    event: Any, record: Record, codes: Mapping[str, int], amount: _Money, bounds: TimeBounds
) -> tuple[Reason, str]:
    """Why an event of the right shape is none all the same: (reason, words)."""
    if event.event_name not in codes:
        return "unknown_event", f"expected one of {', '.join(codes)}, got {_cut(event.event_name)} - at $.event_name"
    if event.user_id.encode() != record.key:
        return "key_mismatch", f"expected the record's key to be user_id {_cut(event.user_id)}, got {_cut(record.key)}"
    if amount_of(amount) > PRICE_MAX:
        return "bad_price", f"expected an amount from 0 to {PRICE_MAX:g}, got {_cut(amount)} - at $.price or $.value"
    if not 0 <= record.timestamp < bounds.end_ms:
        return "bad_time", f"expected the record's timestamp to be 0 to {bounds.end_ms - 1}, got {record.timestamp}"
    return "bad_time", (
        "expected RFC 3339 with a zone (2026-01-31T12:00:00.000Z) or milliseconds, "
        f"got {_cut(event.event_time)} - at $.event_time"
    )


def _hashes(texts: Sequence[str | int | None]) -> list[int]:
    anew = _hash32.__wrapped__
    return [anew(t) if type(t) is str and len(t) > _KEPT_CHARACTERS else _hash32(t) for t in texts]


@lru_cache(_HASHES_KEPT)
def _hash32(text: str | int | None) -> int:
    """0 for none, else the same in every process and version."""
    return (xxh3_64_intdigest(str(text).encode()) & 0xFFFF_FFFF or 1) if text not in (None, "") else 0


def _hash16(value: Any) -> int:
    """0 for none, else of 65,535: it is only compared with the few that one user had before.

    Never from the cache: there are as many devices as users.
    """
    if type(value) is int:  # not a bool, which is one too
        value = str(value)
    return xxh3_64_intdigest(value.encode()) % 0xFFFF + 1 if type(value) is str and value else 0


def amount_of(money: _Money) -> float:
    """NaN for none, infinity for what is no amount; without sign, since shops write a refund's value either way."""
    if money is None:
        return nan
    try:
        amount = abs(float(money))
    except ValueError:
        return inf
    return inf if isnan(amount) else amount


def event_time_ms(time: int | str) -> int:
    """Milliseconds since 1970; -1 for what is no time."""
    if isinstance(time, int):
        return time if 0 <= time <= TIME_MAX_MS else -1
    if len(time) <= _TIME_DIGITS and time.isascii() and time.isdigit() and int(time) <= TIME_MAX_MS:
        return int(time)
    try:
        moment = datetime.fromisoformat(time.upper())  # RFC 3339 allows t and z
    except ValueError:
        return -1
    if moment.tzinfo is None:
        return -1
    since = moment - _EPOCH  # dividing it by a timedelta of 1 ms takes three times as long
    return max(0, (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000)


def _reject(frame: Frame, record: Record, reason: Reason, error: str) -> Reject:
    return Reject(
        source=frame.source,
        partition=frame.partition,
        offset=record.offset,
        record_time_ms=record.timestamp,
        stage="decode",
        reason=reason,
        error=error,
        key=record.key,
        value=record.value,
    )


def _cut(value: object) -> str:
    # A megabyte of rubbish in a message helps nobody.
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
