"""`distill` as at a terminal: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream import cli, model_file
from stream.model_file import LoadedModel
from tests.models import model_in

SHOP = ["--simulated", "1", "--honest", "--users", "160", "--days", "7", "--no-progress"]
QUICK = ["--epochs", "1", "--speed-events", "300"]


@pytest.fixture
def teacher(tmp_path: Path) -> LoadedModel:
    return model_in(tmp_path)


def distill(folder: Path, *more: str) -> int:
    arguments = ["distill", *SHOP, *QUICK, "--model", f"{folder}/model-0.safetensors", "--out", f"{folder}/small"]
    return cli.run([*arguments, *more])


def test_it_writes_a_model_that_serves_and_tells_what_it_costs_and_gains(
    teacher: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distill(tmp_path, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    student = model_file.load(f"{tmp_path}/small.safetensors")
    assert student.card.sizes.hidden == 4
    assert student.card.sizes.horizons == teacher.card.sizes.horizons
    assert student.card.statistics == teacher.card.statistics
    made = student.card.made["distilled"]
    assert (made["model"], made["hash"], made["label_share"]) == (teacher.name, teacher.hash, 0.5)
    assert made["held_out"]["student"] == said["student"]["quality"]

    assert (said["teacher"]["hash"], said["student"]["hash"]) == (teacher.hash, student.hash)
    assert said["student"]["size"]["weights_bytes"] < said["teacher"]["size"]["weights_bytes"]
    assert said["student"]["size"]["row_bytes"] == said["teacher"]["size"]["row_bytes"] - 2 * 4 * 4
    assert said["student"]["quality"]["horizons"].keys() == {"30m", "24h", "session"}
    assert len(said["student"]["pace"]["turns"]) == len(said["teacher"]["pace"]["turns"]) > 1
    paces = [said[side]["pace"]["events_per_second"] for side in ("student", "teacher")]
    assert said["speed_ratio"] == pytest.approx(paces[0] / paces[1], rel=0.01)
    assert "cores" in said["machine"]
    assert not (tmp_path / "small.run").exists()


def test_the_table_has_both_side_by_side(
    teacher: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distill(tmp_path, "--hidden", "2", "--cell", "gru", "--hold-out", "2/3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["teacher", "student"]
    assert lines[1].split() == ["lstm", "1", "x", "8", "gru", "1", "x", "2"]
    titles = {line[:30].strip() for line in lines}
    assert titles >= {"ROC-AUC", "log loss, nats", "calibration error", "surprise, nats", "weights, kB"}
    assert any("does not say that it was trained with --hold-out 2/3" in line for line in lines)
    assert lines[-1].startswith(f"wrote {tmp_path}/small.safetensors and ")


def test_who_is_compared_on_is_not_learned_from(teacher: LoadedModel, tmp_path: Path) -> None:
    assert distill(tmp_path) == 0
    card = model_file.load(f"{tmp_path}/small.safetensors").card.made
    whole = ["train", *SHOP, "--epochs", "1", "--hidden", "2", "--out", f"{tmp_path}/whole"]
    assert cli.run(whole) == 0
    everybody = model_file.load(f"{tmp_path}/whole.safetensors").card.made
    assert card["hold_out"] == [1, 5]
    assert 0.6 * everybody["users"] < card["users"] < 0.95 * everybody["users"]


def test_a_student_no_smaller_than_its_teacher_is_refused(
    teacher: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distill(tmp_path, "--hidden", "8") == 2
    assert "smaller than its teacher of 1 x 8 hidden units, got 1 x 8" in capsys.readouterr().err


def test_a_hold_out_that_leaves_nobody_is_refused(
    teacher: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distill(tmp_path, "--users", "2", "--hold-out", "7/900") == 2
    assert "expected users to compare the two on, got none" in capsys.readouterr().err


def test_a_teacher_that_is_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert distill(tmp_path) == 2
    assert f"model {tmp_path}/model-0.safetensors: cannot be read" in capsys.readouterr().err
