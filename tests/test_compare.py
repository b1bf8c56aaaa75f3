"""`compare`, as its users run it."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from stream.settings import ENV_PREFIX

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[1]
    environment = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", "compare", *arguments],
        env=environment | {"PYTHONPATH": str(root)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A day of some hundred users in JData's layout, without much of a behaviour."""
    rng = np.random.default_rng(0)
    start = datetime(2018, 3, 1, tzinfo=UTC).timestamp()
    user = np.repeat(np.arange(300), 4)
    ts = np.sort(start + rng.integers(0, 86_400, len(user)))
    columns = {
        "user": user, "session": user, "item": rng.integers(0, 50, len(user)),
        "ts": [datetime.fromtimestamp(int(at), UTC) for at in ts],
        "type": rng.choice(["view", "purchase", "comment"], len(user), p=[0.8, 0.15, 0.05]).tolist(),
    }  # fmt: skip
    path = tmp_path / "recording.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


def test_a_recording_beside_a_simulation_is_a_table_and_a_page(recording: Path) -> None:
    pytest.importorskip("matplotlib")
    ended = run(recording.name, "--users=2000", "--warm-up-days=1", "--figures-only", folder=recording.parent)
    assert ended.returncode == 0, ended.stderr
    line = next(line for line in ended.stdout.splitlines() if line.startswith("  Events per user"))
    assert line.endswith(("under 0.15 met", "under 0.15 missed"))
    assert "Wrote report.html." in ended.stderr
    assert (recording.parent / "report.html").read_text().count("<img ") == 13  # no bursts, buyers and fraud


def test_in_json_it_is_one_object_and_no_page(recording: Path) -> None:
    flags = ("--users=1500", "--warm-up-days=1", "--seed=3", "--json")
    ended = run(recording.name, *flags, folder=recording.parent)
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)
    assert made["recorded"]["name"] == "recording.parquet"
    assert made["simulated"]["name"] == "scenario default, seed 3, 1,500 users"
    assert {row["figure"] for row in made["figures"]} >= {"Events per user", "Repeat rate of a user"}
    assert len(made["buyers"]) == 5
    assert not (recording.parent / "report.html").exists()


def test_a_file_of_events_takes_the_place_of_the_simulation(recording: Path) -> None:
    events = recording.parent / "events.jsonl"
    with events.open("w") as file:
        for user in range(200):
            for step in range(5):
                at = 1_519_862_400_000 + user * 432_000 + step * 20_000
                facts = {
                    "event_id": f"{user}-{step}",
                    "event_name": "view_item",
                    "event_time": at,
                    "user_id": f"u{user}",
                }
                file.write(json.dumps(facts | {"session_id": "s", "item_id": "x"}) + "\n")
    flags = ("--simulated", "events.jsonl", "--warm-up-days=0", "--figures-only", "--json", "--simulated-utc-offset=0")
    ended = run(recording.name, *flags, folder=recording.parent)
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)
    assert made["simulated"]["users"] == 200
    figures = {row["figure"]: row for row in made["figures"]}
    assert figures["Gaps between events of a user"]["simulated"] == 20
    assert figures["Repeat rate of a user"]["simulated"] == 1


EVENT = b'{"event_id":"e","event_name":"view_item","event_time":1519862400000,"user_id":"ann"}\n'


@pytest.mark.parametrize(
    ("simulated", "words"),
    [
        (b"", "expected rows, got an empty file"),
        (EVENT, "compare: simulation: expected 24.0 h from the recording's weekday and hour on, after 14 days"),
        (EVENT + b'{"event_name":"view_item"}\n' * 2, "2 of 3 rows are refused.*event_time.*; nothing was compared"),
        (gzip.compress(EVENT)[:20], "1 of 1 rows are refused.*expected more of a gzip file.*; nothing was compared"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(recording: Path, simulated: bytes, words: str) -> None:
    (recording.parent / "other.jsonl").write_bytes(simulated)
    ended = run(recording.name, "--simulated=other.jsonl", "--json", folder=recording.parent)
    assert ended.returncode == 2
    assert re.search(words, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_a_file_holds_and_which_of_its_rows_are_refused_is_said(recording: Path) -> None:
    table = parquet.read_table(recording)
    parquet.write_table(table.set_column(0, "user", pa.array(["ann", *["7"] * (len(table) - 1)])), recording)
    (recording.parent / "other.jsonl").write_bytes(EVENT * 3 + b"{")
    ended = run(recording.name, "--simulated=other.jsonl", "--json", folder=recording.parent)
    lines = ended.stderr.splitlines()
    assert any(line.startswith("recording.parquet: ") and "of 1 users, jdata" in line for line in lines)
    assert any(line.startswith("rows refused: 1 bad_user_id, line 1: ") for line in lines)
    assert any(line.startswith("rows refused: 1 not_json, line 4: ") for line in lines)
