"""`train` as at a terminal: from events to a model that serves; killed and begun again; what it refuses, in words."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from stream import cli, model_file
from stream.model_file import Card
from stream.shop_event import ShopEvent
from stream.simulator import files, scenario
from stream.simulator.simulate import simulate
from tests.models import model_in
from tests.training.shops import DAY_MS, START_MS, shop_event

TIMEOUT_SECS = 120.0
SMALL = {"sizes": {"hidden": 8}, "made": {"recipe": {"lanes": 8, "updates": 4, "folds": 2, "max_epochs": 2}}}


@cache
def events(users: int = 80) -> list[ShopEvent]:
    """Five days of honest shoppers."""
    shop = scenario.honest_and_orderly(scenario.load())
    return list(simulate(shop, seed=5, users=users, start_ms=START_MS, end_ms=START_MS + 5 * DAY_MS))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Their file, and beside it a recipe that is over in a moment."""
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    files.write(events(), tmp_path / "events.jsonl")
    return tmp_path / "events.jsonl"


def command(file: Path, name: str = "shop", *more: str) -> list[str]:
    recipe = file.with_name("small.json")
    return ["train", str(file), "--no-progress", "--recipe", str(recipe), "--out", str(file.with_name(name)), *more]


def train(file: Path, name: str = "shop", *more: str) -> int:
    return cli.run(command(file, name, *more))


def card_of(file: Path, name: str = "shop") -> Card:
    return model_file.load(str(file.with_name(f"{name}.safetensors"))).card


def lines(path: Path, of: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(fact) + "\n" for fact in of))
    return path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def refused(file: Path, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    """In one line, with these words; and no model."""
    assert train(file) == 2
    (last,) = [line for line in said(capsys).splitlines() if line.startswith("behaviour-stream: ")]
    for word in words:
        assert word in last, (word, last)
    assert not file.with_name("shop.safetensors").exists()


def test_it_writes_a_model_that_serves_and_a_card_that_says_how_it_came_about(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(shop, "shop", "--json") == 0
    printed = capsys.readouterr()
    card = card_of(shop)
    assert json.loads(printed.out)["weights_sha256"] == card.weights_sha256
    assert "epoch 1, held out: purchases" in printed.err
    made = card.made
    assert made["files"] == ["events.jsonl"] and not made["simulated"]
    assert made["events"] == len(events())
    assert made["command"].startswith("behaviour-stream")
    assert made["labels"].keys() == made["calibration"].keys() == made["reached"].keys() == {"30m", "24h", "session"}
    assert made["worth"]["action"].keys() == {"intent", "next_event"}
    assert not shop.with_name("shop.run").exists()


def test_killed_and_begun_again_with_the_same_command_it_is_the_same_model(shop: Path) -> None:
    arguments = command(shop, "killed", "--event-dropout", "0.1")
    program = [sys.executable, "-m", "stream.cli", *arguments]
    for after in ("epoch 1, held out", "epoch 2, held out"):
        with subprocess.Popen(program, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            deadline = time.monotonic() + TIMEOUT_SECS
            line = ""
            while not line.startswith(after):
                assert time.monotonic() < deadline
                line = process.stderr.readline()
                assert line, "it ended before it was killed"
            os.kill(process.pid, signal.SIGKILL)
        assert shop.with_name("killed.run").exists()
    assert cli.run(arguments) == 0
    assert not shop.with_name("killed.run").exists()
    assert train(shop, "whole", "--event-dropout", "0.1") == 0
    assert card_of(shop, "killed").weights_sha256 == card_of(shop, "whole").weights_sha256
    assert card_of(shop, "killed").made["epochs"] == card_of(shop, "whole").made["epochs"]


def test_what_is_kept_of_other_events_is_refused_and_begun_anew_when_told(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stream.commands.learning_progress.Watching.judged", stop)
    assert train(shop) == 130
    monkeypatch.undo()
    said(capsys)
    files.write(events()[:-5], shop)
    refused(shop, capsys, "an interrupted run is kept", "digest of the events", "--anew")
    assert train(shop, "shop", "--anew") == 0


def test_lines_in_any_order_are_the_same_events(shop: Path) -> None:
    assert train(shop, "sorted") == 0
    texts = shop.read_text().splitlines(keepends=True)
    Random(1).shuffle(texts)
    shop.write_text("".join(texts))
    assert train(shop, "shuffled") == 0
    assert card_of(shop, "sorted").weights_sha256 == card_of(shop, "shuffled").weights_sha256


def test_an_empty_file_is_refused(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop.write_text("")
    refused(shop, capsys, "events.jsonl: expected rows, got an empty file")


def test_a_file_cut_short_gives_what_comes_before_the_cut_and_says_so(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = shop.with_name("events.jsonl.gz")
    packed.write_bytes(gzip.compress(shop.read_bytes())[:-2_000])
    assert train(packed) == 0
    assert "expected more of a gzip file, got its end" in said(capsys)
    assert 0 < card_of(packed).made["events"] < len(events())


def test_a_missing_column_is_named(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = shop.with_name("events.csv")
    table.write_text("event_time,product_id,user_id\n2019-10-01 00:00:00 UTC,1,2\n")
    refused(table, capsys, "events.csv", "event_type")


def test_no_purchase_at_all_is_learned_as_such_and_said(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.write([event for event in events() if event.topic != "purchases"], shop)
    assert train(shop) == 0
    assert "purchases within 30m: no for all" in said(capsys)
    card = card_of(shop)
    assert card.made["labels"]["30m"]["yes"] == 0
    assert card.made["reached"]["30m"] == {}  # nothing to be told apart


def test_one_user_of_100_000_events_is_learned_from_beside_the_others(shop: Path) -> None:
    busy = [shop_event("busy", "view_item", START_MS + n * 4_000, item_id=f"i{n % 50}") for n in range(100_000)]
    files.write([*events(), *busy], shop)
    assert train(shop, "shop", "--epochs", "1", "--seed", "1") == 0
    assert card_of(shop).made["events"] == 100_000 + len(events())


def test_too_little_to_learn_from_is_refused_with_how_much_there_is(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(events()[:12], shop)
    refused(shop, capsys, "20 normal events or more", "with 12 events in all")
    assert not shop.with_name("shop.run").exists()


def test_a_model_of_another_format_is_no_model_to_go_on_from(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_in(shop.parent)
    card = shop.with_name("model-0.json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"format": "behaviour-stream model 99"}))
    assert train(shop, "shop", "--model", str(shop.with_name("model-0.safetensors"))) == 2
    assert "model 99" in said(capsys)


def test_going_on_from_a_model_keeps_what_it_takes_for_usual(shop: Path) -> None:
    assert train(shop, "first") == 0
    first = str(shop.with_name("first.safetensors"))
    assert (
        train(shop, "second.safetensors", "--model", first, "--horizons", "10m", "--no-session", "--epochs", "1") == 0
    )
    card = card_of(shop, "second")
    assert card.statistics == card_of(shop, "first").statistics
    assert card.sizes.horizons == ("10m",)
    assert card.made["start"]["hash"] == model_file.load(first).hash


def test_pre_training_learns_what_comes_next_alone_and_can_be_gone_on_from(shop: Path) -> None:
    assert train(shop, "first", "--next-event-only", "--epochs", "1") == 0
    assert card_of(shop, "first").made["recipe"]["intent_weight"] == 0.0
    assert train(shop, "second", "--model", str(shop.with_name("first.safetensors")), "--epochs", "1") == 0
    assert card_of(shop, "second").made["recipe"]["intent_weight"] == 1.0


def test_users_and_times_that_are_left_out_are_not_learned_from(shop: Path) -> None:
    assert train(shop, "shop", "--hold-out", "1/4", "--before", "2026-01-04", "--drop", "price") == 0
    made = card_of(shop).made
    assert 0 < made["events"] < len(events())
    assert made["hold_out"] == [1, 4]
    assert made["end_ms"] <= START_MS + 3 * DAY_MS
    assert made["worth"]["price"] == {"intent": 0.0, "next_event": 0.0}


def test_curves_are_written_for_tensorboard(shop: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    assert train(shop, "shop", "--log-dir", str(shop.with_name("curves"))) == 0
    curves = EventAccumulator(str(shop.with_name("curves")))
    curves.Reload()
    tags = curves.Tags()["scalars"]
    assert {"held_out/intent", "held_out/next_event"} < set(tags)
    assert len(curves.Scalars("held_out/intent")) == 2
    assert any(tag.startswith("learning/") for tag in tags)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--since", "2026-01-01"], "--since and --until: they say nothing of this source"),
        (["--honest"], "--honest: they say nothing of this source"),
        (["--topics"], "expected one of FILE..., --topics and --simulated"),
        (["--horizons", "soon"], "expected times such as 30m,24h"),
        (["--hold-out", "5/4"], "expected which of how many folds"),
        (["--before", "yesterday"], "expected a day (2026-01-31)"),
        (["--drop", "colour"], "drop: expected any of action"),
        (["--crop", "1"], "--crop"),
        (["--before", "2001-01-01"], "--before and --hold-out leave nothing"),
    ],
)
def test_flags_that_make_no_sense_are_refused_by_name(
    more: list[str], words: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(shop, "shop", *more) == 2
    assert words in said(capsys)


def test_a_slip_of_the_pen_beside_anew_costs_no_interrupted_run(shop: Path) -> None:
    kept = shop.with_name("shop.run")
    kept.mkdir()
    (kept / "run.json").write_text("{}")
    assert train(shop, "shop", "--anew", "--drop", "nonsense") == 2
    assert (kept / "run.json").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_before_events_are_read(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(shop, "shop", "--device", "cuda") == 2
    told = said(capsys)
    assert "expected a GPU that PyTorch can use, found none" in told
    assert "events of" not in told
    assert not shop.with_name("shop.run").exists()
