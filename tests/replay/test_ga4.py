"""Google Analytics 4's two shapes: what the topics hold goes out byte for byte, BigQuery's export is turned into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.replay import open_recording
from stream.replay.formats import Format
from stream.replay.ga4 import Ga4Rows
from stream.replay.json_table import JsonTable
from stream.replay.rows import TOPICS, Made
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.replay_checks import assert_decoding_takes


def lines(path: Path, *objects: Any) -> Path:
    path.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in objects))
    return path


def exported(name: str, **more: Any) -> dict[str, Any]:
    """An event as BigQuery exports it: whole numbers are text in its JSON."""
    return {
        "event_date": "20260131",
        "event_timestamp": "1769860800123456",
        "event_name": name,
        "user_id": "ann",
        "user_pseudo_id": "1234567890.1700000000",
        "event_params": [
            {"key": "ga_session_id", "value": {"int_value": "1769860000"}},
            {"key": "currency", "value": {"string_value": "EUR"}},
            {"key": "page_title", "value": {"string_value": "Home"}},
        ],
        "device": {"category": "mobile"},
        "geo": {"country": "Germany"},
        **more,
    }


def test_what_simulate_sends_is_replayed_byte_for_byte(tmp_path: Path) -> None:
    sent = list(
        simulate(
            scenario.honest_and_orderly(scenario.load()),
            seed=3,
            users=50,
            start_ms=1_769_860_800_000,
            end_ms=1_769_860_800_000 + 6 * 86_400_000,
        )
    )
    assert len(sent) > 300
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(event.value + b"\n" for event in sent))
    recording = open_recording(path)
    assert recording.format == "ga4"
    assert not recording.tally.refused
    assert [event._replace(label=None) for event in sent] == list(recording)


def test_an_event_without_an_id_gets_one_of_its_row_and_keeps_its_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event_name":"view_item","event_time":5,"user_id":"ann", "price": 19.90}\n')
    (event,) = open_recording(path)
    assert (
        event.value == b'{"event_id":"ga4-0","event_name":"view_item","event_time":5,"user_id":"ann", "price": 19.90}'
    )


def test_bigquerys_export_becomes_what_the_topics_hold(tmp_path: Path) -> None:
    shoe = {"item_id": "SKU-1", "item_category": "shoes", "price": 19.90, "quantity": "2"}
    sock = {"item_id": "SKU-2", "item_category": "(not set)", "price": None}
    search = {"key": "search_term", "value": {"string_value": "red shoes"}}
    path = lines(
        tmp_path / "export.json",
        exported("page_view"),
        exported("view_search_results", event_params=[search]),
        exported("add_to_cart", items=[shoe]),
        exported("view_item_list", items=[shoe, sock]),
        exported("view_cart", items=[shoe, sock]),
        exported("purchase", ecommerce={"transaction_id": "T-1", "purchase_revenue": 39.8}, items=[shoe, sock]),
        exported("refund", user_id=None, ecommerce={"refund_value": -39.8}),
        exported("scroll", user_id=None, user_pseudo_id=None),
        exported("view_item", user_id=None, user_pseudo_id=None),
    )
    recording = open_recording(path)
    envelope = {
        "event_time": 1_769_860_800_123,
        "user_id": "ann",
        "device_id": "1234567890.1700000000",
        "country": "Germany",
    }
    session = envelope | {"session_id": "1769860000"}
    item = {"item_id": "SKU-1", "item_category": "shoes", "price": "19.9", "quantity": 2}
    assert [orjson.loads(event.value) for event in recording] == [
        envelope | {"event_id": "ga4-1", "event_name": "search", "search_term": "red shoes"},
        session | {"event_id": "ga4-2", "event_name": "add_to_cart", "currency": "EUR"} | item,
        session | {"event_id": "ga4-3", "event_name": "view_item_list", "item_category": "shoes"},
        session | {"event_id": "ga4-4", "event_name": "view_cart"},
        session
        | {
            "event_id": "ga4-5",
            "event_name": "purchase",
            "transaction_id": "T-1",
            "value": "39.8",
            "currency": "EUR",
            "items": [item, {"item_id": "SKU-2"}],
        },
        session
        | {
            "event_id": "ga4-6",
            "event_name": "refund",
            "user_id": "1234567890.1700000000",
            "transaction_id": "ga4-6",
            "value": "-39.8",
            "currency": "EUR",
        },
    ]
    assert [event.topic for event in recording] == ["searches", "clicks", "clicks", "clicks", "purchases", "purchases"]
    assert recording.tally.left_out == {"page_view": 1, "scroll": 1}
    assert recording.tally.refused["missing_user_id"].lines == [9]


@pytest.mark.parametrize(
    ("line", "reason", "words"),
    [
        ('{"event_name":"view_item","event_time":"2026-01-31T12:00:00","user_id":"a"}', "bad_time", "with a zone"),
        ('{"event_name":"view_item","event_time":"2026-01-31 12:00:00 UTC","user_id":"a"}', "bad_time", "12:00:00 UTC"),
        ('{"event_name":"view_item","event_time":-5,"user_id":"a"}', "bad_time", "-5"),
        ('{"event_name":"view_item","user_id":"a"}', "bad_time", "got none"),
        ('{"event_name":"view_item","event_time":5}', "missing_user_id", "got none"),
        ('{"event_name":"view_item","event_time":5,"user_id":"a","event_id":null}', "missing_event_id", "empty"),
        ('{"event_name":"view_item","event_time":5,"user_id":7}', "schema", "$.user_id"),
        ('{"event_name":"view_item","event_time":5,"user_id":"%s"}' % ("a" * 257), "id_too_long", "257"),
        ('{"event_name":"view_item","event_time":5,"user_id":"a","price":1e400}', "bad_price", "1e400"),
        ('{"event_name":"view_item","event_time":5,"user_id":"a","price":"NaN"}', "bad_price", "NaN"),
        ('{"event_name":"view_item","event_time":5,"user_id":"a","price":""}', "bad_price", "got ''"),
        ('{"event_name":"view_item","event_time":%s,"user_id":"a"}' % ("9" * 30), "bad_time", "9999"),
        ('{"event_name":"view_item","event_time":"%s","user_id":"a"}' % ("9" * 30), "bad_time", "9999"),
        ('{"event_name":"view_item","event_time":"%s","user_id":"a"}' % ("9" * 5_000), "bad_time", "9999"),
        ('{"event_name":"view_item","event_time":"%s","user_id":"a"}' % ("0" * 20 + "9" * 30), "bad_time", "0000"),
        ('{"event_name":"view_item","event_time":"9999-12-31T23:59:59-12:00","user_id":"a"}', "bad_time", "9999"),
        ('{"event_name":"view_item","event_time":5,"user_id":"a","price":NaN}', "not_json", "invalid"),
        ('{"event_name":"view_item","event_time":5,"user_id":"a"', "not_json", "truncated"),
        ("[1, 2]", "schema", "Expected"),
        ("view_item,5,a", "not_json", "view_item,5,a"),
        ('{"event_name":"view_search_results","event_time":5,"user_id":"a"}', "unknown_event", "search"),
    ],
)
def test_a_line_that_is_no_event_is_refused_with_its_number_and_why(
    tmp_path: Path, line: str, reason: str, words: str
) -> None:
    path = tmp_path / "events.jsonl"
    good = '{"event_name":"view_item","event_time":5,"user_id":"ann"}'
    path.write_text(f"{good}\n\n{line}\n{good}\n")
    recording = open_recording(path)
    assert recording.events == 2
    assert recording.tally.refused.keys() == {reason}
    refused = recording.tally.refused[reason]
    assert (refused.rows, refused.lines, refused.example) == (1, [3], line[:160])
    assert words in refused.error


@pytest.mark.parametrize(
    "fields",
    [
        {"event_name": "view_item", "price": -5},
        {"event_name": "purchase", "value": "-5.00"},
        {"event_name": "search", "price": "none of its fields"},
        {"event_name": "view_item", "event_time": "1769860800000"},
    ],
)
def test_what_decoding_takes_is_sent(tmp_path: Path, fields: dict[str, Any]) -> None:
    line = {"event_id": "e", "event_time": 1_769_860_800_000, "user_id": "ann"} | fields
    recording = open_recording(lines(tmp_path / "events.jsonl", line))
    assert [event.value for event in recording] == [orjson.dumps(line)]
    assert_decoding_takes(list(recording))


@pytest.mark.parametrize("first", [b'me":"view_item","event_time":5,"user_id":"ann"}', b'{"event_name":"view_i'])
@pytest.mark.parametrize("name", [None, "ga4"])
def test_a_first_line_that_is_half_of_one_does_not_hide_what_the_file_is(
    tmp_path: Path, first: bytes, name: Format | None
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(first + b"\n" + b'{"event_name":"view_item","event_time":0,"user_id":"ann"}\n' * 3)
    recording = open_recording(path, name)
    assert (recording.format, recording.events) == ("ga4", 3)
    assert recording.tally.refused["not_json"].lines == [1]


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([{"item_id": 3}])
values = {
    "event_name": st.sampled_from([*TOPICS, "page_view"]),
    "event_time": st.sampled_from(
        [
            5,
            -1,
            10**16,
            "5",
            "2026-01-31T12:00:00Z",
            "2026-01-31t12:00:00+01:00",
            "²",
            "",
            "2026-01-31 12:00:00 UTC",
            10**29,
            "9" * 30,
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00Z",
        ]
    ),
    "user_id": st.sampled_from(["ann", "", "12.5", "a" * 256, "a" * 257, None, 3]),
    "event_id": st.sampled_from(["e", "", "e" * 257, None, 3]),
    "price": st.sampled_from(
        ["19.90", 19.9, 0, -1, "-1", "1e400", 1e300, "NaN", "", None, True, [], " 1", "1_0", "-5", "inf"]
    ),
}


@given(
    st.fixed_dictionaries(
        {}, optional=values | dict.fromkeys(("item_id", "items", "value", "search_term"), json_values)
    )
)
def test_whatever_a_line_holds_what_is_sent_is_what_decoding_takes(fields: dict[str, Any]) -> None:
    table = JsonTable(Path("unread"))
    outcome = Ga4Rows(table)._outcome(json.dumps(fields).encode(), 0)
    if isinstance(outcome, Made):
        assert_decoding_takes([outcome.event])
