"""A worker that is stopped past its session time-out, and wakes when another has its partitions: it is fenced.

What it had not committed is done by the other; what it tries to commit does not count. Then it scores again, by itself.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import msgspec
import pytest

from stream.kafka.topics import TopicReport
from stream.settings import Settings
from tests.kafka.moving import GOES_ON_SECS, counted, load, repeated, sent, sources, until_scoring, until_shared
from tests.running import read, running, until_committed


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_worker_that_wakes_after_its_session_counts_nothing_and_scores_again(
    settings: Settings, topics: list[TopicReport], tmp_path: Path, guarantee: str
) -> None:
    settings = msgspec.structs.replace(settings, guarantee=guarantee, checkpoint_interval_ms=1_000)
    one, other = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("one", "other"))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(one, tmp_path / "one.log") as sleeper, running(other, tmp_path / "other.log") as heir:
            loading = tasks.create_task(load(settings, stop))
            slept, _ = await until_shared(sleeper, heir)
            await asyncio.sleep(GOES_ON_SECS)
            sleeper.process.send_signal(signal.SIGSTOP)
            await until_scoring(heir, 4)
            await asyncio.sleep(GOES_ON_SECS)
            said = len(sleeper.said())
            sleeper.process.send_signal(signal.SIGCONT)
            await sleeper.wait_for("another worker has taken it over")
            await until_shared(heir, sleeper)
            await asyncio.sleep(GOES_ON_SECS)
            stop.set()
            events = (await loading).events
            await until_committed(settings, heir)
            print(sleeper.said()[said:])
            assert await sleeper.stop() == 0, sleeper.said()
            assert await heir.stop() == 0, heir.said()

    by_user = await sent(settings)
    assert sum(by_user.values()) == events
    for topic in (settings.purchase_intent_topic, settings.anomaly_scores_topic):
        records = await read(settings, topic)
        assert len(sources(records)) == events
        again = repeated(records)
        assert {int(source.split("-")[-2]) for source in again} <= (slept if guarantee == "at_least_once" else set())
    assert await counted(settings) == by_user
