"""A worker that is stopped past its session time-out, and wakes when another has its partitions: it is fenced.

What it had not committed is done by the other; what it tries to commit does not count. Then it scores again, by itself.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from stream.kafka.topics import TopicReport
from stream.settings import Settings
from tests.kafka.moving import (
    GOES_ON_SECS,
    MOVED_SECS,
    counted,
    load,
    repeated,
    sent,
    sources,
    until_it_scores,
    until_scoring,
    until_shared,
)
from tests.running import read, running, until_committed

FENCED_AND_BACK = r"another worker has taken it over(?s:.)*scoring partitions"


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_worker_that_wakes_after_its_session_counts_nothing_and_scores_again(
    settings: Settings, topics: list[TopicReport], tmp_path: Path, guarantee: str
) -> None:
    settings = msgspec.structs.replace(settings, guarantee=guarantee, checkpoint_interval_ms=5_000)
    one, other = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("one", "other"))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(one, tmp_path / "one.log") as sleeper, running(other, tmp_path / "other.log") as heir:
            loading = tasks.create_task(load(settings, stop))
            slept, _ = await until_shared(sleeper, heir)
            await until_it_scores(sleeper)
            sleeper.process.send_signal(signal.SIGSTOP)
            await until_scoring(heir, 4)
            await asyncio.sleep(GOES_ON_SECS)
            sleeper.process.send_signal(signal.SIGCONT)
            await sleeper.wait_for(FENCED_AND_BACK, secs=MOVED_SECS)
            await until_shared(heir, sleeper)
            await until_it_scores(sleeper)
            stop.set()
            events = (await loading).events
            await until_committed(settings, heir)
            assert await sleeper.stop() == 0, sleeper.said()
            assert await heir.stop() == 0, heir.said()

    await _assert_each_counted(settings, events, may_repeat=slept if guarantee == "at_least_once" else set())


async def test_a_worker_that_loses_a_transaction_but_not_its_session_begins_it_again(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, guarantee="exactly_once", checkpoint_interval_ms=5_000)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(settings, tmp_path / "log") as worker:
            loading = tasks.create_task(load(settings, stop))
            await until_scoring(worker, 4)
            await until_it_scores(worker)
            # As the broker does with a transaction that is open for too long.
            thief = AIOKafkaProducer(
                bootstrap_servers=settings.bootstrap_servers, transactional_id=f"{settings.app_id}-p1"
            )
            await thief.start()
            await thief.stop()
            await worker.wait_for(FENCED_AND_BACK, secs=MOVED_SECS)
            await until_it_scores(worker)
            stop.set()
            events = (await loading).events
            await until_committed(settings, worker)
            assert await worker.stop() == 0, worker.said()
    await _assert_each_counted(settings, events, may_repeat=set())


async def _assert_each_counted(settings: Settings, events: int, *, may_repeat: set[int]) -> None:
    """Every event is in its user's row and scored, those of partitions that may not repeat once."""
    by_user = await sent(settings)
    scored = sum(by_user.values())
    assert 0.9 * events < scored < events  # some were sent twice
    for topic in (settings.purchase_intent_topic, settings.anomaly_scores_topic):
        records = await read(settings, topic)
        assert len(sources(records)) == scored
        assert {int(source.split("-")[-2]) for source in repeated(records)} <= may_repeat
        published = await read(settings, topic, aborted=True)
        assert len(published) > scored, "nothing was uncommitted when it was fenced"
    assert await counted(settings) == by_user
