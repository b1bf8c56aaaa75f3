"""Partitions that change hands under load, in every way that they do: a worker joins, leaves, comes back, is killed.

Nothing is lost by any of it, and only the kill repeats: what was scored since the last checkpoint of the killed one.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from stream import rows
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.load import Destination, LoadReport, produce
from stream.simulator.simulate import simulate
from tests.running import Worker, read, running, until_committed

EVENTS_PER_SEC, USERS = 2_000, 2_000
START_MS = 1_700_000_000_000  # of event and record time, which must stay in the past: brokers refuse the future
MOVED_SECS = 60.0  # a worker takes seconds to start, and more where both cores are busy with the load
GOES_ON_SECS = 1.0  # less than a checkpoint interval, so that each move finds something scored and not yet committed


async def _load(settings: Settings, stop: asyncio.Event) -> LoadReport:
    topics = dict(zip(("clicks", "searches", "purchases"), settings.source_topics, strict=True))
    events = simulate(scenario.load(), seed=11, users=USERS, start_ms=START_MS)
    destination = Destination(settings.bootstrap_servers, topics)
    return await produce(events, destination, rate_per_sec=EVENTS_PER_SEC, stop=stop)


async def _until_scoring(worker: Worker, n: int) -> set[int]:
    """Wait until the latest that it has said is to score n partitions -> which."""
    deadline = time.monotonic() + MOVED_SECS
    while True:
        said = re.findall(r"scoring partitions \[([\d, ]+)\]", worker.said())
        if said and len(partitions := {int(p) for p in said[-1].split(",")}) == n:
            return partitions
        assert worker.process.poll() is None, f"the worker ended with {worker.process.returncode}:\n{worker.said()}"
        assert time.monotonic() < deadline, f"not scoring {n} partitions after {MOVED_SECS} s:\n{worker.said()}"
        await asyncio.sleep(0.05)


async def _until_shared(*workers: Worker) -> list[set[int]]:
    """Wait until each has half of the partitions."""
    return [await _until_scoring(worker, 2) for worker in workers]


def _sources(records: Sequence[Any]) -> Counter[str]:
    """How often each event was scored, by where it came from."""
    return Counter(json.loads(record.value)["id"].rsplit("-", 1)[0] for record in records)


def _repeated(records: Sequence[Any]) -> set[str]:
    return {source for source, n in _sources(records).items() if n > 1}


async def test_moves_under_load_lose_nothing_and_only_a_kill_repeats(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    first, second = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("first", "second"))
    outputs = (settings.purchase_intent_topic, settings.anomaly_scores_topic)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(first, tmp_path / "first.log") as alone:
            await _until_scoring(alone, 4)
            load = tasks.create_task(_load(settings, stop))
            await asyncio.sleep(GOES_ON_SECS)
            with running(second, tmp_path / "second.log") as visitor:
                await _until_shared(alone, visitor)
                await asyncio.sleep(GOES_ON_SECS)
                assert await visitor.stop() == 0, visitor.said()
            await _until_scoring(alone, 4)  # it restores, while it lives, what has moved on elsewhere
            await asyncio.sleep(GOES_ON_SECS)
            with running(second, tmp_path / "second.log") as joined:
                await _until_shared(alone, joined)
                await asyncio.sleep(GOES_ON_SECS)
                assert await alone.stop() == 0, alone.said()
                await _until_scoring(joined, 4)
                with running(first, tmp_path / "first.log") as back:
                    _, killed = await _until_shared(back, joined)
                    await asyncio.sleep(GOES_ON_SECS)
                    before_kill = [await read(settings, topic) for topic in outputs]
                    joined.kill()
                    await _until_scoring(back, 4)
                    await asyncio.sleep(GOES_ON_SECS)
                    stop.set()
                    events = (await load).events
                    await until_committed(settings, back)
                    assert await back.stop() == 0, back.said()

    sent = await _sent(settings)
    assert 0.9 * events < sum(sent.values()) < events > 10 * EVENTS_PER_SEC  # some were sent twice
    for topic, before in zip(outputs, before_kill, strict=True):
        assert len(before) > events / 4 and not _repeated(before)
        _assert_counts_without_gap(_numbers(before))
        records = await read(settings, topic)
        assert len(_sources(records)) == sum(sent.values())
        assert {int(source.split("-")[-2]) for source in _repeated(records)} <= killed
        # A replay may merge anew what came live in another order, so that of repeated scores the later ones count.
        numbers = _numbers(records)
        _assert_counts_without_gap(numbers)
        assert {user: len(of_user) for user, of_user in numbers.items()} == sent
    assert await _counted(settings) == sent


async def _sent(settings: Settings) -> dict[bytes, int]:
    """Events on the source topics, by user; what was sent twice once."""
    events = {
        (record.key, json.loads(record.value)["event_id"])
        for topic in settings.source_topics
        for record in await read(settings, topic)
    }
    return Counter(user for user, _ in events)


async def _counted(settings: Settings) -> dict[bytes, int]:
    """Events that the state has seen, by user: the changelog's last row of each."""
    state = {record.key: record.value for record in await read(settings, settings.changelog_topic)}
    del state[rows.PARTITION_KEY]
    return {key: int(np.frombuffer(row, rows.HEADER, count=1)[0]["events_seen"]) for key, row in state.items()}


def _numbers(records: Sequence[Any]) -> dict[bytes, dict[str, int]]:
    """The `events_seen` of each user's events, by id; of a repeated score that of the last."""
    last: dict[bytes, dict[str, int]] = defaultdict(dict)
    for record in records:
        score = json.loads(record.value)
        last[record.key][score["id"]] = score["events_seen"]
    return last


def _assert_counts_without_gap(numbers: dict[bytes, dict[str, int]]) -> None:
    for user, of_user in numbers.items():
        assert sorted(of_user.values()) == list(range(1, len(of_user) + 1)), user
