"""`evaluate` as at a terminal: what is judged, and whether the model has learned from it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream import cli, model_file
from stream.commands.evaluate import _part
from stream.errors import SettingsError
from stream.evaluation.assembly import Part, scored_events
from stream.evaluation.in_sample import Judged, may_have_learned
from stream.model_file import LoadedModel
from tests.models import model_in
from tests.shop import NORMAL, STATISTICS, small_model
from tests.training.shops import DAY_MS, HOUR_MS, START_MS, runs_of, simulated

FILE = {"simulated": False, "files": ["shop.parquet"]}
TOPICS = {"simulated": False, "topics": True, "since_ms": None, "until_ms": None}
SHOPS = {"simulated": True, "scenario": "default", "honest": True, "shops": 20, "seed": 1}
DAYS = {"first_ms": START_MS, "end_ms": START_MS + 20 * DAY_MS, "before_ms": None, "hold_out": None}
SHOP = ["--users", "60", "--no-progress"]


def judged(source: dict[str, Any], first: int = 15, last: int = 19, hold_out: tuple[int, int] | None = None) -> Judged:
    """Of events between two days after the start."""
    return Judged(source, START_MS + first * DAY_MS, START_MS + last * DAY_MS, hold_out)


@pytest.mark.parametrize(
    ("made", "of", "named"),
    [
        (FILE | DAYS, judged(FILE), "shop.parquet before 2026-01-21 00:00:00Z."),
        (FILE, judged(FILE), "shop.parquet."),  # of the times nothing is known
        (FILE | DAYS, judged({"simulated": False, "files": ["new.parquet", "shop.parquet"]}), "shop.parquet before"),
        (FILE | DAYS, judged({"simulated": False, "files": ["new.parquet"]}), None),
        (FILE | DAYS, judged(TOPICS), None),
        (FILE | DAYS, judged(SHOPS), None),
        ({}, judged(FILE), None),
        # Time
        (FILE | DAYS, judged(FILE, first=20, last=25), None),
        (FILE | DAYS | {"first_ms": START_MS + 17 * DAY_MS}, judged(FILE, last=16), None),
        (FILE | DAYS | {"before_ms": START_MS + 15 * DAY_MS}, judged(FILE), None),
        (
            FILE | DAYS | {"before_ms": START_MS + 16 * DAY_MS},
            judged(FILE),
            "shop.parquet before 2026-01-17 00:00:00Z.",
        ),
        # Users
        (FILE | DAYS | {"hold_out": [1, 5]}, judged(FILE, hold_out=(1, 5)), None),
        (FILE | DAYS | {"hold_out": [1, 5]}, judged(FILE, hold_out=(6, 10)), None),  # half of those
        (FILE | DAYS | {"hold_out": [1, 5]}, judged(FILE, hold_out=(2, 5)), "without the users of fold 1/5."),
        (FILE | DAYS | {"hold_out": [6, 10]}, judged(FILE, hold_out=(1, 5)), "without the users of fold 6/10."),
        (FILE | DAYS | {"hold_out": [1, 5]}, judged(FILE, hold_out=(1, 3)), "without the users of fold 1/5."),
        (FILE | DAYS | {"hold_out": [1, 5]}, judged(FILE), "without the users of fold 1/5."),
        (FILE | DAYS, judged(FILE, hold_out=(1, 5)), "shop.parquet before"),
        (FILE | DAYS | {"hold_out": [1, 5]}, judged(FILE, first=20, last=25, hold_out=(2, 5)), None),
        # Simulated shops, and topics
        (SHOPS | DAYS, judged(SHOPS | {"shops": 2, "honest": False}), "simulated shops of seed 1 before"),
        (SHOPS | DAYS, judged(SHOPS | {"seed": 2}), None),
        (SHOPS | DAYS, judged(SHOPS | {"scenario": "demo"}), None),
        (SHOPS | DAYS, judged(FILE), None),
        (TOPICS | DAYS, judged(TOPICS), "the source topics before"),
        (TOPICS | DAYS, judged(TOPICS, first=20, last=25), None),
    ],
)
def test_what_the_model_may_have_learned_is_said_and_nothing_where_it_cannot(
    made: dict[str, Any], of: Judged, named: str | None
) -> None:
    note = may_have_learned(made, of)
    if named is None:
        assert note is None
    else:
        assert note is not None and named in note
        assert note.startswith("The model may have learned from these events, and its figures would flatter it")


def test_where_nothing_was_left_out_the_last_third_of_the_events_is_judged_whatever_one_stray_time_says(
    tmp_path: Path,
) -> None:
    events = [(f"u{n % 7}", "view_item", n * HOUR_MS) for n in range(30)]
    of = runs_of([("u1", "view_item", -9_000 * DAY_MS), *events])
    part = _part(of, model_in(tmp_path).card, None, None)
    assert part.since_ms is not None and part.since_ms == START_MS + 20 * HOUR_MS
    assert part.evaluated(of).sum() == 10


def test_what_the_model_left_out_is_judged_unless_something_else_is_asked_for(tmp_path: Path) -> None:
    card = model(tmp_path, {"before_ms": START_MS + DAY_MS, "hold_out": [2, 3]}).card
    of = simulated()
    left_out = _part(of, card, None, None)
    assert (left_out.since_ms, left_out.hold_out) == (START_MS + DAY_MS, (2, 3))
    asked = _part(of, card, None, (1, 4))
    assert (asked.since_ms, asked.hold_out) == (None, (1, 4))
    assert asked.users is not None and 0 < asked.users.sum() < len(of.counts) / 2


def test_of_users_who_are_held_out_baselines_learn_nothing_at_any_time(tmp_path: Path) -> None:
    of = simulated()
    users = np.arange(len(of.counts)) % 3 == 0
    loaded = model_in(tmp_path)
    both = scored_events(of, loaded.model, STATISTICS, Part(START_MS + 3 * DAY_MS, users))
    held = np.repeat(users, of.counts)
    assert both.evaluated.any() and not both.evaluated[~held].any()
    assert both.training.any() and not both.training[held].any()
    before = scored_events(of, loaded.model, STATISTICS, Part(START_MS + 3 * DAY_MS))
    assert before.training[held].any()


def test_where_no_event_of_the_part_has_a_published_score_that_is_said(tmp_path: Path) -> None:
    of, loaded = simulated(), model_in(tmp_path)
    late = of.raw["time_ms"] >= START_MS + 3 * DAY_MS
    published = np.where(late[:, None], np.nan, 0.5) * np.ones(len(loaded.card.sizes.horizons))
    with pytest.raises(SettingsError, match="--published: expected scores of the part that is evaluated, got none of"):
        scored_events(of, loaded.model, STATISTICS, Part(START_MS + 3 * DAY_MS), published=published)
    published[np.flatnonzero(late)] = 0.5
    assert scored_events(of, loaded.model, STATISTICS, Part(START_MS + 3 * DAY_MS), published=published).evaluated.any()


def model(folder: Path, made: dict[str, Any]) -> LoadedModel:
    """One whose card says so of what it learned from."""
    model_file.save(small_model(0, hidden=8), folder / "mine", statistics=STATISTICS, normal=NORMAL, made=made)
    return model_file.load(f"{folder / 'mine'}.safetensors")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "shop.jsonl"
    assert cli.run(["simulate", "--out", str(path), "--events", "900", "--users", "60", "--days-ago", "7"]) == 0
    return path


def evaluated(path: Path, folder: Path, *more: str) -> list[str]:
    return ["evaluate", str(path), "--model", str(folder / "mine.safetensors"), "--without-baselines", *more]


def test_the_object_says_what_was_judged_and_notes_come_with_it(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = model(tmp_path, {"simulated": False, "files": ["shop.jsonl"]})
    capsys.readouterr()
    assert cli.run(evaluated(recording, tmp_path, "--hold-out", "1/2", "--json", "--no-progress")) == 0
    made = json.loads(capsys.readouterr().out)
    assert {name: made[name] for name in ("model", "model_hash", "events", "since_ms", "hold_out")} == {
        "model": loaded.name, "model_hash": loaded.hash, "events": "shop.jsonl", "since_ms": None, "hold_out": [1, 2]
    }  # fmt: skip
    assert sum("may have learned from these events" in note for note in made["notes"]) == 1
    model(tmp_path, {"simulated": False, "files": ["shop.jsonl"], "hold_out": [1, 2]})
    assert cli.run(evaluated(recording, tmp_path, "--json", "--no-progress")) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["hold_out"] == [1, 2]
    assert not any("may have learned" in note for note in made["notes"])


def test_shops_that_the_shipped_model_has_learned_from_are_said_to_be_such_and_others_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for seed, learned in (("1", True), ("71", False)):
        arguments = ["evaluate", "--simulated", "1", "--simulation-seed", seed, "--days", "3", *SHOP, "--json"]
        assert cli.run([*arguments, "--without-baselines", "--model", "shoppers-h64"]) == 0
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert any("simulated shops of seed 1" in note for note in notes) == learned


def test_a_name_that_is_no_utf_8_is_shown_with_a_mark(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/sh\xffop.jsonl"))
    try:
        recording.rename(path)
    except OSError:
        pytest.skip("this file system has no such names")
    model(tmp_path, {})
    out = tmp_path / "page.html"
    assert cli.run(evaluated(path, tmp_path, "--no-progress", "--out", str(out))) == 0
    assert "sh\ufffdop.jsonl" in out.read_text(encoding="utf-8")


def test_a_page_in_a_folder_that_is_not_there_is_refused_before_events_are_read(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    model(tmp_path, {})
    capsys.readouterr()
    for missing in (tmp_path / "missing", recording):
        assert cli.run(evaluated(recording, tmp_path, "--out", str(missing / "x.html"))) == 2
        said = capsys.readouterr().err
        assert f"x.html: expected a folder to write it to, got {missing}, which is none" in said
        assert "events of" not in said
