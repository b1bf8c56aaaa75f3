"""Partitions that change hands under load, in every way that they do: a worker joins, leaves, comes back, is killed.

Nothing is lost by any of it, and only the kill repeats: what was scored since the last checkpoint of the killed one.
"""

from __future__ import annotations

import asyncio
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
    repeated,
    sent,
    sources,
    until_it_scores,
    until_scoring,
    until_shared,
)
from tests.running import read, running, until_committed


async def test_moves_under_load_lose_nothing_and_only_a_kill_repeats(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    first, second = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("first", "second"))
    outputs = (settings.purchase_intent_topic, settings.anomaly_scores_topic)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(first, tmp_path / "first.log") as alone:
            await until_scoring(alone, 4)
            loading = tasks.create_task(load(settings, stop))
            await asyncio.sleep(GOES_ON_SECS)
            with running(second, tmp_path / "second.log") as visitor:
                await until_shared(alone, visitor)
                await asyncio.sleep(GOES_ON_SECS)
                assert await visitor.stop() == 0, visitor.said()
            await until_scoring(alone, 4)  # it restores, while it lives, what has moved on elsewhere
            await asyncio.sleep(GOES_ON_SECS)
            with running(second, tmp_path / "second.log") as joined:
                await until_shared(alone, joined)
                await asyncio.sleep(GOES_ON_SECS)
                assert await alone.stop() == 0, alone.said()
                await until_scoring(joined, 4)
                with running(first, tmp_path / "first.log") as back:
                    _, killed = await until_shared(back, joined)
                    await asyncio.sleep(GOES_ON_SECS)
                    before_kill = [await read(settings, topic) for topic in outputs]
                    joined.kill()
                    await until_scoring(back, 4)
                    await asyncio.sleep(GOES_ON_SECS)
                    stop.set()
                    events = (await loading).events
                    await until_committed(settings, back)
                    assert await back.stop() == 0, back.said()

    by_user = await sent(settings)
    assert 0.9 * events < sum(by_user.values()) < events > 10 * EVENTS_PER_SEC  # some were sent twice
    for topic, before in zip(outputs, before_kill, strict=True):
        assert len(before) > events / 4 and not repeated(before)
        assert_counts_without_gap(numbers(before))
        records = await read(settings, topic)
        assert len(sources(records)) == sum(by_user.values())
        assert {int(source.split("-")[-2]) for source in repeated(records)} <= killed
        # A replay may merge anew what came live in another order, so that of repeated scores the later ones count.
        last = numbers(records)
        assert_counts_without_gap(last)
        assert {user: len(of_user) for user, of_user in last.items()} == by_user
    assert await counted(settings) == by_user


async def test_exactly_once_moves_and_a_kill_repeat_nothing(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, guarantee="exactly_once")
    first, second = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("first", "second"))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(first, tmp_path / "first.log") as stays:
            await until_scoring(stays, 4)
            loading = tasks.create_task(load(settings, stop))
            await asyncio.sleep(GOES_ON_SECS)
            with running(second, tmp_path / "second.log") as visitor:
                await until_shared(stays, visitor)
                await asyncio.sleep(GOES_ON_SECS)
                assert await visitor.stop() == 0, visitor.said()
            await until_scoring(stays, 4)
            await asyncio.sleep(GOES_ON_SECS)
            with running(second, tmp_path / "second.log") as killed:
                await until_shared(stays, killed)
                await until_it_scores(killed)
                killed.kill()
                await until_scoring(stays, 4)
            await asyncio.sleep(GOES_ON_SECS)
            stop.set()
            events = (await loading).events
            await until_committed(settings, stays)
            assert await stays.stop() == 0, stays.said()

    by_user = await sent(settings)
    scored = sum(by_user.values())
    assert 0.9 * events < scored < events > 5 * EVENTS_PER_SEC  # some were sent twice
    for topic in (settings.purchase_intent_topic, settings.anomaly_scores_topic):
        records = await read(settings, topic)
        assert len(records) == len(sources(records)) == scored
        assert_counts_without_gap(numbers(records))
        assert len(await read(settings, topic, aborted=True)) > scored, "the kill left nothing uncommitted"
    assert await counted(settings) == by_user
