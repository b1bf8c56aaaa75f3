"""The formats that are known: what each makes of its rows, and that decoding takes all of it."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from stream.errors import SettingsError
from stream.replay import ShopMap, open_recording
from stream.replay.csv_table import CsvTable
from stream.replay.formats import JD_SPACING_MS, JD_START_MS, Format
from stream.replay.mapped import MappedRows
from stream.replay.rows import Made
from stream.replay.shop_map import Columns
from tests.replay_checks import assert_decoding_takes, fields_of

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
recorded = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recorded data sets are not here ({SHARED})")

REES46 = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"


@recorded
@pytest.mark.parametrize(
    ("file", "name", "names", "left_out"),
    [
        (
            "taobao_2017_11_26.parquet",
            "taobao",
            {"view_item": 85_773, "add_to_cart": 5_292, "add_to_wishlist": 2_959, "purchase": 2_144},
            {},
        ),
        (
            "jdata_2018_03.parquet",
            "jdata",
            {"view_item": 27_160, "purchase": 2_163, "add_to_wishlist": 505},
            {"comment": 530},
        ),
        (
            "jd_appliances.parquet",
            "jd",
            {"select_item": 36_626, "view_item": 16_923, "add_to_cart": 3_600, "purchase": 183},
            {},
        ),
    ],
)
def test_a_real_file_gives_every_row_once_in_time_order_or_counts_it(
    file: str, name: Format, names: dict[str, int], left_out: dict[str, int]
) -> None:
    recording = open_recording(SHARED / file)
    events = list(recording)
    objects = fields_of(events)
    assert recording.format == name
    assert recording.tally.left_out == left_out
    assert not recording.tally.refused
    assert Counter(event["event_name"] for event in objects) == names == recording.tally.names
    assert recording.events == len(events) == len({event["event_id"] for event in objects})
    assert int(recording.tally.users) == len({event.key for event in events})
    assert [event.sent_ms for event in events] == sorted(event.sent_ms for event in events)
    assert (recording.tally.first_ms, recording.tally.last_ms) == (events[0].sent_ms, events[-1].sent_ms)
    assert list(recording) == events
    assert list(open_recording(SHARED / file, name)) == events
    assert_decoding_takes(events)


@recorded
def test_a_session_of_jd_is_a_user_who_begins_a_minute_after_the_one_before(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(SHARED / "jd_appliances.parquet").to_pylist()
    wanted = [
        (str(r["session"]), JD_START_MS + r["session"] * JD_SPACING_MS + r["seconds_since_start"] * 1000) for r in rows
    ]
    recording = open_recording(SHARED / "jd_appliances.parquet")
    got = [(event["user_id"], event["event_time"]) for event in fields_of(recording)]
    assert got == sorted(wanted, key=lambda pair: pair[1])
    assert all(event["session_id"] == event["user_id"] for event in fields_of(recording))
    assert not any(b"next" in event.value for event in recording)


def test_rows_of_rees46_keep_their_prices_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "2019-Oct.csv"
    path.write_text(
        REES46
        + "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d7\n"
        + "2019-10-01 00:00:01 UTC,purchase,3900821,2053013552326770905,appliances.heater,aqua,33.20,554748717,9333\n"
        + "2019-10-01 00:00:01 UTC,remove_from_cart,1,2,,,,554748717,9333\n"
    )
    recording = open_recording(path)
    assert fields_of(recording) == [
        {
            "event_id": "rees46-0",
            "event_name": "view_item",
            "event_time": 1_569_888_000_000,
            "user_id": "541312140",
            "session_id": "72d7",
            "item_id": "44600062",
            "item_category": "2103807459595387724",
            "price": "35.79",
        },
        {
            "event_id": "rees46-1",
            "event_name": "purchase",
            "event_time": 1_569_888_001_000,
            "user_id": "554748717",
            "session_id": "9333",
            "transaction_id": "rees46-1",
            "value": "33.20",
            "items": [{"item_id": "3900821", "item_category": "appliances.heater", "price": "33.20"}],
        },
        {
            "event_id": "rees46-2",
            "event_name": "remove_from_cart",
            "event_time": 1_569_888_001_000,
            "user_id": "554748717",
            "session_id": "9333",
            "item_id": "1",
            "item_category": "2",
        },
    ]
    assert_decoding_takes(list(recording))


def test_taobaos_csv_has_no_header_and_goes_by_user_not_by_time(tmp_path: Path) -> None:
    path = tmp_path / "UserBehavior.csv.gz"
    path.write_bytes(
        gzip.compress(
            b"1,2268318,2520377,pv,1511561733\n1,2333346,2520771,buy,1511544070\n100,9,8,fav,1511544070\n100,9,8,cart,86400\n"
        )
    )
    recording = open_recording(path)
    assert [(e["event_id"], e["event_name"], e["event_time"]) for e in fields_of(recording)] == [
        ("taobao-1", "purchase", 1_511_544_070_000),
        ("taobao-2", "add_to_wishlist", 1_511_544_070_000),
        ("taobao-0", "view_item", 1_511_561_733_000),
    ]
    assert recording.tally.refused["bad_time"].lines == [4]
    assert "1970-01-02" in recording.tally.refused["bad_time"].error
    assert_decoding_takes(list(recording))


@pytest.mark.parametrize("name", ["taobao", "jdata", "jd", "rees46"])
def test_a_format_says_what_it_needs_where_columns_are_missing(tmp_path: Path, name: Format) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,colour\n1,red\n")
    with pytest.raises(SettingsError, match=rf"{path}: expected .*{name}.* got .*user, colour"):
        open_recording(path, name)
    with pytest.raises(SettingsError, match=rf"expected a format that is known, or a --map file.*{name}: "):
        open_recording(path)


def test_columns_of_jdata_are_read_from_csv_too(tmp_path: Path) -> None:
    path = tmp_path / "jdata.csv"
    path.write_text(
        "ts,user,session,item,type\n2018-03-01 00:00:06,273220,42,159865,view\n2018-03-01 00:00:07,1,2,3,comment\n"
    )
    recording = open_recording(path)
    assert [event.sent_ms for event in recording] == [1_519_862_406_000]
    assert recording.tally.left_out == {"comment": 1}


@pytest.mark.parametrize("name", ["rees46.csv", "rees46.parquet"])
def test_a_format_whose_column_is_there_twice_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path, columns = tmp_path / name, [*REES46.strip().split(","), "price"]
    path.write_text(",".join(columns) + "\n")
    if path.suffix == ".parquet":
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.Table.from_arrays([pa.array(["1"])] * len(columns), names=columns), path)
    with pytest.raises(SettingsError, match=f"{path}: expected one column price, got 2 of that name"):
        open_recording(path)


def test_a_map_that_was_given_no_name_still_names_its_events(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user,at,what\nann,2026-01-31T12:00:00Z,view_item\n")
    own = ShopMap(columns=Columns(user_id="user", event_time="at", event_name="what"))
    recording = open_recording(path, shop_map=own)
    assert recording.format == "map"
    assert fields_of(recording)[0]["event_id"] == "map-0"


def test_notes_are_those_of_the_pass_that_was_made_last(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user,at,what\nann,2026-10-25T02:30:00,view_item\n")
    columns = Columns(user_id="user", event_time="at", event_name="what")
    rows = MappedRows(CsvTable(path), ShopMap(columns=columns, time_zone="Europe/Berlin"))
    assert rows.notes() == []
    for _ in range(2):
        assert [type(outcome) for _, outcome in rows.outcomes()] == [Made]
        (note,) = rows.notes()
        assert note.startswith("1 times that clocks in Europe/Berlin show twice")
