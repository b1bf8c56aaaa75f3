"""Standby replicas: whoever takes a partition over has its rows already, but for the tail, and nothing is lost."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import msgspec

from stream.kafka.topics import TopicReport
from stream.settings import Settings
from tests.kafka.moving import (
    EVENTS_PER_SEC,
    GOES_ON_SECS,
    assert_counts_without_gap,
    counted,
    load,
    numbers,
    sent,
    sources,
    until_scoring,
    until_shared,
)
from tests.running import Worker, ends, read, restored_rows, running, until_committed


async def _metric(worker: Worker, name: str) -> list[float]:
    _, text = await worker.get("/metrics")
    return [float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)]


async def _until_standing_by(worker: Worker, n: int) -> None:
    """Wait until it has n copies of others' partitions that are all but up to date."""
    deadline = time.monotonic() + 60
    while True:
        lags = await _metric(worker, "behaviour_standby_lag_records")
        if len(lags) == n and max(lags) < EVENTS_PER_SEC / 4:
            return
        assert time.monotonic() < deadline, f"{n} copies are not up to date: {lags}\n{worker.said()}"
        await asyncio.sleep(0.2)


async def _rows_of(settings: Settings, partitions: set[int]) -> int:
    found = await ends(settings, [settings.changelog_topic])
    return sum(found[settings.changelog_topic, partition] for partition in partitions)


async def test_standbys_take_over_with_the_tail_alone_and_nothing_is_lost(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, standby_replicas=1, checkpoint_interval_ms=500)
    first, second = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("first", "second"))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(first, tmp_path / "first.log") as one:
            await until_scoring(one, 4)
            loading = tasks.create_task(load(settings, stop))
            with running(second, tmp_path / "second.log") as two:
                killed, _ = await until_shared(one, two)
                await _until_standing_by(one, 2)
                await _until_standing_by(two, 2)
                await asyncio.sleep(4 * GOES_ON_SECS)
                of_killed = await _rows_of(settings, killed)
                one.kill()
                await until_scoring(two, 4)  # the standby has become active
                assert restored_rows(two) < of_killed / 4
                await asyncio.sleep(GOES_ON_SECS)
                with running(first, tmp_path / "first.log") as back:  # and the active one is a standby again
                    _, left = await until_shared(back, two)
                    await _until_standing_by(back, 2)
                    await asyncio.sleep(GOES_ON_SECS)
                    of_left = await _rows_of(settings, left)
                    assert await two.stop() == 0, two.said()
                    await until_scoring(back, 4)
                    assert restored_rows(back) < of_left / 4
                    stop.set()
                    events = (await loading).events
                    await until_committed(settings, back)
                    assert await back.stop() == 0, back.said()

    were_sent = await sent(settings)
    assert 0.9 * events < sum(were_sent.values()) < events > 10 * EVENTS_PER_SEC  # some were sent twice
    for topic in (settings.purchase_intent_topic, settings.anomaly_scores_topic):
        records = await read(settings, topic)
        assert len(sources(records)) == sum(were_sent.values())
        by_user = numbers(records)
        assert_counts_without_gap(by_user)
        assert {user: len(of_user) for user, of_user in by_user.items()} == were_sent
    assert await counted(settings) == were_sent
