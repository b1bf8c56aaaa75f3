"""Record batches -> columns: what `decode.decode_all` makes of their records, where those are simple.

A record that has anything unusual about it, be it right or wrong, is left to `decode`: it says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream import decode
from stream.compiled import scanning, varints, xxh3
from stream.compiled.compiling import compiled, copy_bytes, load_64
from stream.compiled.scanning import ASCII, ESCAPED, WHOLE
from stream.decode import TimeBounds
from stream.events import (
    ACTIONS,
    CLICK_NAMES,
    CLICKS,
    EVENT,
    ID_MAX_LENGTH,
    PRICE_MAX,
    PURCHASE_NAMES,
    PURCHASES,
    SEARCH_NAMES,
    SEARCHES,
    SOURCES,
    EventBatch,
    Frame,
    Reject,
)
from stream.record_batches import HEADER_BYTES, BatchRecord, RecordBatches

_BEYOND = 16  # bytes that may be read behind the data's end
_U = np.uint64

# Fields, by bit in what was seen of an event
(
    USER, EVENT_ID, NAME, TIME, DEVICE, COUNTRY, PLACE, ITEM, CATEGORY, PRICE, TERM, VALUE, ITEMS,
) = range(13)  # fmt: skip
_OTHER = -1
_REQUIRED = 1 << USER | 1 << EVENT_ID | 1 << NAME | 1 << TIME
_OF_ALL = ("user_id", "event_id", "event_name", "event_time", "device_id", "country", "location_id")
_OF_CLICKS, _OF_SEARCHES, _OF_PURCHASES = ("item_id", "item_category", "price"), ("search_term",), ("value", "items")
_FIELDS = (*_OF_ALL, *_OF_CLICKS, *_OF_SEARCHES, *_OF_PURCHASES)
_ITEM_FIELDS = range(ITEM, CATEGORY + 1)


def _words(texts: Sequence[str]) -> NDArray[np.uint64]:
    """[N, 3] texts of up to 24 bytes as numbers, filled up with 0."""
    return np.stack([np.frombuffer(text.encode().ljust(24, b"\0"), np.uint64) for text in texts])


def _sizes(texts: Sequence[str]) -> NDArray[np.int64]:
    return np.array([len(text) for text in texts], np.int64)


_FIELD_WORDS, _FIELD_SIZES = _words(_FIELDS), _sizes(_FIELDS)
_FIELD_SOURCE = np.array(
    [-1] * len(_OF_ALL) + [CLICKS] * len(_OF_CLICKS) + [SEARCHES] * len(_OF_SEARCHES) + [PURCHASES] * len(_OF_PURCHASES)
)
# By size, the fields that are so long; -1: no more
_OF_SIZE = np.full((int(_FIELD_SIZES.max()) + 1, len(_FIELDS)), -1)
for _size in range(len(_OF_SIZE)):
    _of_size = np.flatnonzero(_size == _FIELD_SIZES)
    _OF_SIZE[_size, : len(_of_size)] = _of_size
_ACTION_WORDS, _ACTION_SIZES = _words(ACTIONS), _sizes(ACTIONS)
_FIRST_ACTION = np.array([ACTIONS.index(names[0]) for names in (CLICK_NAMES, SEARCH_NAMES, PURCHASE_NAMES)])
_ACTIONS = np.array([len(CLICK_NAMES), len(SEARCH_NAMES), len(PURCHASE_NAMES)])
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_POWERS = np.array([10.0**n for n in range(scanning.DIGITS_MOST + 2)])

_QUOTE, _COMMA, _COLON, _OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _N, _BIG_T, _BIG_Z, _MINUS, _POINT, _PLUS, _ZERO = (
    ord(c) for c in '",:{}[]nTZ-.+0'
)


def decode_all(frames: Sequence[Frame], bounds: TimeBounds) -> list[tuple[EventBatch, list[Reject]]]:
    """What `decode.decode_all` gives of frames of one source each, which may be of several here."""
    batches = [frame.records for frame in frames if isinstance(frame.records, RecordBatches)]
    decoded = _decoded(frames, batches, bounds) if len(batches) == len(frames) else None
    return [decode.decode(frame, bounds) for frame in frames] if decoded is None else decoded


def _decoded(
    frames: Sequence[Frame], batches: Sequence[RecordBatches], bounds: TimeBounds
) -> list[tuple[EventBatch, list[Reject]]] | None:
    """Of frames of these batches; None where they are none."""
    data = np.frombuffer(b"".join([*chain.from_iterable(of.batches for of in batches), bytes(_BEYOND)]), np.uint8)
    begins = np.cumsum([0, *(sum(map(len, of.batches)) for of in batches)])
    records = sum(map(len, batches))
    if records > len(data):  # by their headers, of which one is wrong
        return None
    columns, text = np.empty(records, EVENT), np.empty(len(data), np.uint8)
    unsure = np.empty((records, len(_Unsure._fields)), np.int64)
    counts = np.zeros((len(frames), 2), np.int64)
    size = _decode(
        data,
        begins,
        np.array([(f.source, f.partition, of.from_offset) for f, of in zip(frames, batches, strict=True)], np.int64),
        np.array([bounds.max_ahead_ms, bounds.max_behind_ms, bounds.end_ms], np.int64),
        columns,
        text,
        unsure,
        counts,
    )
    if size < 0:
        return None
    decoded: list[tuple[EventBatch, list[Reject]]] = []
    row = left = 0
    for frame, (sure, others) in zip(frames, counts.tolist(), strict=True):
        batch, rejects = EventBatch(columns[row : row + sure], text[:size]), list[Reject]()
        if others:
            batch, rejects = _with_the_unsure(frame, bounds, batch, data, unsure[left : left + others])
        decoded.append((batch, rejects))
        row, left = row + sure, left + others
    return decoded


class _Unsure(NamedTuple):
    """A record that is left to `decode`; -1 as the end of a key or value that is null."""

    offset: int
    timestamp: int
    key_begin: int
    key_end: int
    value_begin: int
    value_end: int


def _with_the_unsure(
    frame: Frame, bounds: TimeBounds, sure: EventBatch, data: NDArray[np.uint8], unsure: NDArray[np.int64]
) -> tuple[EventBatch, list[Reject]]:
    def piece(begin: int, end: int) -> bytes | None:
        return None if end < 0 else data[begin:end].tobytes()

    others = [_Unsure(*of) for of in unsure.tolist()]
    records = [
        BatchRecord(piece(o.key_begin, o.key_end), piece(o.value_begin, o.value_end), o.offset, o.timestamp)
        for o in others
    ]
    batch, rejects = decode.decode(Frame(frame.source, frame.partition, records, frame.next_offset), bounds)
    both = EventBatch.concat([sure, batch])
    both = both.take(np.argsort(both["offset"], kind="stable"))
    both["order_ms"][:] = np.maximum.accumulate(both["time_ms"])
    return both, rejects


@compiled
def _decode(data: Any, begins: Any, frames: Any, bounds: Any, columns: Any, text: Any, unsure: Any, counts: Any) -> int:
    """Record batches of frames (source, partition, first offset that is wanted) into `columns` and their `text`, and
    what is left to the reference into `unsure`; `counts` of both by frame -> size of the text; -1: these are no
    batches, or none of offsets that rise."""
    ahead, behind, end_ms = bounds
    row, left, written = 0, 0, 0
    lower = np.empty(xxh3.BYTES_MOST, np.uint8)
    for f in range(len(frames)):
        source, partition, from_offset = frames[f]
        at, order_ms, before = begins[f], np.int64(-1), np.int64(-1)
        while at < begins[f + 1]:
            if at + HEADER_BYTES > begins[f + 1]:
                return -1
            base = np.int64(_big_endian(data, at, 8))
            batch_end = at + 12 + _big_endian(data, at + 8, 4)
            append_time = data[at + 22] & 8 != 0
            first_ms, last_ms = _big_endian(data, at + 27, 8), _big_endian(data, at + 35, 8)
            n = _big_endian(data, at + 57, 4)
            if batch_end > begins[f + 1] or n < 0:
                return -1
            at += HEADER_BYTES
            for _ in range(n):
                size, at = varints.read(data, at, batch_end)
                end = at + size
                if at < 0 or size < 0 or end > batch_end:
                    return -1
                delta_ms, at = varints.read(data, at + 1, end)
                number, at = varints.read(data, at, end) if at >= 0 else (0, -1)
                key_size, key = varints.read(data, at, end) if at >= 0 else (0, -1)
                key_end = key + max(key_size, 0)
                value_size, value = varints.read(data, key_end, end) if key >= 0 and key_end <= end else (0, -1)
                value_end = value + max(value_size, 0)
                if value < 0 or value_end > end:
                    return -1
                at = end
                offset = base + number
                if offset <= before:
                    return -1
                before = offset
                if offset < from_offset:
                    continue
                if row + left == len(columns):
                    return -1
                time_ms = last_ms if append_time else first_ms + delta_ms
                event = columns[row]
                if key_size > 0 and value_size > 0 and 0 <= time_ms < end_ms:
                    size = _event(data, value, value_end, key, key_end, source, event, text, written, lower)
                else:
                    size = scanning.UNSURE
                if size < 0:
                    unsure[left] = (
                        offset, time_ms, key, key_end if key_size >= 0 else -1, value,
                        value_end if value_size >= 0 else -1,
                    )  # fmt: skip
                    left, counts[f, 1] = left + 1, counts[f, 1] + 1
                    continue
                event.source, event.partition, event.offset = source, partition, offset
                event.record_time_ms = time_ms
                event.time_bounded = event.time_ms > time_ms + ahead or event.time_ms < time_ms - behind
                if event.time_bounded:
                    event.time_ms = time_ms
                order_ms = max(order_ms, event.time_ms)
                event.order_ms = order_ms
                written += size
                row, counts[f, 0] = row + 1, counts[f, 0] + 1
            if at != batch_end:
                return -1
    return written


@compiled
def _big_endian(data: Any, at: int, size: int) -> Any:
    """A signed number."""
    number = np.int64(np.int8(data[at]))
    for i in range(1, size):
        number = number << 8 | np.int64(data[at + i])
    return number


@compiled
def _event(
    data: Any, at: int, end: int, key: int, key_end: int, source: int, event: Any, text: Any, written: int, lower: Any
) -> int:
    """What a value says, into an event and its text -> how much text that is; -1 where it is left to the reference."""
    seen, user, user_end, name_id, id_end = 0, 0, 0, 0, 0
    event.item, event.category, event.device, event.country, event.place = 0, 0, 0, 0, 0
    event.price = np.nan
    at = scanning.space(data, at, end)
    if at >= end or data[at] != _OPEN:
        return -1
    at = scanning.space(data, at + 1, end)
    while True:
        name = at + 1
        if at >= end or data[at] != _QUOTE:
            return -1
        name_end, kind = scanning.text(data, name, end)
        if name_end < 0 or kind == ESCAPED:
            return -1
        at = scanning.space(data, name_end + 1, end)
        if at >= end or data[at] != _COLON:
            return -1
        at = scanning.space(data, at + 1, end)
        if at >= end:
            return -1
        field = _field(data, name, name_end, source)
        if field >= 0:
            if seen >> field & 1:
                return -1
            seen |= 1 << field
        begin = at
        if field == _OTHER:
            at = scanning.skip(data, at, end)
        elif field == USER or field == EVENT_ID:
            at, kind = _text(data, at, end)
            if at < 0 or kind == ESCAPED or not 2 < at - begin <= ID_MAX_LENGTH + 2:
                return -1
            if field == USER:
                user, user_end = begin + 1, at - 1
            else:
                name_id, id_end = begin + 1, at - 1
        elif field == NAME:
            at, kind = _text(data, at, end)
            if at < 0 or kind != ASCII:
                return -1
            event.action = _action(data, begin + 1, at - 1, source)
            if event.action == 0:
                return -1
        elif field == TIME:
            at, event.time_ms = _time(data, at, end)
        elif field == DEVICE:
            at, event.device = _whereabout(data, at, end)
        elif field == COUNTRY:
            at, event.country = _whereabout(data, at, end)
        elif field == PLACE:
            at, event.place = _whereabout(data, at, end)
        elif field == ITEM:
            at, event.item = _hashed(data, at, end, True, lower, False)
        elif field == CATEGORY:
            at, event.category = _hashed(data, at, end, False, lower, False)
        elif field == TERM:
            at, event.item = _hashed(data, at, end, False, lower, True)
        elif field == ITEMS:
            at, event.item, event.category = _items(data, at, end, lower)
        else:
            at, event.price = _amount(data, at, end)
        if at < 0:
            return -1
        at = scanning.space(data, at, end)
        if at >= end:
            return -1
        if data[at] == _CLOSE:
            break
        if data[at] != _COMMA:
            return -1
        at = scanning.space(data, at + 1, end)
    if scanning.space(data, at + 1, end) != end or seen & _REQUIRED != _REQUIRED:
        return -1
    if user_end - user != key_end - key:
        return -1
    for i in range(key_end - key):
        if data[user + i] != data[key + i]:
            return -1
    if max(id_end - name_id, key_end - key) > xxh3.BYTES_MOST:
        return -1
    event.event_hash = xxh3.digest(data, name_id, id_end)
    event.user_hash = xxh3.digest(data, key, key_end)
    event.text_at, event.key_size, event.id_size = written, key_end - key, id_end - name_id
    copy_bytes(text, written, data, key, key_end - key)
    copy_bytes(text, written + key_end - key, data, name_id, id_end - name_id)
    return key_end - key + id_end - name_id


@compiled
def _same(data: Any, begin: int, size: int, words: Any) -> bool:
    """Whether bytes are those of a text of the same size."""
    if load_64(data, begin) & _MASKS[min(size, 8)] != words[0]:
        return False
    if size > 8 and load_64(data, begin + 8) & _MASKS[min(size - 8, 8)] != words[1]:
        return False
    return size <= 16 or load_64(data, begin + 16) & _MASKS[size - 16] == words[2]


@compiled
def _field(data: Any, begin: int, end: int, source: int) -> int:
    size = end - begin
    if size >= len(_OF_SIZE):
        return _OTHER
    for field in _OF_SIZE[size]:
        if field < 0:
            break
        if _same(data, begin, size, _FIELD_WORDS[field]):
            return field if _FIELD_SOURCE[field] < 0 or _FIELD_SOURCE[field] == source else _OTHER
    return _OTHER


@compiled
def _action(data: Any, begin: int, end: int, source: int) -> int:
    size = end - begin
    for action in range(_FIRST_ACTION[source], _FIRST_ACTION[source] + _ACTIONS[source]):
        if size == _ACTION_SIZES[action] and _same(data, begin, size, _ACTION_WORDS[action]):
            return action
    return 0


@compiled
def _text(data: Any, at: int, end: int) -> tuple[int, int]:
    """(what comes after a text with its quotes, what is in it)."""
    if data[at] != _QUOTE:
        return -1, ASCII
    closing, kind = scanning.text(data, at + 1, end)
    return (closing + 1 if closing >= 0 else -1), kind


@compiled
def _hashed(data: Any, at: int, end: int, may_be_number: bool, lower: Any, fold: bool) -> tuple[int, int]:
    """(what comes after it, the hash of a text or whole number; 0 of null or an empty text)."""
    begin = at
    if data[at] == _N:
        return scanning.null(data, at, end), 0
    if data[at] == _QUOTE:
        at, kind = _text(data, at, end)
        if at < 0 or kind == ESCAPED or at - begin - 2 > xxh3.BYTES_MOST:
            return -1, 0
        if at - begin == 2:
            return at, 0
        if fold:
            if kind != ASCII:
                return -1, 0
            for i in range(at - begin - 2):
                byte = data[begin + 1 + i]
                lower[i] = byte + 32 if 65 <= byte <= 90 else byte
            return at, _hash_32(xxh3.digest(lower, 0, at - begin - 2))
        return at, _hash_32(xxh3.digest(data, begin + 1, at - 1))
    if not may_be_number:
        return -1, 0
    at, kind, _, _ = scanning.number(data, at, end)
    if at < 0 or kind != WHOLE:
        return -1, 0
    return at, _hash_32(xxh3.digest(data, begin, at))


@compiled
def _hash_32(digest: Any) -> Any:
    return max(np.int64(digest & _U(0xFFFF_FFFF)), 1)


@compiled
def _whereabout(data: Any, at: int, end: int) -> Any:
    begin = at
    if data[at] == _N:
        return scanning.null(data, at, end), 0
    if data[at] == _QUOTE:
        at, kind = _text(data, at, end)
        if at < 0 or kind == ESCAPED or at - begin - 2 > xxh3.BYTES_MOST:
            return -1, 0
        if at - begin == 2:
            return at, 0
        return at, np.int64(xxh3.digest(data, begin + 1, at - 1) % _U(0xFFFF)) + 1
    at, kind, _, _ = scanning.number(data, at, end)
    if at < 0 or kind != WHOLE:
        return -1, 0
    return at, np.int64(xxh3.digest(data, begin, at) % _U(0xFFFF)) + 1


@compiled
def _amount(data: Any, at: int, end: int) -> tuple[int, float]:
    if data[at] == _N:
        return scanning.null(data, at, end), np.nan
    quoted = data[at] == _QUOTE
    at, _, digits, places = scanning.number(data, at + quoted, end)
    if quoted and at >= 0:
        at = at + 1 if at < end and data[at] == _QUOTE else -1
    amount = digits / _POWERS[places]  # exact: both numbers are, and one division rounds once
    return (at if amount <= PRICE_MAX else -1), amount


@compiled
def _items(data: Any, at: int, end: int, lower: Any) -> tuple[int, int, int]:
    """(what comes after a list of items, item and category of the first)."""
    item, category, first = 0, 0, True
    if data[at] == _N:
        return scanning.null(data, at, end), 0, 0
    if data[at] != _OPEN_LIST:
        return -1, 0, 0
    at = scanning.space(data, at + 1, end)
    if at < end and data[at] == _CLOSE_LIST:
        return at + 1, 0, 0
    while True:
        at, of_item, of_category = _item(data, at, end, lower)
        if at < 0:
            return -1, 0, 0
        if first:
            item, category, first = of_item, of_category, False
        at = scanning.space(data, at, end)
        if at >= end:
            return -1, 0, 0
        if data[at] == _CLOSE_LIST:
            return at + 1, item, category
        if data[at] != _COMMA:
            return -1, 0, 0
        at = scanning.space(data, at + 1, end)


@compiled
def _item(data: Any, at: int, end: int, lower: Any) -> tuple[int, int, int]:
    item, category, seen = 0, 0, 0
    if at >= end or data[at] != _OPEN:
        return -1, 0, 0
    at = scanning.space(data, at + 1, end)
    if at < end and data[at] == _CLOSE:
        return at + 1, 0, 0
    while True:
        name = at + 1
        if at >= end or data[at] != _QUOTE:
            return -1, 0, 0
        name_end, kind = scanning.text(data, name, end)
        if name_end < 0 or kind == ESCAPED:
            return -1, 0, 0
        at = scanning.space(data, name_end + 1, end)
        if at >= end or data[at] != _COLON:
            return -1, 0, 0
        at = scanning.space(data, at + 1, end)
        if at >= end:
            return -1, 0, 0
        field = _field(data, name, name_end, CLICKS)
        if field != ITEM and field != CATEGORY:
            at = scanning.skip(data, at, end)
        else:
            if seen >> field & 1:
                return -1, 0, 0
            seen |= 1 << field
            at, hashed = _hashed(data, at, end, field == ITEM, lower, False)
            if field == ITEM:
                item = hashed
            else:
                category = hashed
        if at < 0:
            return -1, 0, 0
        at = scanning.space(data, at, end)
        if at >= end:
            return -1, 0, 0
        if data[at] == _CLOSE:
            return at + 1, item, category
        if data[at] != _COMMA:
            return -1, 0, 0
        at = scanning.space(data, at + 1, end)


@compiled
def _time(data: Any, at: int, end: int) -> tuple[int, int]:
    """(what comes after it, milliseconds) of a whole number, or of `2026-01-31T12:00:00Z` with or without a fraction of
    three or six digits."""
    if data[at] != _QUOTE:
        at, kind, digits, _ = scanning.number(data, at, end)
        return (at if kind == WHOLE and digits <= decode.TIME_MAX_MS else -1), digits
    at += 1
    if at + 20 > end:
        return -1, 0
    year, month, day = _digits(data, at, 4), _digits(data, at + 5, 2), _digits(data, at + 8, 2)
    hour, minute, second = _digits(data, at + 11, 2), _digits(data, at + 14, 2), _digits(data, at + 17, 2)
    marked = data[at + 4] == _MINUS and data[at + 7] == _MINUS and data[at + 10] == _BIG_T
    if not marked or data[at + 13] != _COLON or data[at + 16] != _COLON:
        return -1, 0
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= _days_of(year, month)):
        return -1, 0
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return -1, 0
    at, thousandths = at + 19, 0
    if data[at] == _POINT:
        if at + 4 > end:
            return -1, 0
        thousandths = _digits(data, at + 1, 3)
        at += 4
        if at + 3 <= end and data[at] != _BIG_Z:
            if _digits(data, at, 3) < 0:
                return -1, 0
            at += 3
    if thousandths < 0 or at + 2 > end or data[at] != _BIG_Z or data[at + 1] != _QUOTE:
        return -1, 0
    days = _days_since_1970(year, month, day)
    return at + 2, (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + thousandths


@compiled
def _digits(data: Any, at: int, n: int) -> Any:
    """The number that n digits make; -1 where one is none."""
    number: Any = 0
    for i in range(at, at + n):
        digit = np.int64(data[i]) - _ZERO
        if not 0 <= digit <= 9:
            return -1
        number = 10 * number + digit
    return number


@compiled
def _days_of(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 + (month + month // 8) % 2


@compiled
def _days_since_1970(year: int, month: int, day: int) -> int:
    """By years that begin in March, after Hinnant's `days_from_civil`."""
    year -= month <= 2
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + of_year - 719_468


assert len(SOURCES) == len(_FIRST_ACTION)
