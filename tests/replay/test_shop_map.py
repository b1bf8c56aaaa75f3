"""A shop's own map: what it refuses by key, and what it makes of CSV, JSON lines and Parquet."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.errors import SettingsError
from stream.replay import Recording, load_map, open_recording
from tests.replay_checks import assert_decoding_takes, fields_of

COLUMNS = '[columns]\nuser_id = "user"\nevent_time = "at"\nevent_name = "what"\n'
WORDS = '[events]\nlooked = "view_item"\nbought = "purchase"\nasked = "search"\n'


def mapped(folder: Path, toml: str, content: str | bytes) -> Recording:
    shop, path = folder / "shop.toml", folder / "events"
    shop.write_text(toml)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_recording(path, shop_map=load_map(shop))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (COLUMNS.replace("user_id", "user"), r"columns: Object (contains unknown field user|missing required field)"),
        ("colour = 1\n" + COLUMNS, "Object contains unknown field colour"),
        (COLUMNS + "[csv]\ndelimiter = ';;'", "csv.delimiter: Expected str of length <= 1"),
        (COLUMNS + "[csv]\nquote = 'x'", "csv: Object contains unknown field quote"),
        (COLUMNS + "[csv]\ncolumns = ['a', 'a']", "csv.columns: expected each name once, got 'a' 2 times"),
        (COLUMNS + "[csv]\ndelimiter = '\"'", "csv.delimiter: expected a character between fields"),
        (COLUMNS.replace('"user"', "[]"), "columns.user_id: Expected"),
        (COLUMNS.replace('"user"', "7"), "columns.user_id: Expected"),
        (COLUMNS.replace('event_name = "what"\n', ""), "columns.event_name: expected the column .* got neither"),
        ("every_event = 'purchase'\n" + COLUMNS, "columns.event_name: .* got both"),
        (
            "every_event = 'buy'\n" + COLUMNS.replace('event_name = "what"\n', ""),
            "every_event: expected one of view_item_list, .*got 'buy'",
        ),
        (COLUMNS + '[events]\nlooked = "view_itm"', 'events."looked": expected one of .*did you mean view_item'),
        ("ignore = ['looked']\n" + COLUMNS + WORDS, 'ignore: .*got "looked", which .* view_item'),
        ("time_zone = 'Berlin'\n" + COLUMNS, "time_zone: expected an IANA name such as Europe/Berlin, got 'Berlin'"),
        ("time_zone = '../UTC'\n" + COLUMNS, "time_zone: expected an IANA name"),
        (
            "time_format = 'iso'\n" + COLUMNS,
            "time_format: expected rfc3339, s, ms, us or a strptime .*got 'iso'",
        ),
        ("time_format = '%d %d.%m.%Y'\n" + COLUMNS, "time_format: .*with no part twice, got '%d %d.%m.%Y'"),
        ("time_format = '%Q'\n" + COLUMNS, "time_format: expected rfc3339, .*got '%Q'"),
        (
            "time_format = '%H:%M'\ntime_zone = 'UTC'\n" + COLUMNS,
            "time_format: .*with year, month and day, got",
        ),
        ("time_format = '%d.%m.%Y %H:%M'\n" + COLUMNS, "time_zone: expected a zone .* got none"),
        ("[columns\n", "expected TOML, got: "),
        (b"\xff\xfe", "expected TOML in UTF-8"),
    ],
)
def test_a_map_that_is_wrong_is_refused_by_its_key(tmp_path: Path, toml: str | bytes, words: str) -> None:
    path = tmp_path / "shop.toml"
    path.write_bytes(toml if isinstance(toml, bytes) else toml.encode())
    with pytest.raises(SettingsError, match=rf"(?s)^{path}: {words}"):
        load_map(path)


def test_a_map_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none.toml: expected a file of TOML, got: No such file"):
        load_map(tmp_path / "none.toml")


def test_json_lines_are_mapped_by_dotted_paths_with_money_in_its_own_digits(tmp_path: Path) -> None:
    toml = (
        "time_format = 'us'\nignore = ['scrolled']\nname = 'demo'\n"
        '[columns]\nuser_id = ["customer.id", "cookie"]\nevent_time = "meta.at"\nevent_name = "what"\n'
        'event_id = "meta.id"\nitem_id = "basket.0.sku"\nitem_category = "cat"\nprice = "price"\nvalue = "total"\n'
        'transaction_id = "order"\ncurrency = "cur"\nquantity = "n"\nsearch_term = "q"\nsession_id = "meta.s"\n'
        'device_id = "cookie"\nlocation_id = "shop"\nresults_count = "hits"\n' + WORDS
    )
    rows = (
        '{"what":"asked","cookie":"c1","meta":{"at":1769860800123456,"id":"e1"},"q":"schöne Schuhe","hits":3}\n'
        '{"what":"looked","customer":{"id":7},"cookie":"c1","meta":{"at":1769860801000000},"basket":[{"sku":5}],'
        '"price":12345678901234567.10}\n'
        '{"what":"looked","customer":{"id":7},"meta":{"at":1769860801000000},"price":19.90,"shop":"b-1","a.b":1}\n'
        '{"what":"bought","customer":null,"cookie":"c1","meta":{"at":1769860802000000,"s":"s9"},"basket":[{"sku":"A"}],'
        '"cat":"shoes","price":19.90,"n":2,"total":39.80,"order":"T-1","cur":"EUR"}\n'
        '{"what":"scrolled"}\n{"what":"slept"}\n'
        '{"what":"looked","cookie":["c1"],"meta":{"at":1769860802000000}}\n'
        '{"what":"looked","cookie":"c1","meta":{"at":1769860802.5}}\n'
    )
    recording = mapped(tmp_path, toml, rows)
    assert fields_of(recording) == [
        {
            "event_id": "e1",
            "event_name": "search",
            "event_time": 1_769_860_800_123,
            "user_id": "c1",
            "device_id": "c1",
            "search_term": "schöne Schuhe",
            "results_count": 3,
        },
        {
            "event_id": "demo-2",
            "event_name": "view_item",
            "event_time": 1_769_860_801_000,
            "user_id": "7",
            "location_id": "b-1",
            "price": "19.90",
        },
        {
            "event_id": "demo-3",
            "event_name": "purchase",
            "event_time": 1_769_860_802_000,
            "user_id": "c1",
            "session_id": "s9",
            "device_id": "c1",
            "transaction_id": "T-1",
            "value": "39.80",
            "currency": "EUR",
            "items": [{"item_id": "A", "item_category": "shoes", "price": "19.90", "quantity": 2}],
        },
    ]
    assert recording.format == "demo"
    assert recording.tally.left_out == {"scrolled": 1}
    assert {reason: refused.lines for reason, refused in recording.tally.refused.items()} == {
        "bad_price": [2],
        "unknown_event": [6],
        "bad_value": [7],
        "bad_time": [8],
    }
    assert_decoding_takes(list(recording))


def test_a_map_without_words_takes_ga4s_own(tmp_path: Path) -> None:
    recording = mapped(tmp_path, COLUMNS, "user,at,what\nann,2026-01-31T12:00:00Z,add_to_cart\n")
    assert [event["event_name"] for event in fields_of(recording)] == ["add_to_cart"]
    assert fields_of(recording)[0]["event_id"] == "shop-0"  # the map's file is shop.toml


def test_every_row_of_an_export_of_orders_is_a_purchase(tmp_path: Path) -> None:
    toml = "every_event = 'purchase'\n" + COLUMNS.replace('event_name = "what"\n', 'transaction_id = "order"\n')
    recording = mapped(tmp_path, toml, "user,at,order\nann,2026-01-31T12:00:00Z,T-1\n")
    assert [(e.topic, f["transaction_id"]) for e, f in zip(recording, fields_of(recording), strict=True)] == [
        ("purchases", "T-1")
    ]


def test_a_refunds_value_may_be_negative_and_a_purchases_may_not(tmp_path: Path) -> None:
    toml = COLUMNS + 'value = "total"\n'
    row = "ann,2026-01-31T12:00:00Z,{},-5.00\n"
    recording = mapped(tmp_path, toml, "user,at,what,total\n" + row.format("refund") + row.format("purchase"))
    assert [(f["event_name"], f["value"]) for f in fields_of(recording)] == [("refund", "-5.00")]
    assert recording.tally.refused["bad_price"].lines == [3]
    assert_decoding_takes(list(recording))


@pytest.mark.parametrize(
    ("stamped", "zone", "expected"),
    [
        ("UTC", None, 1_769_860_800_500),
        ("Asia/Tokyo", None, 1_769_860_800_500),
        (None, "Europe/Berlin", 1_769_857_200_500),
    ],
)
def test_parquet_gives_decimals_nested_columns_and_times_by_their_type(
    tmp_path: Path, stamped: str | None, zone: str | None, expected: int
) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    from decimal import Decimal

    at = pa.array([1_769_860_800_500_900], pa.timestamp("us", tz=stamped))
    table: dict[str, Any] = {
        "user": [7],
        "at": at,
        "what": pa.array(["looked"]).dictionary_encode(),
        "item": [{"sku": "A", "price": Decimal("19.90")}],
        "a.category": ["shoes"],
    }
    path = tmp_path / "events.parquet"
    parquet.write_table(pa.table(table), path)
    toml = f"time_format = 'ms'\n{f'time_zone = {zone!r}' if zone else ''}\n" + COLUMNS
    (tmp_path / "shop.toml").write_text(
        toml + 'item_id = "item.sku"\nprice = "item.price"\nitem_category = "a.category"\n' + WORDS
    )
    recording = open_recording(path, shop_map=load_map(tmp_path / "shop.toml"))
    (event,) = fields_of(recording)
    assert (event["event_time"], event["item_id"], event["price"]) == (expected, "A", "19.90")
    assert event["item_category"] == "shoes"
    assert_decoding_takes(list(recording))
    (tmp_path / "shop.toml").write_text(COLUMNS + 'item_id = "item.colour"\n')
    with pytest.raises(SettingsError, match=r"item\.colour missing"):
        open_recording(path, shop_map=load_map(tmp_path / "shop.toml"))


def test_a_column_of_lists_in_parquet_is_refused_by_name(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    parquet.write_table(pa.table({"user": [["a"]], "at": ["x"], "what": ["looked"]}), path)
    (tmp_path / "shop.toml").write_text(COLUMNS + WORDS)
    with pytest.raises(SettingsError, match=r"expected text, numbers or times in the column user, got list"):
        open_recording(path, shop_map=load_map(tmp_path / "shop.toml"))


def test_times_that_clocks_show_twice_or_skip_are_decided_and_counted(tmp_path: Path) -> None:
    toml = "time_format = '%d.%m.%Y %H:%M'\ntime_zone = 'Europe/Berlin'\n" + COLUMNS
    rows = ["25.10.2026 01:59", "25.10.2026 02:30", "25.10.2026 03:00", "29.03.2026 02:30", "01.07.2026 12:00"]
    recording = mapped(tmp_path, toml, "user,at,what\n" + "".join(f"ann,{row},view_item\n" for row in rows))
    utc = ["2026-03-29T01:30", "2026-07-01T10:00", "2026-10-24T23:59", "2026-10-25T00:30", "2026-10-25T02:00"]
    assert [event.sent_ms for event in recording] == [
        int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000) for text in utc
    ]
    twice, skipped = recording.tally.notes
    assert twice.startswith("1 times that clocks in Europe/Berlin show twice: taken as the first")
    assert skipped.startswith("1 times that clocks in Europe/Berlin skip: taken as an hour later")


@pytest.mark.parametrize(
    ("time_format", "text", "expected"),
    [
        ("s", "1769860800", 1_769_860_800_000),
        ("s", "1769860800.1239", 1_769_860_800_123),
        ("s", "1769860800.5", 1_769_860_800_500),
        ("ms", "1769860800123", 1_769_860_800_123),
        ("us", "1769860800123999", 1_769_860_800_123),
        ("rfc3339", "2026-01-31 12:00:00 UTC", 1_769_860_800_000),
        ("rfc3339", "2026-01-31t13:00:00.25+01:00", 1_769_860_800_250),
        ("%Y%m%dT%H%M%S%z", "20260131T130000+0100", 1_769_860_800_000),
        ("ms", "1769860800", "from 1980-01-01 .*which is 1970-01-21"),
        ("s", "1769860800123", "got '1769860800123'"),
        ("s", "-5", "expected s since 1970, got '-5'"),
        ("s", "١٧٦٩", "expected s since 1970"),
        ("rfc3339", "", "expected RFC 3339"),
        ("%Y%m%dT%H%M%S%z", "2026", "expected %Y%m%dT"),
    ],
)
def test_a_time_is_read_as_the_map_says_or_refused(
    tmp_path: Path, time_format: str, text: str, expected: int | str
) -> None:
    recording = mapped(tmp_path, f"time_format = '{time_format}'\n" + COLUMNS, f"user,at,what\nann,{text},view_item\n")
    if isinstance(expected, int):
        assert [event.sent_ms for event in recording] == [expected]
    else:
        assert recording.events == 0
        assert re.search(expected, recording.tally.refused["bad_time"].error)


def test_the_same_column_may_give_several_fields(tmp_path: Path) -> None:
    toml = COLUMNS + 'session_id = "user"\nvalue = "price"\nprice = "price"\n'
    recording = mapped(tmp_path, toml, "user,at,what,price\nann,2026-01-31T12:00:00Z,purchase,5.00\n")
    (event,) = fields_of(recording)
    assert event["session_id"] == event["user_id"] == "ann"
    assert orjson.dumps(event["items"]) == b'[{"price":"5.00"}]'
    assert event["value"] == "5.00"


def test_where_a_comma_marks_decimals_a_point_may_mark_thousands_and_is_refused(tmp_path: Path) -> None:
    toml = COLUMNS + "price = 'price'\n[csv]\ndelimiter = ';'\ndecimal_comma = true\n"
    row = "ann;2026-01-31T12:00:00Z;view_item;"
    rows = [row + price for price in ("19,90", "1.234", "1.234,50", "1234")]
    recording = mapped(tmp_path, toml, "user;at;what;price\n" + "\n".join(rows))
    assert [event["price"] for event in fields_of(recording)] == ["19.90", "1234"]
    assert recording.tally.refused["bad_price"].lines == [3, 4]
    assert "without a point, got '1.234'" in recording.tally.refused["bad_price"].error
    (event,) = fields_of(
        mapped(tmp_path, toml, '{"user":"ann","at":"2026-01-31T12:00:00Z","what":"view_item","price":1.234}')
    )
    assert event["price"] == "1.234"  # the option is of CSV


def test_text_in_parquet_that_is_no_utf_8_is_a_row_refused_and_not_the_end_of_the_file(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    users = pa.array([b"ann", b"\xff", None, b"bob"], pa.binary())
    table = {"user": users, "at": ["2026-01-31T12:00:00Z"] * 4, "what": ["view_item"] * 4}
    parquet.write_table(pa.table(table), path)
    (tmp_path / "shop.toml").write_text(COLUMNS)
    recording = open_recording(path, shop_map=load_map(tmp_path / "shop.toml"))
    assert [event["user_id"] for event in fields_of(recording)] == ["ann", "bob"]
    assert recording.tally.refused["not_utf8"].lines == [2]
    assert recording.tally.refused["missing_user_id"].lines == [3]


def test_two_structs_of_one_name_in_parquet_are_named(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    columns = {"user": ["ann"], "at": ["2026-01-31T12:00:00Z"], "what": ["view_item"], "item": [{"sku": "A"}]}
    table = pa.table(columns).append_column("item", pa.array([{"colour": "red"}]))
    parquet.write_table(table, path)
    (tmp_path / "shop.toml").write_text(COLUMNS + "item_id = 'item.sku'\n")
    with pytest.raises(SettingsError, match=f'{path}: expected Parquet .*"item" exists 2 times'):
        open_recording(path, shop_map=load_map(tmp_path / "shop.toml"))
