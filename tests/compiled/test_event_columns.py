"""Records to columns, compiled: of all that may stand in a topic it makes what the reference makes of it."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import decode
from stream.compiled import event_columns
from stream.decode import TimeBounds
from stream.events import CLICKS, PURCHASES, SEARCHES, SOURCES, EventBatch, Frame, Reject
from stream.kafka.raw_batches import to_batches
from stream.record_batches import HEADER_BYTES, RecordBatches
from tests.batches import contents
from tests.compiled import hostile
from tests.shop import BOUNDS, START_MS, FakeRecord
from tests.stored_batches import Headers, stored

_COUNT_AT = 57
Decoded = list[tuple[EventBatch, list[Reject]]]


def _records(values: Sequence[bytes | None], *, key: bytes | None = b"u1", first: int = 0) -> list[FakeRecord]:
    return [FakeRecord(key, value, first + i, START_MS + 7 * i) for i, value in enumerate(values)]


def _frame(records: Sequence[FakeRecord], source: int = CLICKS, partition: int = 3) -> Frame:
    return Frame(source, partition, to_batches(records), records[-1].offset + 1)


def _shown(decoded: Decoded) -> list[Any]:
    return [(contents(batch), rejects) for batch, rejects in decoded]


def _expected(frames: Sequence[Frame], bounds: TimeBounds) -> Decoded:
    return [decode.decode(frame, bounds) for frame in frames]


def _assert_alike(frames: Sequence[Frame], bounds: TimeBounds = BOUNDS) -> None:
    """What the reference makes of each frame is what is made of all of them at once."""
    if _shown(event_columns.decode_all(frames, bounds)) == _shown(_expected(frames, bounds)):
        return
    for frame in frames:
        for record in frame.records:
            alone = [Frame(frame.source, frame.partition, to_batches([record]), record.offset + 1)]
            found, expected = (f(alone, bounds) for f in (event_columns.decode_all, _expected))
            assert _shown(found) == _shown(expected), record
    raise AssertionError("of each record the same, of all together another thing")


def _assert_values_alike(values: Sequence[bytes | None], source: int, key: bytes | None = b"u1") -> None:
    _assert_alike([_frame(_records(values, key=key), source)])


# -- what shops send --


@pytest.mark.parametrize("source", SOURCES)
def test_usual_events_are_decoded_without_the_reference(source: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = hostile.usual(source)
    (expected,) = _expected([_frame(_records(values), source)], BOUNDS)
    monkeypatch.setattr(decode, "decode", None)
    (found,) = event_columns.decode_all([_frame(_records(values), source)], BOUNDS)
    assert contents(found[0]) == contents(expected[0])
    assert len(found[0]) == len(values) and not found[1]


@pytest.mark.parametrize("source", SOURCES)
def test_an_event_with_any_byte_changed_lost_added_or_doubled(source: int) -> None:
    for value in hostile.usual(source):
        _assert_values_alike([*hostile.mutations(value)], source)


@pytest.mark.parametrize("source", SOURCES)
def test_any_hostile_json_in_any_field(source: int) -> None:
    for field in hostile.FIELDS:
        _assert_values_alike([hostile.event(source, **{field: text}) for text in hostile.TEXTS], source)


@pytest.mark.parametrize("field", ["item_id", "item_category", "other"])
@pytest.mark.parametrize("place", ["[{%b}]", '[{"item_id":"a"},{%b}]', '[{%b,"x":[{}]},{"item_id":"b"}]', "{%b}"])
def test_any_hostile_json_in_an_item(field: str, place: str) -> None:
    items = [place.encode() % (b'"%b":%b' % (field.encode(), text)) for text in hostile.TEXTS]
    _assert_values_alike([hostile.event(PURCHASES, items=text) for text in items], PURCHASES)


@pytest.mark.parametrize("source", SOURCES)
def test_any_hostile_json_instead_of_an_event_before_it_or_after_it(source: int) -> None:
    event = hostile.event(source)
    values = [(text, text + event, event + text, event[:-1] + b"," + text + b"}") for text in hostile.TEXTS]
    _assert_values_alike([value for of_text in values for value in of_text], source)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", hostile.NAMES)
def test_any_hostile_name_of_a_field(name: bytes, source: int) -> None:
    event, others = hostile.event(source), (b"1", b'"x"', b"null", b"[]", b'{"item_id":"a"}')
    pairs = [b"%b:%b" % (name, text) for text in others]
    _assert_values_alike([b"{" + pair + b"," + event[1:] for pair in pairs], source)
    _assert_values_alike([event[:-1] + b"," + pair + b"}" for pair in pairs], source)
    _assert_values_alike([hostile.event(PURCHASES, items=b"[{" + pair + b"}]") for pair in pairs], PURCHASES)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("field", hostile.FIELDS)
def test_a_field_that_is_there_twice_or_is_missing(field: str, source: int) -> None:
    event = hostile.event(source)
    twice = [
        event[:-1] + b',"%b":%b}' % (field.encode(), text) for text in (b'"u1"', b"null", b"1", b"[]", b'[{"a":1}]')
    ]
    _assert_values_alike([*twice, hostile.event(source, field)], source)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("blank", [b" ", b"\t\r\n  ", b"\x0b", b"\x0c", b"\xc2\xa0", b"\xef\xbb\xbf", b"\x00", b"/**/"])
def test_blanks_of_any_kind_anywhere(blank: bytes, source: int) -> None:
    event = hostile.event(source, items=b'[{"item_id":"a" , "n":[1, 2]}, {}]', other=b'{"a":[true,null]}')
    _assert_values_alike([event[:at] + blank + event[at:] for at in range(len(event) + 1)], source)


@pytest.mark.parametrize("source", SOURCES)
def test_names_of_every_action_and_nearly_so(source: int) -> None:
    names = [name.encode() for name in hostile.ACTION_NAMES]
    nearly = [other for name in names for other in (name[:-1], name + b"x", name.upper(), b" " + name, name + b"\\t")]
    _assert_values_alike([hostile.event(source, event_name=b'"%b"' % name) for name in names + nearly], source)


@pytest.mark.parametrize("source", SOURCES)
def test_every_millisecond_around_the_ends_of_time_and_its_bounds(source: int) -> None:
    edges = (0, START_MS - BOUNDS.max_behind_ms, START_MS, START_MS + BOUNDS.max_ahead_ms, decode.TIME_MAX_MS)
    times = [b"%d" % (edge + away) for edge in edges for away in (-1, 0, 1)]
    texts = [quoted for time in times for quoted in (time, b'"%b"' % time)]
    records = _records([hostile.event(source, event_time=text) for text in texts])
    for record in records:
        record.timestamp = START_MS
    _assert_alike([_frame(records, source)])


@given(st.integers(0, decode.TIME_MAX_MS), st.sampled_from(hostile.TIME_FORMS))
@settings(max_examples=300)
def test_a_time_in_any_spelling(time_ms: int, form: str) -> None:
    record = FakeRecord(b"u1", hostile.event(CLICKS, event_time=hostile.spelt(time_ms, form)), 0, time_ms)
    _assert_alike([_frame([record])])


def test_every_day_of_the_calendar_and_the_days_that_are_none() -> None:
    years = (1969, 1970, 1972, 1999, 2000, 2023, 2024, 2100, 2400, 9999)
    texts = [b'"%04d-%02d-%02dT00:00:00Z"' % (y, m, d) for y in years for m in range(14) for d in range(33)]
    _assert_values_alike([hostile.event(CLICKS, event_time=text) for text in texts], CLICKS)


@given(st.decimals(0, 2_000_000_000, allow_nan=False, allow_infinity=False), st.booleans())
@settings(max_examples=300)
def test_a_price_of_any_number_of_digits(price: Any, quoted: bool) -> None:
    text = (b'"%b"' if quoted else b"%b") % format(price, "f").encode()
    _assert_values_alike([hostile.event(CLICKS, price=text), hostile.event(PURCHASES, value=text)], CLICKS)


@given(st.text(min_size=1, max_size=258), st.text(min_size=1, max_size=258))
def test_ids_of_any_text(user: str, event: str) -> None:
    import json

    for ascii_only in (True, False):
        texts = [json.dumps(text, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for text in (user, event)]
        value = hostile.event(SEARCHES, user_id=texts[0], event_id=texts[1], search_term=texts[1])
        _assert_values_alike([value], SEARCHES, user.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("size", [1, 2, 8, 9, 239, 240, 241, 255, 256, 257])
@pytest.mark.parametrize("character", ["a", "é", "€", "🛒"])
def test_ids_and_texts_of_any_length(character: str, size: int) -> None:
    text = (character * size).encode()
    of_bytes = (character * (size // len(character.encode()))).encode() or b"x"
    for one in (text, of_bytes):
        quoted = b'"%b"' % one
        for fields in ({"user_id": quoted}, {"event_id": quoted}, {"user_id": quoted, "event_id": quoted}):
            _assert_values_alike([hostile.event(CLICKS, **fields)], CLICKS, one if "user_id" in fields else b"u1")
        for field in hostile.FIELDS[4:]:
            for source in SOURCES:
                _assert_values_alike([hostile.event(source, **{field: quoted})], source)


@pytest.mark.parametrize("key", [None, b"", b"u", b"u2", b"u11", b"U1", b"u1\0", "ü1".encode("latin-1"), b"u1" * 300])
@pytest.mark.parametrize("source", SOURCES)
def test_a_key_that_is_not_the_user_id(key: bytes | None, source: int) -> None:
    _assert_values_alike([hostile.event(source), None, b""], source, key)


_PUT = st.one_of(st.sampled_from(hostile.TEXTS), st.binary(max_size=3))
_EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12), _PUT), min_size=1, max_size=4)


@given(st.sampled_from(SOURCES), st.integers(0, 99), st.lists(_EDITS, min_size=1, max_size=20))
@settings(max_examples=200)
def test_events_with_several_edits(source: int, which: int, edits: list[list[tuple[int, int, bytes]]]) -> None:
    usual, values = hostile.usual(source), []
    for edit in edits:
        value = usual[which % len(usual)]
        for at, lost, text in edit:
            value = value[:at] + text + value[at + lost :]
        values.append(value)
    _assert_values_alike(values, source)


# -- how records are stored --


@pytest.mark.parametrize(
    "timestamp", [-(2**63), -1, 0, 1, START_MS, decode.TIME_MAX_MS, decode.TIME_MAX_MS + 1, 2**62, 2**63 - 1]
)
@pytest.mark.parametrize("end_ms", [START_MS + 1, decode.TIME_MAX_MS + 1])
def test_a_records_own_timestamp_that_cannot_be(timestamp: int, end_ms: int) -> None:
    records = _records([hostile.event(CLICKS)] * 4)
    records[2].timestamp = timestamp
    bounds = dataclasses.replace(BOUNDS, end_ms=end_ms)
    for batches in ([stored(records)], [stored([record]) for record in records]):
        _assert_alike([Frame(CLICKS, 0, RecordBatches(batches, 0), 4)], bounds)


@pytest.mark.parametrize("headers", [[("a", b"1")], [("", None), ("é" * 40, b"x" * 200)]])
def test_records_with_headers(headers: Headers) -> None:
    records = _records([*hostile.usual(CLICKS), b"{}", None])
    _assert_alike([Frame(CLICKS, 0, RecordBatches([stored(records, headers=headers)], 0), 99)])


def test_records_that_the_broker_gave_their_time() -> None:
    records = _records([*hostile.usual(CLICKS), b"nope"])
    for append_time_ms in (START_MS + 86_400_000, -1, 0):
        batch = stored(records, append_time_ms=append_time_ms)
        _assert_alike([Frame(CLICKS, 0, RecordBatches([batch], 0), 99)])


@st.composite
def _frames(draw: st.DrawFn) -> list[Frame]:
    """Frames of several sources, whose batches were compacted and begin before what is wanted."""
    values: Mapping[int, Sequence[bytes | None]] = {
        source: [*hostile.usual(source), None, b"", b"nope", hostile.event(source, price=b"-1", value=b"1e99")]
        for source in SOURCES
    }
    frames = []
    for _ in range(draw(st.integers(1, 5))):
        source, offset, batches = draw(st.sampled_from(SOURCES)), draw(st.integers(0, 2**40)), []
        first = offset
        for _ in range(draw(st.integers(1, 4))):
            base, records = offset, []
            for _ in range(draw(st.integers(1, 6))):
                offset += draw(st.integers(0, 3))
                value = draw(st.sampled_from(values[source]))
                key = draw(st.sampled_from([b"u1", b"u1", b"u1", b"u2", None]))
                time_ms = START_MS + draw(st.integers(-(10**9), 10**9))
                records.append(FakeRecord(key, value, offset, time_ms))
                offset += 1
            offset += draw(st.integers(0, 3))
            append_time_ms = draw(st.none() | st.just(START_MS))
            batches.append(stored(records, base=base, last=offset - 1, append_time_ms=append_time_ms))
            offset += draw(st.integers(0, 3))
        wanted = draw(st.integers(max(0, first - 3), offset))
        frames.append(Frame(source, draw(st.integers(0, 9)), RecordBatches(batches, wanted), offset))
    return frames


@given(_frames())
@settings(max_examples=200)
def test_frames_of_several_sources_of_many_batches_that_were_compacted(frames: list[Frame]) -> None:
    _assert_alike(frames)


def test_frames_that_are_no_batches_are_decoded_all_the_same() -> None:
    records = _records([*hostile.usual(CLICKS), b"nope"])
    _assert_alike([Frame(CLICKS, 0, records, 99), _frame(records)])


def test_batches_of_no_record_are_empty() -> None:
    one = _records([hostile.event(CLICKS)])
    empty = bytearray(stored(one, last=5)[:HEADER_BYTES])
    struct.pack_into(">i", empty, 8, HEADER_BYTES - 12)
    struct.pack_into(">i", empty, 57, 0)
    for batches in ([bytes(empty)], [bytes(empty), stored(_records([hostile.event(CLICKS)], first=6))], []):
        _assert_alike([Frame(CLICKS, 0, RecordBatches(batches, 0), 6), _frame(one)])


def _outcome(decode_all: Any, frames: Sequence[Frame]) -> Any:
    try:
        return _shown(decode_all(frames, BOUNDS))
    except Exception as error:
        return type(error)


def _broken(batch: bytes) -> Iterator[bytes]:
    """With one bit of its structure changed, but for the sign of its count, which no sequence has; those of its values
    are events' own affair."""
    value_at = [batch.index(b"{", HEADER_BYTES)]
    value_at += [batch.index(b"{", batch.index(b"}", value_at[0]) + 1)]
    structure = [*range(value_at[0]), *range(batch.index(b"}", value_at[0]), value_at[1])]
    for at in structure:
        for bit in range(7 if at == _COUNT_AT else 8):
            broken = bytearray(batch)
            broken[at] ^= 1 << bit
            yield bytes(broken)


def test_a_batch_whose_structure_is_broken_anywhere_is_what_it_is_to_the_reference() -> None:
    whole = stored(_records([hostile.event(CLICKS), hostile.event(CLICKS), b"nope"]))
    after = stored(_records([hostile.event(CLICKS)], first=3))
    for broken in _broken(whole):
        for batches in ([broken], [broken, after]):
            frames = [Frame(CLICKS, 0, RecordBatches(batches, 0), 4)]
            found, expected = (_outcome(f, frames) for f in (event_columns.decode_all, _expected))
            assert found == expected


def test_a_batch_that_is_cut_off_anywhere_is_what_it_is_to_the_reference() -> None:
    whole = stored(_records([hostile.event(CLICKS), b"nope"]))
    for end in range(HEADER_BYTES, len(whole)):
        frames = [Frame(CLICKS, 0, RecordBatches([whole[:end]], 0), 4)]
        assert _outcome(event_columns.decode_all, frames) == _outcome(_expected, frames)


def test_many_records_keep_their_order_across_batches() -> None:
    values = [(*hostile.usual(PURCHASES), b"nope", None)[i % 7 % 5] for i in range(5_000)]
    records = _records(values)
    frames = [Frame(PURCHASES, 0, to_batches(records, most), len(records)) for most in (1, 7, 500)]
    _assert_alike(frames)
    offsets = [batch["offset"].tolist() for batch, _ in event_columns.decode_all(frames, BOUNDS)]
    assert offsets == [[i for i, value in enumerate(values) if value not in (None, b"nope")]] * 3
