"""`tune` as at a terminal: killed and begun again, its table and JSON, and what `train` makes of what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream import cli, model_file

pytest.importorskip("optuna")
SHOP = ["--simulated", "1", "--honest", "--users", "60", "--days", "7", "--no-progress"]
QUICK = ["--epochs", "1", "--only", "learning_rate", "--only", "hidden"]
TIMEOUT_SECS = 120.0


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """So small that a trial takes a second."""
    path = tmp_path / "small.json"
    path.write_text(json.dumps({"sizes": {"hidden": 16}, "made": {"recipe": {"lanes": 8, "updates": 5, "folds": 2}}}))
    return path


def command(out: Path, recipe: Path, *more: str) -> list[str]:
    return ["tune", *SHOP, *QUICK, "--recipe", str(recipe), "--out", str(out), *more]


def test_killed_and_begun_again_with_the_same_command_it_goes_on(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(tmp_path / "best.json", recipe, "--trials", "4", "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "stream.cli", *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        deadline = time.monotonic() + TIMEOUT_SECS
        first = ""
        while not first.startswith("trial 1:"):
            assert time.monotonic() < deadline
            first = process.stderr.readline()
            assert first, "it ended before it was killed"
        process.kill()
    assert not (tmp_path / "best.json").exists()

    assert cli.run(arguments) == 0
    printed = capsys.readouterr()
    assert "trial 0:" not in printed.err and "trial 1:" not in printed.err
    assert "trial 2:" in printed.err and "trial 3:" in printed.err
    killed = json.loads(printed.out)

    assert cli.run(command(tmp_path / "whole.json", recipe, "--trials", "4", "--json")) == 0
    whole = json.loads(capsys.readouterr().out)
    for one in (*killed["trials"], *whole["trials"]):
        one.pop("seconds")
    assert killed == whole

    # A larger number of trials goes on too
    assert cli.run([*arguments, "--trials", "5"]) == 0
    assert [one["number"] for one in json.loads(capsys.readouterr().out)["trials"]] == [0, 1, 2, 3, 4]


def test_it_ends_with_a_table_and_writes_what_train_takes(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = tmp_path / "best.json"
    assert cli.run(command(best, recipe, "--trials", "2", "--split-time", "2026-01-05", "--hold-out", "1/4")) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split()[:6] == ["trial", "log", "loss", "AUC", "30m", "AUC"]
    assert any(line.strip() == "the default" for line in lines)
    assert any("learning_rate" in line and "hidden" in line for line in lines)
    assert "1 more, about" in printed.err
    assert lines[-1] == f"wrote {best}: `train --recipe {best}` takes it"

    out = tmp_path / "shop"
    enough = ["--users", "120"]  # of whom some are to be judged by
    assert cli.run(["train", *SHOP, *enough, "--recipe", str(best), "--hold-out", "1/4", "--out", str(out)]) == 0
    card = model_file.load(f"{out}.safetensors").card
    said = json.loads(best.read_text())
    assert card.sizes.hidden == said["sizes"]["hidden"]
    assert card.made["recipe"]["learning_rate"] == said["made"]["recipe"]["learning_rate"]
    assert said["made"]["tuned"]["trials"] == 2


def test_of_what_comes_next_alone_surprise_is_told_and_its_gain(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = tmp_path / "best.json"
    assert cli.run(command(best, recipe, "--trials", "5", "--next-event-only")) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split() == ["trial", "surprise,", "nats", "epochs", "seconds"]
    assert "log loss" not in printed.out + printed.err
    said = json.loads(best.read_text())["made"]["tuned"]
    trials = {int(line.split()[0]): float(line.split()[1]) for line in lines[1:] if line[:5].strip().isdigit()}
    assert said["trial"] and said["gain"]["mid"] == pytest.approx(trials[said["trial"]] - trials[0], abs=2e-4)
    assert f"less the default: surprise, nats {said['gain']['mid']:+.4f}" in " ".join(lines)


def test_out_of_time_before_a_trial_is_over_it_says_so_and_writes_nothing(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = tmp_path / "best.json"
    slow = {"sizes": {"hidden": 512}, "made": {"recipe": {"lanes": 8, "updates": 200, "folds": 2}}}
    recipe.write_text(json.dumps(slow))
    assert cli.run(command(best, recipe, "--timeout", "1s", "--users", "300")) == 1
    assert "not one trial was over in time" in capsys.readouterr().err
    assert not best.exists()


def test_an_unknown_knob_is_named_before_events_are_read(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(command(tmp_path / "best.json", recipe, "--only", "depth")) == 2
    said = capsys.readouterr().err
    assert "--only: expected any of hidden, layers" in said and "got depth" in said
    assert "simulated shop" not in said


def test_without_optuna_it_says_how_to_install_it(tmp_path: Path, recipe: Path) -> None:
    program = (
        f"import sys; sys.modules['optuna'] = None; from stream.cli import run; "
        f"sys.exit(run({command(tmp_path / 'best.json', recipe)!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "behaviour-stream: tune: the search needs Optuna: pip install 'behaviour-stream[train]'\n"
