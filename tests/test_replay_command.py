"""`behaviour-stream replay`, run as its users run it: dry runs, refusals, and a shop's own file onto a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stream.kafka.topics import TopicReport
from stream.replay.formats import FORMATS
from stream.settings import ENV_PREFIX, Settings
from tests.running import read

TIMEOUT_SECS = 60.0
NOBODY = "--bootstrap-servers=127.0.0.1:1"

SHOP = """
time_format = "%d.%m.%Y %H:%M:%S"
time_zone = "Europe/Berlin"
ignore = ["seite"]

[columns]
user_id = ["kunde", "cookie"]
event_name = "was"
event_time = "wann"
item_id = "artikel"
price = "preis"
search_term = "suche"
value = "summe"

[events]
angesehen = "view_item"
gesucht = "search"
gekauft = "purchase"

[csv]
delimiter = ";"
decimal_comma = true
"""
ROWS = """kunde;cookie;was;wann;artikel;preis;suche;summe
;c-1;gesucht;31.01.2026 13:00:02;;;rote Schuhe;
k-7;c-1;angesehen;31.01.2026 13:00:00;A-1;19,90;;
k-7;c-1;gekauft;31.01.2026 13:00:03;A-1;19,90;;39,80
k-7;c-1;seite;31.01.2026 13:00:01;;;;
k-7;c-1;angesehen;gestern;A-1;19,90;;
"""


def replay(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", "replay", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECS,
        check=False,
    )


@pytest.fixture
def shop(tmp_path: Path) -> list[str]:
    """Arguments for a shop's own file and its map."""
    (tmp_path / "shop.toml").write_text(SHOP)
    (tmp_path / "events.csv").write_text(ROWS)
    return [str(tmp_path / "events.csv"), f"--map={tmp_path / 'shop.toml'}"]


def test_a_dry_run_shows_what_would_be_sent_and_needs_no_broker(shop: list[str], tmp_path: Path) -> None:
    ended = replay(*shop, "--dry-run", NOBODY, "--clicks-topic=my-clicks")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == "events.csv: 3 events of 2 users, CSV of shop, 2026-01-31 12:00:00 to 2026-01-31 12:00:03 UTC"
    assert "my-clicks: 1 (1 view_item)" in lines
    assert "rows left out, whose words have no event: 1 seite" in lines
    assert "rows refused: 1 bad_time, line 6: event_time: expected %d.%m.%Y %H:%M:%S, got 'gestern'" in lines
    assert any("not in order of time: 1 events" in line for line in lines)
    topic, event = lines[-3].split(" ", 1)
    assert topic == "my-clicks"
    assert json.loads(event)["price"] == "19.90"


def test_a_dry_run_in_json_is_one_object(shop: list[str]) -> None:
    ended = replay(*shop, "--dry-run", "--json", NOBODY)
    assert ended.returncode == 0
    (line,) = ended.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    assert [event["event"]["event_name"] for event in found.pop("first_events")] == ["view_item", "search", "purchase"]
    refused = found.pop("refused")["bad_time"]
    assert (refused["rows"], refused["lines"], refused["example"].split(";")[3]) == (1, [6], "gestern")
    assert found == {
        "file": shop[0],
        "kind": "CSV",
        "format": "shop",
        "rows": 5,
        "events": 3,
        "topics": {"clicks": {"view_item": 1}, "searches": {"search": 1}, "purchases": {"purchase": 1}},
        "users": 2,
        "users_are_exact": True,
        "first_time": "2026-01-31T12:00:00.000Z",
        "last_time": "2026-01-31T12:00:03.000Z",
        "not_in_order": 1,
        "left_out": {"seite": 1},
        "notes": [],
        "problem": None,
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_a_dry_run_of_a_file_that_gives_no_event_ends_with_2(tmp_path: Path, as_json: bool) -> None:
    (tmp_path / "shop.toml").write_text(SHOP)
    (tmp_path / "events.csv").write_text(ROWS.splitlines()[0])
    flags = ["--json"] if as_json else []
    ended = replay(tmp_path / "events.csv", f"--map={tmp_path / 'shop.toml'}", "--dry-run", *flags)
    assert ended.returncode == 2
    said = json.loads(ended.stdout)["problem"] if as_json else ended.stderr
    assert "events.csv: expected rows, got none" in said
    assert "Traceback" not in ended.stderr


def test_rows_that_are_refused_are_written_where_it_was_asked_for(shop: list[str], tmp_path: Path) -> None:
    target = tmp_path / "refused.jsonl"
    assert replay(*shop, "--dry-run", f"--refused={target}").returncode == 0
    assert [json.loads(line) for line in target.read_text().splitlines()] == [
        {
            "line": 6,
            "reason": "bad_time",
            "error": "event_time: expected %d.%m.%Y %H:%M:%S, got 'gestern'",
            "row": "k-7;c-1;angesehen;gestern;A-1;19,90;;",
        }
    ]
    before = Path(shop[0]).read_bytes()
    ended = replay(*shop, "--dry-run", f"--refused={shop[0]}")
    assert (ended.returncode, Path(shop[0]).read_bytes()) == (2, before)
    assert "expected a file of its own" in ended.stderr


def test_a_file_of_refused_rows_is_left_alone_where_there_is_nothing_to_read(shop: list[str], tmp_path: Path) -> None:
    target = tmp_path / "refused.jsonl"
    target.write_text("of yesterday")
    assert replay(tmp_path / "none.csv", shop[1], "--dry-run", f"--refused={target}").returncode == 2
    assert target.read_text() == "of yesterday"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_refused_rows_onto_a_full_disk_are_one_line(shop: list[str]) -> None:
    ended = replay(*shop, "--dry-run", "--refused=/dev/full")
    assert ended.returncode != 0
    assert ended.stderr == "behaviour-stream: /dev/full: cannot be written: No space left on device\n"


def test_the_formats_on_offer_are_those_that_there_are(shop: list[str]) -> None:
    ended = replay(*shop, "--format=none")
    assert ", ".join(f"'{name}'" for name in FORMATS) in ended.stderr


def test_where_most_are_refused_and_some_are_not_the_flag_that_sends_them_is_named(
    shop: list[str], tmp_path: Path
) -> None:
    (tmp_path / "events.csv").write_text(ROWS + ROWS.splitlines(keepends=True)[-1] * 4)
    ended = replay(*shop, "--dry-run")
    assert ended.returncode == 2
    assert ended.stderr.endswith("; nothing was sent (--ignore-refused sends the others)\n")
    assert replay(*shop, "--dry-run", "--ignore-refused").returncode == 0


def test_where_most_rows_are_refused_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(SHOP.replace("time_zone", "#"))
    (tmp_path / "events.csv").write_text(ROWS)
    named = [str(tmp_path / "events.csv"), f"--map={tmp_path / 'shop.toml'}"]
    missing_zone = replay(*named)
    assert missing_zone.returncode == 2
    assert "shop.toml: time_zone: expected a zone" in missing_zone.stderr
    (tmp_path / "shop.toml").write_text(SHOP.replace('"%d.%m.%Y %H:%M:%S"', '"rfc3339"'))
    ended = replay(*named, NOBODY)
    assert ended.returncode == 2
    assert ended.stderr.startswith("behaviour-stream: ")
    assert "4 of 5 rows are refused" in ended.stderr
    assert ended.stderr.endswith("; nothing was sent\n")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--speed=0"], "expected `recorded` or a number above 0 and up to 10000000, got '0'"),
        (["--speed=1e9"], "up to 10000000, got '1e9'"),
        (["--speed=nan"], "got 'nan'"),
        (["--speed=fast"], "got 'fast'"),
        (["--speed=2", "--flat-out"], "exclude each other"),
        (["--format=ga4"], "--map and --format exclude each other"),
    ],
)
def test_flags_that_make_no_sense_are_refused(shop: list[str], flags: list[str], words: str) -> None:
    ended = replay(*shop, *flags)
    assert ended.returncode == 2
    assert words in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["none.csv", "."])
def test_a_file_that_is_none_is_one_line(tmp_path: Path, name: str) -> None:
    ended = replay(tmp_path / name)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"behaviour-stream: {tmp_path / name}: expected a file")
    assert ended.stderr.count("\n") == 1


async def test_a_shops_own_file_is_on_the_topics_in_order_with_its_own_times(
    settings: Settings, topics: list[TopicReport], shop: list[str]
) -> None:
    names = ("bootstrap_servers", "clicks_topic", "searches_topic", "purchases_topic")
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in names]
    ended = await asyncio.to_thread(replay, *shop, "--speed=1000", *flags)
    assert ended.returncode == 0, ended.stderr
    assert "rows refused: 1 bad_time, line 6" in ended.stdout
    again = await asyncio.to_thread(replay, *shop, "--flat-out", "--json", *flags)
    assert json.loads(again.stdout)["events"] == 3
    assert "rows refused: 1 bad_time, line 6" in again.stderr
    assert "sent 3 events" in ended.stdout
    sent = {topic: await read(settings, topic) for topic in settings.source_topics}
    (click, _), (search, _), (purchase, _) = sent.values()
    assert json.loads(click.value) == {
        "event_id": "shop-1",
        "event_name": "view_item",
        "event_time": 1_769_860_800_000,
        "user_id": "k-7",
        "item_id": "A-1",
        "price": "19.90",
    }
    assert (click.key, click.timestamp) == (b"k-7", 1_769_860_800_000)
    assert (search.key, search.timestamp) == (b"c-1", 1_769_860_802_000)
    assert json.loads(search.value)["search_term"] == "rote Schuhe"
    assert json.loads(purchase.value)["items"] == [{"item_id": "A-1", "price": "19.90"}]
    assert json.loads(purchase.value)["value"] == "39.80"
    assert click.partition == purchase.partition
