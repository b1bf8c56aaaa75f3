"""Files that are not what they should be: what is said, what is kept, and that nothing else is lost."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.errors import SettingsError
from stream.events import ID_MAX_LENGTH
from stream.replay import Recording, ShopMap, open_recording, why_not
from stream.replay.files import LINE_MAX
from stream.replay.shop_map import Columns, CsvLayout
from stream.replay.tally import EVENT_MAX_BYTES, Tally

HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
GOOD = "2019-10-01 00:00:00 UTC,view,1,2,,,35.79,541312140,s\n"
OWN = ShopMap(
    name="own",
    columns=Columns(user_id="user", event_time="at", event_name="what", item_id="sku", price="price", search_term="q"),
)


def rees46(folder: Path, *rows: str) -> Recording:
    """Good rows around these, which are not."""
    path = folder / "rees46.csv"
    path.write_bytes((HEADER + GOOD * 3).encode() + "".join(rows).encode(errors="surrogateescape") + GOOD.encode() * 3)
    return open_recording(path, "rees46")


def own(folder: Path, content: bytes, shop_map: ShopMap = OWN) -> Recording:
    path = folder / "own.csv"
    path.write_bytes(content)
    return open_recording(path, shop_map=shop_map)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"PK\x03\x04\x14\x00", "zip archive or a spreadsheet"),
        (b"BZh91AY&SY", "bzip2"),
        (b"ORC\n\x06\x12\x00", "got ORC"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", "binary: it begins with b'.*ELF"),
        (b'[{"event_name": "view_item"}]', r"JSON array .*jq -c"),
        (b"\n <!DOCTYPE html><html>", "HTML or XML"),
        ("event_time,event_type\n".encode("utf-16"), "UTF-16.*iconv"),
        (b"", "an empty file"),
        (b"\xef\xbb\xbf\n\n", "an empty file"),
        (gzip.compress(b""), "an empty file"),
        (gzip.compress(b"PAR1 and so on"), "Parquet .* in gzip"),
        (b"PAR1 and nothing else", "a Parquet file, got"),
        (b'{"event": 1}\n', "JSON lines, the first of which is"),
    ],
)
@pytest.mark.parametrize("name", [None, "rees46"])
def test_a_file_of_another_kind_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, got: str, name: str | None
) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"(?s){path}: expected .*{got}"):
        open_recording(path, name)  # type: ignore[arg-type]


def test_parquet_that_is_called_csv_is_read_as_what_it_is(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rees46.csv"
    names = HEADER.strip().split(",")
    parquet.write_table(
        pa.table({name: [value] for name, value in zip(names, GOOD.strip().split(","), strict=True)}), path
    )
    (event,) = open_recording(path, "rees46")
    assert b'"price":"35.79"' in event.value


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None, lambda path: path.symlink_to("/dev/null")])
def test_a_folder_a_device_and_nothing_at_all_are_no_files(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "events.csv"
    make(path)
    with pytest.raises(SettingsError, match=f"{path}: expected a file, .*got (a folder|none|a pipe or a device)"):
        open_recording(path)


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="no file here that even root cannot read")
def test_a_file_that_cannot_be_read_is_refused_with_why() -> None:
    with pytest.raises(SettingsError, match="/proc/self/mem: expected a file to read, got: Input/output error"):
        open_recording(Path("/proc/self/mem"))


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_of_gzip_that_is_cut_short_what_comes_before_is_kept_and_the_end_is_said(tmp_path: Path, keep: float) -> None:
    rows = [
        f"2019-10-01 00:00:{i % 60:02d} UTC,view,{i},2,,,{i}.50,{541312140 + i * 7919},{i:x}\n" for i in range(5_000)
    ]
    whole = gzip.compress((HEADER + "".join(rows)).encode())
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: int(len(whole) * keep)])
    recording = open_recording(path)
    kept = {event.value for event in recording}
    path.write_bytes(whole)
    assert len(kept) == recording.events > 5_000 * keep * 0.8
    assert kept < {event.value for event in open_recording(path)}
    cut = recording.tally.refused["cut_short"]
    assert (cut.rows, cut.lines) == (1, [recording.events + 2])
    assert "gzip" in cut.error


def test_json_in_gzip_that_is_damaged_keeps_what_comes_before(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(b'{"event_name":"view_item","event_time":5,"user_id":"ann"}\n' * 100))
    whole[-8] ^= 1  # of the checksum
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(whole)
    recording = open_recording(path)
    assert recording.events == 100
    assert recording.tally.refused["cut_short"].lines == [101]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_line_end_and_a_byte_order_mark_are_read(tmp_path: Path, end: str, mark: bytes) -> None:
    path = tmp_path / "rees46.csv"
    path.write_bytes(mark + (HEADER + GOOD + GOOD.replace("view", "tap") + GOOD + GOOD).replace("\n", end).encode())
    recording = open_recording(path)
    assert recording.events == 3
    assert recording.tally.refused["unknown_event"].lines == [3]
    assert all(b'"session_id":"s"' in event.value for event in recording)


def test_a_quoted_line_break_is_part_of_its_field_and_lines_are_still_counted(tmp_path: Path) -> None:
    recording = own(
        tmp_path,
        b'at,user,what,sku,price,q\n2026-01-31T12:00:00Z,ann,search,,,"red\r\nshoes, ""new"""\n'
        b"2026-01-31T12:00:01Z,ann,tap,,,\n2026-01-31T12:00:02Z,ann,view_item,5,1,\n",
    )
    first, second = recording
    assert rb'"search_term":"red\r\nshoes, \"new\""' in first.value
    assert b'"event_id":"own-2"' in second.value
    assert recording.tally.refused["unknown_event"].lines == [4]


@pytest.mark.parametrize(
    ("row", "reason", "words"),
    [
        ("2019-10-01 00:00:00 UTC,view,1,2,,,35.79,541312140\n", "wrong_columns", "expected 9 fields, got 8"),
        (GOOD.replace("view", "tap"), "unknown_event", "expected one of view, cart, .*got 'tap'"),
        (GOOD.replace("35.79,541312140", "541312140,35.79"), "bad_user_id", "35.79.*swapped"),
        (GOOD.replace("541312140", "ann"), "bad_user_id", "whole number.*'ann'.*swapped"),
        (GOOD.replace("541312140", ""), "missing_user_id", "got none"),
        (GOOD.replace("541312140", "5" * (ID_MAX_LENGTH + 1)), "id_too_long", "at most 256 characters, got 257"),
        (GOOD.replace("view,1,", "view,shoe,"), "bad_item_id", "whole number.*'shoe'"),
        (GOOD.replace("35.79", "NaN"), "bad_price", "an amount such as 19.90, got 'NaN'"),
        (GOOD.replace("35.79", "-35.79"), "bad_price", "from 0 to 1e.09, got '-35.79'"),
        (GOOD.replace("35.79", "1e400"), "bad_price", "from 0 to 1e.09, got '1e400'"),
        (GOOD.replace("35.79", "35,79").replace(",35,79,", ',"35,79",'), "bad_price", "got '35,79'"),
        (GOOD.replace("2019-10-01 00:00:00 UTC", "yesterday"), "bad_time", "RFC 3339.*'yesterday'"),
        (GOOD.replace("2019-10-01 00:00:00 UTC", "2019-10-01"), "bad_time", "RFC 3339.*'2019-10-01'"),
        (GOOD.replace("2019-10-01", "1919-10-01"), "bad_time", "from 1970-01-01 to 9999-12-31"),
        (GOOD.replace(",s\n", ",\udcff\udcfe\n"), "not_utf8", "UTF-8.*udcff"),
        (GOOD.replace(",s\n", ',"s"x\n'), "bad_quotes", "quotes that close"),
        (GOOD.replace(",s\n", f",{'s' * 140_000}\n"), "too_long", "fields of at most 131072 characters"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_why_and_nothing_else_is(
    tmp_path: Path, row: str, reason: str, words: str
) -> None:
    recording = rees46(tmp_path, row)
    assert recording.events == len(list(recording)) == 6
    assert recording.tally.refused.keys() == {reason}
    refused = recording.tally.refused[reason]
    assert (refused.rows, refused.lines) == (1, [5])
    assert re.search(words, refused.error), refused.error
    refused.example.encode()  # which can be printed
    assert b'"event_id":"rees46-4"' in list(recording)[3].value


@pytest.mark.parametrize("rows_after", [0, 3, 10_000])
def test_a_quote_that_never_closes_takes_no_other_row_along(tmp_path: Path, rows_after: int) -> None:
    stray = GOOD.replace(",s\n", ',"s\n')
    tap = GOOD.replace("view", "tap")
    recording = rees46(tmp_path, stray, GOOD.replace(",s\n", ',"s"\n'), tap, *[GOOD] * rows_after, stray)
    assert recording.events == 7 + rows_after
    bad = recording.tally.refused["bad_quotes"]
    assert (bad.rows, bad.lines, bad.example) == (2, [5, 8 + rows_after], stray.strip())
    assert recording.tally.refused["unknown_event"].lines == [7]
    assert list(recording)[-1].value.startswith(b'{"event_id":"rees46-%d"' % (9 + rows_after))


def test_a_quote_that_does_not_close_before_gzip_is_cut_short_takes_no_other_row_along(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    whole = gzip.compress((HEADER + GOOD + GOOD.replace(",s\n", ',"s\n') + GOOD * 3).encode())
    path.write_bytes(whole[:-8])
    recording = open_recording(path)
    assert recording.events == 4
    assert {reason: refused.lines for reason, refused in recording.tally.refused.items()} == {
        "bad_quotes": [3],
        "cut_short": [7],
    }


def test_a_header_is_read_as_strictly_as_what_follows_it(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text('"us"er,at,what,sku,price,q\nann,2026-01-31T12:00:00Z,view_item,5,1,\n')
    with pytest.raises(SettingsError, match=f"{path}: expected a first line of CSV, got: .* expected after"):
        open_recording(path, shop_map=OWN)


@pytest.mark.parametrize("column", ["PK", "BZh", "ORC", "ORCID"])
def test_a_column_whose_name_begins_as_another_kind_of_file_does_is_a_column(tmp_path: Path, column: str) -> None:
    recording = own(
        tmp_path, f"{column},at,user,what,sku,price,q\n1,2026-01-31T12:00:00Z,ann,view_item,5,1,\n".encode()
    )
    assert recording.events == 1


def test_times_without_a_zone_are_refused_with_the_key_that_sets_one(tmp_path: Path) -> None:
    recording = own(tmp_path, b"at,user,what,sku,price,q\n2026-01-31 12:00:00,ann,view_item,5,1,\n" * 1)
    assert recording.events == 0
    problem = why_not(recording.path, recording.tally)
    assert problem is not None
    assert "time_zone in the --map file" in problem


def test_columns_that_are_missing_or_there_twice_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"own.csv: expected the columns user, at, .* got 'at,? ?user.*what, price, q missing"
    ):
        own(tmp_path, b"at,user,sku\n")
    with pytest.raises(SettingsError, match="expected one column price, got 2"):
        own(tmp_path, b"at,user,what,sku,price,q,price\n")
    with pytest.raises(SettingsError, match=r"is the delimiter ';'.*csv.delimiter"):
        own(tmp_path, b"at;user;what;sku;price;q\n")


def test_where_more_rows_are_refused_than_sent_nothing_is_to_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "rees46.csv"
    swapped = HEADER.replace("price,user_id", "user_id,price")
    path.write_text(swapped + GOOD * 5)
    recording = open_recording(path)
    problem = why_not(path, recording.tally)
    assert problem is not None
    assert "5 of 5 rows are refused, most (5) as line 2, 3, 4, 5, 6: user_id: " in problem
    half = rees46(tmp_path, *[GOOD.replace("view", "tap")] * 6)
    assert why_not(half.path, half.tally) is None
    more = rees46(tmp_path, *[GOOD.replace("view", "tap")] * 7)
    assert "7 of 13 rows are refused" in (why_not(more.path, more.tally) or "")
    assert why_not(more.path, more.tally, ignore_refused=True) is None


def test_a_file_with_only_a_header_gives_no_event(tmp_path: Path) -> None:
    path = tmp_path / "rees46.csv"
    path.write_text(HEADER)
    recording = open_recording(path)
    assert list(recording) == []
    assert why_not(path, recording.tally) == f"{path}: expected rows, got none"


def test_a_line_without_end_is_refused_in_bounded_memory_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    good = b'{"event_name":"view_item","event_time":5,"user_id":"ann"}\n'
    path.write_bytes(good + b'{"a":"' + b"x" * (3 * LINE_MAX) + b'"}\n' + good)
    recording = open_recording(path)
    assert recording.events == 2
    assert recording.tally.refused["too_long"].lines == [2]
    assert b"ga4-2" in list(recording)[1].value


def test_an_event_that_no_broker_would_take_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event_name":"view_item","event_time":5,"user_id":"ann","x":"%s"}\n' % ("x" * EVENT_MAX_BYTES))
    assert open_recording(path).tally.refused["too_long"].lines == [1]


def test_a_file_that_changes_between_reading_and_sending_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rees46.csv"
    path.write_text(HEADER + GOOD * 500)
    recording = open_recording(path, run_bytes=10_000)
    assert len(list(recording)) == 500
    again = iter(recording)
    next(again)
    path.write_text(HEADER + GOOD * 501)
    for events in (again, recording):  # while it is sent, and before
        with pytest.raises(SettingsError, match="it has changed meanwhile"):
            list(events)


def test_the_pass_that_sends_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rees46.csv"
    path.write_text(HEADER + GOOD.replace("view", "tap") + GOOD * 500)
    recording = open_recording(path, run_bytes=10_000)
    monkeypatch.setattr(Tally, "count", lambda *_: pytest.fail("counted again"))
    monkeypatch.setattr(Tally, "refuse", lambda *_: pytest.fail("counted again"))
    assert len(list(recording)) == 500


def test_a_map_for_files_without_a_header_names_their_columns(tmp_path: Path) -> None:
    layout = CsvLayout(columns=("user", "at", "what", "sku", "price", "q"), delimiter=";", decimal_comma=True)
    shop_map = ShopMap(name="own", columns=OWN.columns, csv=layout)
    (event,) = own(tmp_path, b"ann;2026-01-31T12:00:00Z;view_item;5;19,90;\n", shop_map)
    assert b'"price":"19.90"' in event.value
