"""`behaviour-stream simulate`, run as its users run it: into files, and with its labels onto a real broker."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream.kafka.topics import TopicReport
from stream.settings import ENV_PREFIX, Settings
from tests.running import read

TIMEOUT_SECS = 120.0
COMMAND = (sys.executable, "-m", "stream.cli", "simulate")
ENVIRONMENT = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
# Enough fraud that a few days have some
FRAUD = "[fraud.account_takeover]\ncases_per_1000_shoppers_per_day = 20\n"


def simulate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECS,
        check=False,
    )


def source_flags(settings: Settings) -> list[str]:
    names = ("bootstrap_servers", "clicks_topic", "searches_topic", "purchases_topic")
    return [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in names]


def test_a_week_goes_into_a_file_its_labels_into_another_and_no_broker_is_needed(tmp_path: Path) -> None:
    out, labels, shop = tmp_path / "shop.jsonl.gz", tmp_path / "fraud.jsonl", tmp_path / "shop.toml"
    shop.write_text(FRAUD)
    ended = simulate("--out", out, "--labels-out", labels, "--days=7", "--users=300", "--scenario", shop, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    events = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert json.loads(ended.stdout)["events"] == len(events) > 1_000
    ids = {event["event_id"] for event in events}
    marked = [json.loads(line) for line in labels.read_text().splitlines()]
    assert marked
    assert "account_takeover" in {label["fraud"] for label in marked}
    assert {label["event_id"] for label in marked} <= ids


def test_the_same_seed_and_start_write_the_same_bytes(tmp_path: Path) -> None:
    one, again, other = (tmp_path / name for name in ("one", "again", "other"))
    for path, seed in ((one, 7), (again, 7), (other, 8)):
        ended = simulate("--out", path, "--start=2026-02-01T12:00:00", "--days=2", "--users=50", f"--seed={seed}")
        assert ended.returncode == 0, ended.stderr
    assert one.read_bytes() == again.read_bytes() != other.read_bytes()
    first, *_, last = (json.loads(line) for line in one.read_text().splitlines())
    assert first["event_id"] != last["event_id"]


def test_as_many_days_as_asked_for_end_where_the_clock_is(tmp_path: Path) -> None:
    ended = simulate("--out", tmp_path / "x", "--days=40", "--users=20")
    assert ended.returncode == 0, ended.stderr
    times = [
        event["event_time"]
        for event in map(json.loads, (tmp_path / "x").read_text().splitlines())
        if isinstance(event["event_time"], int)
    ]
    assert 37 * 86_400_000 < max(times) - min(times) < 40 * 86_400_000


def test_what_is_written_replays(tmp_path: Path) -> None:
    out = tmp_path / "shop.jsonl"
    assert simulate("--out", out, "--events=2000", "--users=200").returncode == 0
    ended = subprocess.run(
        [*COMMAND[:-1], "replay", "--format=ga4", "--dry-run", "--json", str(out)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=TIMEOUT_SECS, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["events"] == 2_000


def test_ctrl_c_leaves_whole_lines(tmp_path: Path) -> None:
    out = tmp_path / "shop.jsonl"
    with subprocess.Popen([*COMMAND, "--out", str(out), "--days-ago=20000"], env=ENVIRONMENT) as process:
        deadline = time.monotonic() + TIMEOUT_SECS
        while not (out.exists() and out.stat().st_size > 1_000_000):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_SECS) == 130
    for line in out.read_bytes().splitlines(keepends=True):
        assert line.endswith(b"}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--scenario=nowhere"], 2, "expected one of default, demo, jdata, or a TOML file"),
        (["--rate-per-sec=0"], 2, "expected more than 0"),
        (["--rate-per-sec=1e9"], 2, "at most 10000000 events per second, got 1e+09"),
        (["--rate-per-sec=nan"], 2, "expected more than 0"),
        (["--speed=0"], 2, "expected more than 0"),
        (["--speed=-1"], 2, "expected more than 0"),
        (["--speed=inf"], 2, "--speed: expected a number, got inf"),
        (["--days=inf"], 2, "--days: expected a number, got inf"),
        (["--days-ago=nan"], 2, "nan"),
        (["--days=90", "--days-ago=30"], 2, "--days=90: event time would run ahead of the clock"),
        (["--start=2126-01-01"], 2, "event time would run ahead of the clock"),
        (["--start=2026-01-01", "--days-ago=3"], 2, "exclude each other"),
        (["--start=noon"], 2, "noon"),
        (["--users=0"], 2, "0 is not in the range"),
        (["--out=/dev/full", "--events=100000"], 1, "/dev/full: cannot be written: No space left on device"),
        (["--out=/no/such/folder/x", "--events=10"], 1, "/no/such/folder/x: cannot be written: No such file"),
        (["--out=never-written", "--flat-out"], 2, "--out writes a file at once"),
        (["--labels-out=never-written"], 2, "--labels-out goes with --out"),
        (["--out=never-written", "--labels-out=never-written", "--events=10"], 2, "expected a file of its own"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    settings: Settings, topics: list[TopicReport], arguments: list[str], code: int, words: str
) -> None:
    ended = simulate(*arguments, *source_flags(settings))
    assert ended.returncode == code, ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_labels_go_onto_a_topic_of_their_own_made_like_the_others(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    shop = tmp_path / "shop.toml"
    shop.write_text(FRAUD)
    name = f"fraud-labels-{settings.app_id}"
    ended = simulate(
        "--flat-out", "--days=5", "--users=300", "--scenario", shop, f"--labels-topic={name}", "--json",
        *source_flags(settings),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    sources = [record for topic in settings.source_topics for record in await read(settings, topic)]
    assert json.loads(ended.stdout)["events"] == len(sources)
    labels = await read(settings, name)
    assert labels
    ids = {json.loads(record.value)["event_id"]: (record.key, record.partition) for record in sources}
    for record in labels:
        label = json.loads(record.value)
        assert ids[label["event_id"]] == (record.key, record.partition)
        assert b"fraud" not in record.key
    assert not any(b"fraud" in record.value for record in sources)
