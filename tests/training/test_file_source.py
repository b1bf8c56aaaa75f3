"""Files of a shop: several as one, other shops beside it, labels in a column, and files with something wrong."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.errors import SettingsError
from stream.events import ACTIONS
from stream.replay import load_map
from stream.shop_event import ShopEvent
from stream.simulator import files, scenario
from stream.simulator.simulate import simulate
from stream.training import labels, splits
from stream.training.file_source import FileShop
from stream.training.gathering import Gathered, gather, told
from stream.training.runs import Runs
from tests.training.shops import DAY_MS, HOUR_MS, SMALL, START_MS, gathered, happened, shop_event

NORMAL = scenario.honest_and_orderly(scenario.load())
HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"


@pytest.fixture(scope="module")
def events() -> list[ShopEvent]:
    """Three days of 60 shoppers."""
    return list(simulate(NORMAL, seed=5, users=60, start_ms=START_MS, end_ms=START_MS + 3 * DAY_MS))


def written(path: Path, events: Sequence[ShopEvent]) -> Path:
    files.write(events, path)
    return path


def read(*paths: Path, **how: Any) -> Gathered:
    """As one shop."""
    return gather([FileShop(paths, **how)])


def contents(runs: Runs) -> list[bytes]:
    return [getattr(runs, name).tobytes() for name in ("raw", "session", "counts", "user", "end_ms", "repeat")]


def rees46(*rows: tuple[int, str, int]) -> str:
    """(second, event, user) of each."""
    return HEADER + "".join(f"2019-10-01 00:00:{s:02d} UTC,{name},1,2,,,35.79,{user},s\n" for s, name, user in rows)


def test_a_file_gives_what_its_events_give_whichever_way_it_is_written(tmp_path: Path, events: list[ShopEvent]) -> None:
    expected = contents(gathered(events).runs)
    assert contents(read(written(tmp_path / "events.jsonl", events)).runs) == expected
    assert contents(read(written(tmp_path / "events.jsonl.gz", events)).runs) == expected


def test_events_in_any_order_of_lines_come_by_time(tmp_path: Path, events: list[ShopEvent]) -> None:
    shuffled = Random(3).sample(events, len(events))
    found = read(written(tmp_path / "events.jsonl", shuffled)).runs
    expected = gathered(events).runs
    assert np.array_equal(found.raw["time_ms"], expected.raw["time_ms"])
    assert contents(found)[2:] == contents(expected)[2:]


def test_several_files_of_one_shop_are_one_stream_by_time(tmp_path: Path, events: list[ShopEvent]) -> None:
    parts = [written(tmp_path / f"{n}.jsonl", events[n::3]) for n in range(3)]
    found = read(*parts)
    assert contents(found.runs) == contents(gathered(events).runs)
    assert found.readings[0].name == f"{parts[0]} and 2 more"


def test_two_files_that_overlap_give_each_event_once_and_say_how_many_both_had(
    tmp_path: Path, events: list[ShopEvent]
) -> None:
    cut = len(events) // 3
    first, second = events[: 2 * cut], events[cut:]
    found = read(written(tmp_path / "a.jsonl", first), written(tmp_path / "b.jsonl", second))
    assert contents(found.runs) == contents(gathered(events).runs)
    (reading,) = found.readings
    assert (reading.dropped, reading.repeated) == (cut, 0)
    lines = told(found.readings)
    assert any(f"{cut:,} events were in another file too, and are read once." in line for line in lines)
    assert f"{len(events):,} events" in lines[0]


def test_an_event_that_is_twice_in_each_of_two_files_is_there_as_often_as_in_one(tmp_path: Path) -> None:
    order = shop_event("ann", "purchase", START_MS)
    one, other = (written(tmp_path / name, [order, order]) for name in ("a.jsonl", "b.jsonl"))
    found = read(one, other)
    assert len(found.runs) == 1  # as serving would apply it
    assert (found.readings[0].dropped, found.readings[0].repeated) == (2, 1)


def test_rows_without_ids_in_two_files_are_never_taken_for_the_same_and_an_overlap_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rees46((0, "view", 1), (30, "view", 2)))
    (tmp_path / "b.csv").write_text(rees46((20, "view", 1), (50, "purchase", 1)))
    found = read(tmp_path / "a.csv", tmp_path / "b.csv")
    assert sorted(found.runs.counts.tolist()) == [1, 3]
    assert found.readings[0].dropped == found.readings[0].repeated == 0
    (note,) = found.readings[0].notes
    assert "both of 2019-10-01 00:00:20Z to 2019-10-01 00:00:30Z, and have no ids" in note


def test_files_that_follow_on_each_other_are_no_overlap(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rees46((0, "view", 1), (10, "view", 2)))
    (tmp_path / "b.csv").write_text(rees46((20, "view", 1)))
    assert read(tmp_path / "a.csv", tmp_path / "b.csv").readings[0].notes == []


def test_each_file_may_be_a_shop_of_its_own_with_users_and_an_end_of_its_own(tmp_path: Path) -> None:
    one = written(tmp_path / "a.jsonl", happened([("ann", "view_item", 0)]))
    other = written(tmp_path / "b.jsonl", happened([("ann", "purchase", HOUR_MS)]))
    found = gather([FileShop([one]), FileShop([other])]).runs
    assert found.counts.tolist() == [1, 1]
    assert found.user[0] != found.user[1]
    assert sorted(found.end_ms.tolist()) == [START_MS + 1, START_MS + HOUR_MS + 1]


def test_real_parquet_with_sessions_gives_the_labels_of_its_reference() -> None:
    """Its reference has .247 of events that buy within six hours, and .233 within the session, on the later part."""
    path = Path(__file__).parents[2] / "../shared/data/jdata_2018_03.parquet"
    if not path.is_file():
        pytest.skip("../shared/data is not there")
    pytest.importorskip("pyarrow")
    found = read(path)
    runs = found.runs
    assert found.readings[0].refused == {} and len(runs) == 29_828
    later = splits.since(runs, int(runs.raw["time_ms"].min()) + 36 * HOUR_MS)
    looks = later & (runs.raw["action"] != ACTIONS.index("purchase"))
    within, session = labels.within(runs, (6 * 3600,)), labels.in_session(runs)
    assert within.bought[looks & within.known[:, 0], 0].mean() == pytest.approx(0.247, abs=0.01)
    assert session.bought[looks].mean() == pytest.approx(0.233, abs=0.01)


MAP = """
time_format = "s"
every_event = "purchase"
[columns]
user_id = "customer"
event_time = "at"
item_id = "terminal"
value = "amount"
[labels]
fraud = "fraud"
kind = "scenario"
"""


def cards(folder: Path, text: str, name: str = "cards.csv") -> Gathered:
    (folder / "cards.toml").write_text(MAP)
    (folder / name).write_text(text)
    return read(folder / name, shop_map=load_map(folder / "cards.toml"))


def test_a_column_of_the_recording_says_what_was_fraud_and_of_which_kind(tmp_path: Path) -> None:
    rows = ["5,1771000000,7,9.90,0,0", "5,1771000001,7,9.90,1,3", "5,1771000002,7,9.90,,", "5,1771000003,7,9,TRUE,"]
    runs = cards(tmp_path, "customer,at,terminal,amount,fraud,scenario\n" + "\n".join(rows)).runs
    assert runs.fraud.tolist() == [0, 1, -1, 1]
    assert [runs.kinds[kind] for kind in runs.kind] == ["", "3", "", ""]


def test_labels_of_a_column_are_read_in_json_too_and_what_is_none_refuses_its_row(tmp_path: Path) -> None:
    line = '{"customer":5,"at":%d,"terminal":"t","amount":1,"fraud":%s,"scenario":null}\n'
    values = ["true", "false", "1", "0", "null", '"maybe"']
    text = "".join(line % (1_771_000_000 + n, value) for n, value in enumerate(values))
    found = cards(tmp_path, text, "cards.jsonl")
    assert found.runs.fraud.tolist() == [1, 0, 1, 0, -1]
    assert "expected 1, 0, true, false or nothing, got 'maybe'" in found.readings[0].example["bad_label"]


def test_a_column_of_labels_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"expected the columns .*scenario missing"):
        cards(tmp_path, "customer,at,terminal,amount,fraud\n5,1771000000,7,9.90,0\n")


def test_labels_are_no_part_of_the_event_that_is_sent(tmp_path: Path) -> None:
    runs = cards(tmp_path, "customer,at,terminal,amount,fraud,scenario\n5,1771000000,7,9.90,1,3\n").runs
    same = cards(tmp_path, "customer,at,terminal,amount,fraud,scenario\n5,1771000000,7,9.90,0,0\n").runs
    assert runs.raw.tobytes() == same.raw.tobytes()


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(SettingsError, match=r"events.jsonl: expected rows, got an empty file"):
        read(tmp_path / "events.jsonl")


def test_a_file_with_a_header_alone_is_named(tmp_path: Path) -> None:
    (tmp_path / "rees46.csv").write_text(HEADER)
    with pytest.raises(SettingsError, match=r"rees46.csv: expected rows, got none; nothing was trained"):
        read(tmp_path / "rees46.csv")


def test_a_missing_column_is_named_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "rees46.csv").write_text(rees46((0, "view", 1)))
    (tmp_path / "b.csv").write_text(rees46((0, "view", 1)).replace("user_id", "who"))
    with pytest.raises(SettingsError, match=r"b.csv: expected a format that is known, .*got CSV"):
        FileShop([tmp_path / "rees46.csv", tmp_path / "b.csv"])
    with pytest.raises(SettingsError, match=r"b.csv: expected the columns .*user_id missing"):
        FileShop([tmp_path / "rees46.csv", tmp_path / "b.csv"], "rees46")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none.csv: expected a file, .*got none"):
        FileShop([tmp_path / "none.csv"])


def test_where_most_rows_of_one_of_the_files_are_refused_nothing_is_learned(tmp_path: Path) -> None:
    good = rees46(*((n, "view", n) for n in range(1, 50)))
    (tmp_path / "a.csv").write_text(good)
    (tmp_path / "b.csv").write_text(rees46((0, "tap", 1), (1, "tap", 1), (2, "view", 1)))
    with pytest.raises(SettingsError, match=r"b.csv: 2 of 3 rows are refused, .* line 2, 3: .*; nothing was trained"):
        read(tmp_path / "a.csv", tmp_path / "b.csv")
    found = read(tmp_path / "a.csv", tmp_path / "b.csv", ignore_refused=True)
    assert len(found.runs) == 50
    assert found.readings[0].refused == {"unknown_event": 2}
    assert any(
        "2 refused (unknown_event), the first: " in line and "b.csv:2: " in line for line in told(found.readings)
    )


def test_of_a_file_that_is_cut_short_what_comes_before_is_learned_from_and_the_end_is_told(
    tmp_path: Path, events: list[ShopEvent]
) -> None:
    whole = gzip.compress(b"".join(event.value + b"\n" for event in events))
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    found = read(tmp_path / "cut.jsonl.gz")
    assert 0.3 * len(events) < len(found.runs) < 0.7 * len(events)
    assert found.readings[0].refused == {"cut_short": 1}
    text = b"".join(event.value + b"\n" for event in events)[:-40]
    (tmp_path / "cut.jsonl").write_bytes(text)
    found = read(tmp_path / "cut.jsonl")
    assert len(found.runs) == len(events) - 1
    assert found.readings[0].refused == {"not_json": 1}


def test_parquet_that_is_cut_short_is_named(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    columns = {"user": [1], "ts": ["2018-03-01T00:00:00Z"], "type": ["view"], "session": [1], "item": [1]}
    parquet.write_table(pa.table(columns), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SettingsError, match=f"{path}: expected a Parquet file, got"):
        FileShop([path])


def test_words_that_are_left_out_are_told(tmp_path: Path) -> None:
    path = tmp_path / "jdata.csv"
    rows = ["1,2018-03-01T00:00:00,1,1,view", "1,2018-03-01T00:00:01,1,1,comment", "1,2018-03-01T00:00:02,1,1,comment"]
    path.write_text("user,ts,session,item,type\n" + "\n".join(rows))
    (note,) = read(path).readings[0].notes
    assert note == f"{path}: 2 rows are left out: comment (2)."


def test_memory_that_is_too_small_changes_nothing(tmp_path: Path, events: list[ShopEvent]) -> None:
    path = written(tmp_path / "events.jsonl", events)
    small = gather([FileShop([path])], where=SMALL).runs
    assert contents(small) == contents(read(path).runs)


def test_one_wrong_time_long_after_all_others_makes_no_horizon_known(tmp_path: Path) -> None:
    seconds = [(n % 60, "view", n % 7) for n in range(150)]
    row = "2099-01-01 00:00:00 UTC,view,1,2,,,35.79,1,s\n"
    file = tmp_path / "events.csv"
    file.write_text(rees46(*seconds) + row)
    found = read(file)
    assert len(found.runs) == 151
    assert not labels.within(found.runs, [86_400]).known.any()
    assert any("1 events are more than 7 days after all others" in note for note in found.readings[0].notes)


def test_many_events_after_a_long_pause_are_no_wrong_times(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    later = "".join(f"2019-12-01 00:00:{n:02d} UTC,view,1,2,,,35.79,1,s\n" for n in range(10))
    file.write_text(rees46(*[(n % 60, "view", n % 7) for n in range(150)]) + later)
    found = read(file)
    assert (
        labels.within(found.runs, [86_400])
        .known[found.runs.raw["time_ms"] < found.runs.raw["time_ms"].max() - DAY_MS]
        .all()
    )
    assert not any("after all others" in note for note in found.readings[0].notes)
