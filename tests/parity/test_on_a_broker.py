"""Train, serve, parity: a model of the command line's own making, a real worker, and what it published compared."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from stream import cli
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.models import model_in
from tests.running import fill, read, running, until_committed

EVENTS, USERS = 1_500, 50
START_MS = 1_790_000_000_000
TRAIN = "train --simulated 1 --users 40 --days 7 --honest --hidden 16 --epochs 1 --no-progress --json"
FLAGS = (
    "bootstrap_servers",
    "clicks_topic",
    "searches_topic",
    "purchases_topic",
    "purchase_intent_topic",
    "anomaly_scores_topic",
    "model",
)


async def command(*arguments: str) -> int:
    """As at a terminal; on a thread of its own, as it has an event loop of its own."""
    return await asyncio.to_thread(cli.run, arguments)


async def parity(settings: Settings, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in FLAGS]
    capsys.readouterr()
    code = await command("parity", *flags, "--no-progress", "--json", *more)
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else {"error": printed.err}


async def evaluated(settings: Settings, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in (*FLAGS[:4], "model")]
    if more:
        flags.append(f"--purchase-intent-topic={settings.purchase_intent_topic}")
    capsys.readouterr()
    code = await command(
        "evaluate",
        "--topics",
        *flags,
        "--split-time",
        "2026-01-01",
        "--without-baselines",
        "--no-progress",
        "--json",
        *more,
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    told: dict[str, Any] = json.loads(printed.out)
    return told


async def send(settings: Settings, topic: str, partition: int, key: bytes, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key=key, partition=partition)
    finally:
        await producer.stop()


async def test_train_serve_parity_and_a_record_that_was_altered_is_found(
    settings: Settings, topics: list[TopicReport], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command(*TRAIN.split(), "--out", str(tmp_path / "shop")) == 0
    # Small batches and few steps: many cuts, and users whose events are deferred.
    settings = msgspec.structs.replace(
        settings, model=f"{tmp_path}/shop.safetensors", batch_max_events=64, batch_max_steps=4
    )
    events = list(itertools.islice(simulate(scenario.load(), seed=5, users=USERS, start_ms=START_MS), EVENTS))
    await fill(settings, events)
    with running(settings, tmp_path / "worker.log") as worker:
        await until_committed(settings, worker)
        assert await worker.stop() == 0, worker.said()

    code, report = await parity(settings, capsys)
    assert (code, report["ok"], report["compared"], report["events"]) == (0, True, EVENTS, EVENTS)
    assert 0 < max(figure["difference"] for figure in report["largest"]) <= 1e-4
    assert {figure["figure"] for figure in report["largest"]} >= {"purchase_intent.session", "surprise", "anomaly"}

    # What subscribers saw is judged as what offline scoring gives is.
    offline, published = [await evaluated(settings, capsys, *more) for more in ((), ("--published",))]
    assert published["rows"] == offline["rows"] > EVENTS / 2
    assert published["horizons"].keys() == {"30m", "24h", "session"}
    for horizon, figures in offline["horizons"].items():
        for name in ("auc", "pr_auc", "log_loss", "ece", "base_log_loss"):
            assert published["horizons"][horizon][name] == pytest.approx(figures[name], abs=1e-4)

    # From the middle on: users who began before are left out, and nobody else.
    middle_ms = events[EVENTS // 2].sent_ms
    code, part = await parity(settings, capsys, "--since", str(middle_ms))
    assert (code, part["events"]) == (0, sum(event.sent_ms >= middle_ms for event in events))
    assert part["begun_users"] > 0 and part["cut_users"] == part["without_score"] == part["without_event"] == 0
    assert part["compared"] + part["begun_events"] == part["events"]

    record = (await read(settings, settings.anomaly_scores_topic))[70]
    score = json.loads(record.value)
    changed = json.dumps(score | {"surprise": score["surprise"] + 0.25}).encode()
    await send(settings, settings.anomaly_scores_topic, record.partition, record.key, changed)
    code, report = await parity(settings, capsys)
    assert (code, report["ok"], report["repeated"]) == (1, False, 1)
    (found,) = [figure for figure in report["largest"] if figure["difference"] > 1e-4]
    assert found["figure"] == "surprise" and found["difference"] == pytest.approx(0.25, abs=1e-4)
    where = f"{found['topic']}-{found['partition']}-{found['offset']}-"
    assert score["id"].startswith(where) and found["user"] == score["user_id"]
    assert found["event"] == score["events_seen"]


async def test_topics_without_an_event_are_told(
    settings: Settings, topics: list[TopicReport], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_in(tmp_path)
    settings = msgspec.structs.replace(settings, model=f"{tmp_path}/{model.name}.safetensors")
    code, report = await parity(settings, capsys)
    assert code == 2
    assert f"expected scores of model {model.name}, hash {model.hash}, got none of the 0 events" in report["error"]
