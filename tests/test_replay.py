from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.errors import SettingsError
from stream.replay import Layout, read_parquet

pa = pytest.importorskip("pyarrow", reason="pyarrow (the extra `parquet`) is not installed")
pq = pytest.importorskip("pyarrow.parquet")

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
recorded = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recorded data sets are not here ({SHARED})")


def write(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def stamps(*ms: int) -> Any:
    return pa.array(ms, pa.timestamp("ms", tz="UTC"))


@recorded
@pytest.mark.parametrize(
    ("file", "layout", "names", "left_out"),
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
    ],
)
def test_a_recording_gives_every_row_once_in_time_order_or_counts_it(
    file: str, layout: Layout, names: dict[str, int], left_out: dict[str, int]
) -> None:
    recording = read_parquet(SHARED / file)
    events = list(recording)
    objects = [orjson.loads(event.value) for event in events]
    assert recording.layout == layout
    assert recording.left_out == left_out
    assert Counter(event["event_name"] for event in objects) == names
    assert recording.events == len(events) == len({event["event_id"] for event in objects})
    assert all(event.sent_ms == fields["event_time"] for event, fields in zip(events, objects, strict=True))
    assert [event.sent_ms for event in events] == sorted(event.sent_ms for event in events)
    assert all(
        (event.topic == "purchases") == (fields["event_name"] == "purchase")
        for event, fields in zip(events, objects, strict=True)
    )
    assert list(recording) == events


def test_rows_come_by_time_and_those_of_one_time_as_in_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.parquet",
        user=[1, 2, 3, 4],
        ts=stamps(2_000, 1_000, 2_000, 1_000),
        type=["view", "cart", "fav", "purchase"],
        item=[10, 20, 30, 40],
        cat=[7, 7, 7, 7],
    )
    events = list(read_parquet(path))
    assert [(event.key, event.sent_ms) for event in events] == [(b"2", 1000), (b"4", 1000), (b"1", 2000), (b"3", 2000)]
    assert [orjson.loads(event.value) for event in events[:2]] == [
        {
            "event_id": "taobao-1",
            "event_name": "add_to_cart",
            "event_time": 1_000,
            "user_id": "2",
            "item_id": "20",
            "item_category": "7",
        },
        {
            "event_id": "taobao-3",
            "event_name": "purchase",
            "event_time": 1_000,
            "user_id": "4",
            "transaction_id": "taobao-3",
            "items": [{"item_id": "40", "item_category": "7"}],
        },
    ]


def test_a_row_without_a_word_or_a_value_is_counted_and_moves_no_event_id(tmp_path: Path) -> None:
    path = write(
        tmp_path / "j.parquet",
        user=[1, None, 3],
        ts=stamps(1, 2, 3),
        type=["comment", "view", "follow"],
        item=[10, 20, 30],
        session=[1, 2, 3],
    )
    recording = read_parquet(path)
    assert recording.left_out == {"comment": 1, "null": 1}
    (event,) = recording
    assert orjson.loads(event.value) == {
        "event_id": "jdata-2",
        "event_name": "add_to_wishlist",
        "event_time": 3,
        "user_id": "3",
        "session_id": "3",
        "item_id": "30",
    }


def test_missing_columns_are_named_with_those_found(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", user=[1], ts=stamps(1), type=["view"], colour=["red"])
    with pytest.raises(SettingsError, match=rf"{path}: expected .* of taobao, got .*colour: item, cat missing"):
        read_parquet(path, "taobao")
    with pytest.raises(SettingsError, match=rf"{path}: expected .*\(taobao\); or .*\(jdata\), got user, .*colour"):
        read_parquet(path)


def test_a_file_that_is_not_parquet_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    with pytest.raises(SettingsError, match=f"{path}: expected a Parquet file"):
        read_parquet(path)
    path.write_text("user,ts,type,item,cat\n1,2,view,3,4\n")
    with pytest.raises(SettingsError, match=f"{path}: expected a Parquet file"):
        read_parquet(path)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", user=[], ts=stamps(), type=[], item=[], cat=[])
    with pytest.raises(SettingsError, match=f"{path}: expected rows"):
        read_parquet(path)


def test_times_that_are_no_timestamps_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", user=[1], ts=["noon"], type=["view"], item=[1], cat=[1])
    with pytest.raises(SettingsError, match="expected timestamps in the column ts, got string"):
        read_parquet(path)


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SettingsError, match=r"behaviour-stream\[parquet\]"):
        read_parquet(tmp_path / "t.parquet")
