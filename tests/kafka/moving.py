"""Partitions that move between workers under load: what tests of it are made of."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from stream import rows
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.load import Destination, LoadReport, produce
from stream.simulator.simulate import simulate
from tests.running import Worker, read

EVENTS_PER_SEC, USERS = 2_000, 2_000
START_MS = 1_700_000_000_000  # of event and record time, which must stay in the past: brokers refuse the future
MOVED_SECS = 120.0  # a worker takes seconds to start, and more where both cores are busy with the load
GOES_ON_SECS = 1.0  # less than a checkpoint interval, so that each move finds something scored and not yet committed


async def load(settings: Settings, stop: asyncio.Event) -> LoadReport:
    """Send events until told to stop."""
    topics = dict(zip(("clicks", "searches", "purchases"), settings.source_topics, strict=True))
    events = simulate(scenario.load(), seed=11, users=USERS, start_ms=START_MS)
    destination = Destination(settings.bootstrap_servers, topics)
    return await produce(events, destination, rate_per_sec=EVENTS_PER_SEC, stop=stop)


async def until_scoring(worker: Worker, n: int) -> set[int]:
    """Wait until the latest that it has said is to score n partitions -> which."""
    deadline = time.monotonic() + MOVED_SECS
    while True:
        said = re.findall(r"scoring partitions \[([\d, ]+)\]", worker.said())
        if said and len(partitions := {int(p) for p in said[-1].split(",")}) == n:
            return partitions
        assert worker.process.poll() is None, f"the worker ended with {worker.process.returncode}:\n{worker.said()}"
        assert time.monotonic() < deadline, f"not scoring {n} partitions after {MOVED_SECS} s:\n{worker.said()}"
        await asyncio.sleep(0.05)


async def until_shared(*workers: Worker) -> list[set[int]]:
    """Wait until each has half of the partitions."""
    return [await until_scoring(worker, 2) for worker in workers]


async def _progress(worker: Worker) -> tuple[float, float]:
    """Checkpoints that the worker has made since it started, and events that it has scored."""
    _, metrics = await worker.get("/metrics")
    (checkpoints,) = re.findall(r"^behaviour_checkpoints_total (\S+)$", metrics, re.MULTILINE)
    scored = re.findall(r'^behaviour_events_total{outcome="scored",.*} (\S+)$', metrics, re.MULTILINE)
    return float(checkpoints), sum(map(float, scored))


async def until_it_scores(worker: Worker) -> None:
    """Wait until the worker has scored something that it has not committed."""
    before = now = await _progress(worker)
    while now[0] != before[0] or now[1] == before[1]:
        before = now
        await asyncio.sleep(0.1)
        now = await _progress(worker)


def sources(records: Sequence[Any]) -> Counter[str]:
    """How often each event was scored, by where it came from."""
    return Counter(json.loads(record.value)["id"].rsplit("-", 1)[0] for record in records)


def repeated(records: Sequence[Any]) -> set[str]:
    """The events that were scored more than once."""
    return {source for source, n in sources(records).items() if n > 1}


async def sent(settings: Settings) -> dict[bytes, int]:
    """Events on the source topics, by user; what was sent twice once."""
    events = {
        (record.key, json.loads(record.value)["event_id"])
        for topic in settings.source_topics
        for record in await read(settings, topic)
    }
    return Counter(user for user, _ in events)


async def counted(settings: Settings) -> dict[bytes, int]:
    """Events that the state has seen, by user: the changelog's last row of each."""
    state = {record.key: record.value for record in await read(settings, settings.changelog_topic)}
    del state[rows.PARTITION_KEY]
    return {key: int(np.frombuffer(row, rows.HEADER, count=1)[0]["events_seen"]) for key, row in state.items()}


def numbers(records: Sequence[Any]) -> dict[bytes, dict[str, int]]:
    """The `events_seen` of each user's events, by id; of a repeated score that of the last."""
    last: dict[bytes, dict[str, int]] = defaultdict(dict)
    for record in records:
        score = json.loads(record.value)
        last[record.key][score["id"]] = score["events_seen"]
    return last


def assert_counts_without_gap(of_users: dict[bytes, dict[str, int]]) -> None:
    """That each user's events were counted one by one."""
    for user, of_user in of_users.items():
        assert sorted(of_user.values()) == list(range(1, len(of_user) + 1)), user
