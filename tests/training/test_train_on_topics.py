"""`train --topics` on a real broker: an interrupted run goes on with what it began with, though the topics go on."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from stream import cli, model_file
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.running import fill
from tests.training.shops import DAY_MS

START_MS = 1_790_000_000_000
SMALL = {"sizes": {"hidden": 8}, "made": {"recipe": {"lanes": 8, "updates": 4, "folds": 2, "max_epochs": 2}}}
SOURCES = ("bootstrap_servers", "clicks_topic", "searches_topic", "purchases_topic")


def events() -> list[ShopEvent]:
    shop = scenario.honest_and_orderly(scenario.load())
    return list(simulate(shop, seed=5, users=60, start_ms=START_MS, end_ms=START_MS + 4 * DAY_MS))


async def test_what_comes_while_it_is_interrupted_is_not_learned_from(
    settings: Settings,
    topics: list[TopicReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in SOURCES]
    out = tmp_path / "shop"
    recipe = ["--recipe", str(tmp_path / "small.json"), "--no-progress"]
    arguments = ["train", "--topics", *flags, *recipe, "--out", str(out)]
    sent = events()
    await fill(settings, sent[:-50])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("stream.commands.learning_progress.Watching.judged", stop)
        assert await asyncio.to_thread(cli.run, arguments) == 130
    now_ms = time.time_ns() // 1_000_000
    await fill(settings, [event._replace(sent_ms=now_ms) for event in sent[-50:]])
    assert await asyncio.to_thread(cli.run, arguments) == 0, capsys.readouterr().err
    made = model_file.load(f"{out}.safetensors").card.made
    assert made["events"] == len(sent) - 50
    assert made["topics"] and made["until_ms"]
    assert not out.with_name("shop.run").exists()
