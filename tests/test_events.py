"""Records to columns: real payloads pass, bad ones are values that say where, what was expected and what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import decode as decode_module
from stream.decode import decode, decode_all
from stream.events import ACTIONS, CLICKS, PURCHASES, SEARCHES, EventBatch, Frame, Reject
from tests.batches import contents
from tests.shop import BOUNDS, START_MS, FakeRecord, click, frame


def _decode(fields: Mapping[str, object], *, source: int = CLICKS, key: bytes | None = b"u1") -> EventBatch:
    event = {"event_id": "e1", "event_name": "view_item", "event_time": START_MS, "user_id": "u1"} | dict(fields)
    batch, rejects = decode(frame([FakeRecord(key, orjson.dumps(event), 7, START_MS)], source=source), BOUNDS)
    assert not rejects, rejects
    return batch


def _refused(value: bytes | None, *, source: int = CLICKS, key: bytes | None = b"u1") -> Reject:
    batch, rejects = decode(frame([FakeRecord(key, value, 7, START_MS)], source=source), BOUNDS)
    assert len(batch) == 0
    (reject,) = rejects
    assert (reject.offset, reject.value, reject.key, reject.stage) == (7, value, key, "decode")
    return reject


def _with(**fields: object) -> bytes:
    return orjson.dumps(
        {"event_id": "e1", "event_name": "view_item", "event_time": START_MS, "user_id": "u1", **fields}
    )


def test_a_click_becomes_columns() -> None:
    batch = _decode({"item_id": "sku-1", "item_category": "shoes", "price": 19.9})
    assert ACTIONS[batch["action"][0]] == "view_item"
    assert (batch["source"][0], batch["offset"][0], batch["time_ms"][0], batch.key[0], batch.event_id[0]) == (
        0,
        7,
        START_MS,
        b"u1",
        "e1",
    )
    assert batch["price"][0] == np.float32(19.9)
    assert batch["item"][0] and batch["category"][0] and batch["event_hash"][0]
    assert not batch["time_bounded"][0]


def test_unknown_fields_pass_and_optional_ones_may_be_absent_or_null() -> None:
    batch = _decode({"page": {"url": "x"}, "engagement": [1, 2], "item_id": None, "item_category": None, "price": None})
    assert batch["item"][0] == 0 and batch["category"][0] == 0 and np.isnan(batch["price"][0])
    assert _decode({})["item"][0] == 0


def test_decimals_may_be_strings_and_item_ids_numbers() -> None:
    assert _decode({"price": "19.90"})["price"][0] == np.float32(19.9)
    assert _decode({"item_id": 42})["item"][0] == _decode({"item_id": "42"})["item"][0] != 0


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (START_MS, START_MS),
        (str(START_MS), START_MS),
        ("2026-09-21T14:13:20Z", 1_790_000_000_000),
        ("2026-09-21T16:13:20.001+02:00", 1_790_000_000_001),
        ("2026-09-21t14:13:20.123456z", 1_790_000_000_123),
    ],
)
def test_times_are_milliseconds_or_rfc_3339(time: object, expected: int) -> None:
    assert _decode({"event_time": time})["time_ms"][0] == expected


@given(st.integers(0, 253_402_300_799_999))
def test_every_millisecond_is_read_alike_in_both_spellings(time_ms: int) -> None:
    from datetime import UTC, datetime, timedelta

    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")
    records = [FakeRecord(b"u1", _with(event_time=t), i, time_ms) for i, t in enumerate((time_ms, text))]
    batch, rejects = decode(frame(records), BOUNDS)
    assert not rejects and batch["time_ms"].tolist() == [time_ms, time_ms]


def test_a_search_is_known_by_its_words_whatever_their_case() -> None:
    spelt = [
        _decode({"event_name": "search", "search_term": t}, source=SEARCHES)["item"][0]
        for t in ("Red Shoes", "red shoes")
    ]
    assert spelt[0] == spelt[1] != 0


def test_a_purchase_has_its_value_and_its_first_item() -> None:
    items = [{"item_id": "sku-1", "item_category": "shoes", "price": "5", "quantity": 2}, {"item_id": "sku-2"}]
    batch = _decode({"event_name": "purchase", "value": "10.00", "items": items}, source=PURCHASES)
    assert batch["price"][0] == 10
    assert batch["item"][0] == _decode({"item_id": "sku-1"})["item"][0]
    assert _decode({"event_name": "refund", "value": -10}, source=PURCHASES)["price"][0] == 10
    assert _decode({"event_name": "purchase"}, source=PURCHASES)["item"][0] == 0


_WHEREABOUTS = {"device": "device_id", "country": "country", "place": "location_id"}


@pytest.mark.parametrize(("column", "field"), _WHEREABOUTS.items())
@pytest.mark.parametrize("source", [CLICKS, SEARCHES, PURCHASES])
def test_whereabouts_are_hashes_that_tell_one_from_another(column: str, field: str, source: int) -> None:
    name = {CLICKS: "view_item", SEARCHES: "search", PURCHASES: "purchase"}[source]

    def hashed(value: object) -> int:
        batch = _decode({"event_name": name, field: value}, source=source)
        assert not any(batch[other][0] for other in _WHEREABOUTS if other != column)
        return int(batch[column][0])

    values = ["GA1.2.123", "DE", "de", "é", "🛒", " ", "0", "x" * 10_000, 7, -7, 2**63]
    assert 0 not in map(hashed, values)
    assert len({hashed(value) for value in values}) == len(values)
    assert hashed("DE") == hashed("DE")
    assert hashed(7) == hashed("7")  # one shop's records of two kinds may differ in this


@pytest.mark.parametrize("value", [None, "", True, False, 0.5, 12.0, {}, {"id": "d1"}, [], ["DE"], [[[]]]])
def test_whereabouts_of_another_type_are_none_and_cost_no_event(value: object) -> None:
    batch = _decode(dict.fromkeys(_WHEREABOUTS.values(), value))
    assert [int(batch[column][0]) for column in _WHEREABOUTS] == [0, 0, 0]
    assert _decode({})["device"][0] == 0


def test_a_boolean_is_no_whereabout_though_python_takes_it_for_a_number() -> None:
    for before in (True, 1, False, 0):
        _decode({"location_id": before})
        assert _decode({"location_id": True})["place"][0] == _decode({"location_id": False})["place"][0] == 0
        assert _decode({"location_id": 1})["place"][0] == _decode({"location_id": "1"})["place"][0] != 0


def test_a_hash_of_whereabouts_is_0_for_none_alone() -> None:
    # Of 65,536 values and more each hash comes up, so one that could be 0 would be.
    records = [click("u1", START_MS, i, device_id=f"device-{i}") for i in range(200_000)]
    hashes = decode(frame(records), BOUNDS)[0]["device"]
    assert hashes.min() == 1
    assert len(np.unique(hashes)) > 60_000


@pytest.mark.parametrize("time", [0, 86_400_000, 253_402_300_799_999, "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"])
def test_an_absurd_time_is_replaced_by_the_records_own_and_flagged(time: object) -> None:
    batch = _decode({"event_time": time})
    assert batch["time_ms"][0] == START_MS
    assert batch["time_bounded"][0]


@pytest.mark.parametrize(("depth", "good"), [(198, True), (199, True), (200, False), (700, False)])
@pytest.mark.parametrize("frames", [0, 300])
def test_how_deep_an_event_may_nest_does_not_depend_on_who_decodes_it(depth: int, good: bool, frames: int) -> None:
    def deeper(frames: int) -> tuple[EventBatch, list[Reject]]:
        value = _with(nested=[]).replace(b"[]", b"[" * depth + b"]" * depth)
        record = FakeRecord(b"u1", value, 0, START_MS)
        return deeper(frames - 1) if frames else decode(frame([record]), BOUNDS)

    batch, rejects = deeper(frames)
    assert (len(batch), len(rejects)) == ((1, 0) if good else (0, 1))


def test_many_brackets_side_by_side_or_in_a_text_are_no_nesting() -> None:
    for fields in ({"items": [{"item_id": str(n)} for n in range(300)]}, {"text": '{"[' * 300}):
        assert len(_decode(fields)) == 1


def test_a_text_that_never_ends_costs_no_more_than_its_length() -> None:
    value = b'{"a":"' + b"[" * 300 + b'\\"' * 300_000  # read anew from each quote on, it would take an hour
    assert _refused(value).reason == "not_json"


@pytest.mark.parametrize("timestamp", [-1, -(2**63), 253_402_300_800_000, 2**63 - 1])
def test_a_record_without_a_timestamp_that_can_be_is_refused_and_moves_nobodys_time(timestamp: int) -> None:
    records = [click("u1", START_MS + i, i) for i in range(3)]
    records[1].timestamp = timestamp
    batch, (reject,) = decode(frame(records), BOUNDS)
    assert batch["order_ms"].tolist() == [START_MS, START_MS + 2]
    assert (reject.offset, reject.reason) == (1, "bad_time")
    assert reject.error == f"expected the record's timestamp to be 0 to 253402300799999, got {timestamp}"


def test_a_year_9999_event_does_not_move_the_merge() -> None:
    records = [click("u1", t, i) for i, t in enumerate((START_MS, 253_402_300_799_999, START_MS + 5))]
    for record in records:
        record.timestamp = START_MS
    batch, _ = decode(frame(records), BOUNDS)
    assert batch["order_ms"].tolist() == [START_MS, START_MS, START_MS + 5]


@pytest.mark.parametrize(
    ("value", "reason", "words"),
    [
        (None, "null_value", "expected a JSON object, got a null value"),
        (b"", "not_json", "got 0 bytes"),
        (b"nope", "not_json", "expected a JSON object in UTF-8, got 4 bytes"),
        (b"[]", "schema", "Expected object, got array"),
        (b"3", "schema", "Expected object, got int"),
        (b'{"event_id":"\xff","event_name":"view_item","event_time":1,"user_id":"u1"}', "not_json", "utf-8"),
        (b"\xff\xfe{", "not_json", "expected a JSON object in UTF-8"),
        (b'{"a":' * 100_000, "not_json", "expected at most 200 brackets open at a time, got more"),
        (_with()[:-1], "not_json", "truncated"),
        (_with() + b"x", "not_json", "trailing"),
        (b'{"event_id":"e1","event_name":"view_item","event_time":1}', "schema", "missing required field user_id"),
        (_with(user_id=1), "schema", "Expected str, got int - at $.user_id"),
        (_with(user_id=""), "schema", "length >= 1 - at $.user_id"),
        (_with(event_id="x" * 257), "schema", "length <= 256 - at $.event_id"),
        (_with(event_name="tap"), "unknown_event", "expected one of view_item_list, select_item, view_item, "),
        (_with(event_name="tap"), "unknown_event", "got 'tap' - at $.event_name"),
        (_with(event_name="purchase"), "unknown_event", "got 'purchase'"),
        (_with(event_time=-1), "schema", "Expected int >= 0 - at $.event_time"),
        (_with(event_time=1.5), "schema", "Expected int | str, got float - at $.event_time"),
        (_with(event_time="yesterday"), "bad_time", "expected RFC 3339 with a zone"),
        (_with(event_time="2026-09-21T14:13:20"), "bad_time", "expected RFC 3339 with a zone"),
        (_with(event_time="9" * 5000), "bad_time", "..."),
        (_with().replace(b"1790000000000", b"9" * 5_000), "schema", "at $.event_time"),
        (_with(device_id=7)[:-1] + b"e999}", "schema", "Number out of range - at $.device_id"),
        (_with(price=-0.0).replace(b"-0.0", b"NaN"), "not_json", "malformed"),
        (_with(price="NaN"), "bad_price", "expected an amount from 0 to 1e+09, got 'NaN'"),
        (_with(price="inf"), "bad_price", "got 'inf'"),
        (_with(price=1e308), "bad_price", "got 1e+308"),
        (_with(price="19,90"), "bad_price", "got '19,90'"),
        (_with(price=True), "schema", "got bool - at $.price"),
    ],
)  # fmt: skip
def test_a_bad_record_says_what_was_expected_and_what_came(value: bytes | None, reason: str, words: str) -> None:
    reject = _refused(value)
    assert reject.reason == reason
    assert words in reject.error
    assert len(reject.error) < 400  # also when the record is a megabyte


@pytest.mark.parametrize("key", [None, b"", b"u2", "ü".encode("latin-1")])
def test_a_key_that_is_not_the_user_id_is_refused(key: bytes | None) -> None:
    reject = _refused(_with(), key=key)
    assert reject.reason == "key_mismatch"
    assert f"expected the record's key to be user_id 'u1', got {key!r}" in reject.error


def test_nothing_else_in_the_frame_is_lost_by_a_bad_record() -> None:
    records = [click(f"u{i}", START_MS + i, i) for i in range(5)]
    records[2].value = b"nope"
    batch, rejects = decode(frame(records), BOUNDS)
    assert batch["offset"].tolist() == [0, 1, 3, 4]
    assert [r.offset for r in rejects] == [2]


@given(st.binary(max_size=200), st.one_of(st.none(), st.binary(max_size=20)))
def test_no_bytes_at_all_raise(value: bytes, key: bytes | None) -> None:
    for source in (CLICKS, SEARCHES, PURCHASES):
        batch, rejects = decode(frame([FakeRecord(key, value, 0, START_MS)], source=source), BOUNDS)
        assert len(batch) + len(rejects) == 1


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "user_id",
                "event_id",
                "event_time",
                "price",
                "value",
                "items",
                "item_id",
                "device_id",
                "country",
                "location_id",
            ]
        ),
        _JSON,
    )
)
def test_no_json_at_all_raises(fields: dict[str, object]) -> None:
    import json

    event = {"event_id": "e1", "event_name": "purchase", "event_time": START_MS, "user_id": "u1"} | fields
    value = json.dumps(event).encode()
    batch, rejects = decode(frame([FakeRecord(b"u1", value, 0, START_MS)], source=PURCHASES), BOUNDS)
    assert len(batch) + len(rejects) == 1


def test_a_frame_without_an_event_is_an_empty_batch() -> None:
    assert len(decode(Frame(0, 0, [], 0), BOUNDS)[0]) == 0
    assert len(EventBatch.concat([])) == 0


# Good, and bad at each of the places where a record is refused.
_KINDS = (_with(), _with(event_name="tap"), _with(price=1e308), _with(event_time="soon"), b"nope", None)


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.sampled_from(_KINDS), max_size=6)), min_size=1, max_size=5))
def test_frames_decoded_together_are_what_each_is_alone(drawn: list[tuple[int, list[bytes | None]]]) -> None:
    frames = [
        Frame(0, partition, [FakeRecord(b"u1", v, 10 * i + n, START_MS - i) for n, v in enumerate(values)], 10 * i + 9)
        for i, (partition, values) in enumerate(drawn)
    ]
    together = decode_all(frames, BOUNDS)
    alone = [decode(one, BOUNDS) for one in frames]
    for (batch, rejects), (its_batch, its_rejects) in zip(together, alone, strict=True):
        assert rejects == its_rejects
        assert contents(batch) == contents(its_batch)


def test_texts_of_a_megabyte_are_hashed_and_not_kept() -> None:
    decode_module._hash32.cache_clear()
    long, short = "x" * 1_000_000, "x" * 10
    batch = _decode({"item_id": long, "item_category": short})
    assert decode_module._hash32.cache_info().currsize == 1
    again = _decode({"item_id": short, "item_category": long})
    assert (batch["item"][0], batch["category"][0]) == (again["category"][0], again["item"][0])
