"""A broker that restarts, stops answering, is killed, compacts the changelog meanwhile, or has lost the end of a log.

The worker says so, waits, and goes on by itself; every event is applied once and scored at least once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.kafka import topics as topics_module
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.exact import counted, load, scored, sent
from tests.running import Worker, ends, fill, read, running, until_committed

START_MS = 1_700_000_000_000
EVENTS_PER_SEC, USERS = 500, 300
GOES_ON_SECS = 2.0
BACK_SECS = 120.0  # a worker that begins anew imports torch and Faust: seconds, on a busy machine tens of them

SCORING = r"scoring partitions \[0, 1, 2, 3\]"
SILENT = r"WARNING \S+ broker \S+ does not answer \(\w+\); waiting, 0 s so far"

# A changelog that is compacted all the while, down to what is alive; the cleaner itself is woken as often.
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "500",
    "min.cleanable.dirty.ratio": "0.0",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "1000",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that may be stopped."""
    with EmbeddedBroker(tmp_path_factory.mktemp("own"), properties={"log.cleaner.backoff.ms": "200"}) as running:
        yield running


@pytest.fixture
async def there(own: EmbeddedBroker, settings: Settings) -> Settings:
    """Settings of an app whose topics are on that broker; the changelog is compacted as soon as it can be."""
    there = msgspec.structs.replace(settings, bootstrap_servers=own.bootstrap_servers, checkpoint_interval_ms=500)
    await topics_module.ensure(there)
    admin = AIOKafkaAdminClient(bootstrap_servers=there.bootstrap_servers)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, there.changelog_topic, COMPACTED)])
    finally:
        await admin.close()
    return there


def _shop() -> Iterator[ShopEvent]:
    return iter(simulate(scenario.honest_and_orderly(scenario.load()), seed=13, users=USERS, start_ms=START_MS))


async def _until(worker: Worker, pattern: str, since: int = 0) -> None:
    """Wait until what it has said, from a place in its log on, matches."""
    deadline = time.monotonic() + BACK_SECS
    while not re.search(pattern, worker.said()[since:], re.DOTALL):
        assert worker.process.poll() is None, worker.said()
        assert time.monotonic() < deadline, f"{pattern} not in {BACK_SECS} s:\n{worker.said()}"
        await asyncio.sleep(0.1)


async def _until_healthy(worker: Worker) -> None:
    """Wait until it scores, and waits for nothing. Beginning anew it does not answer for a while."""
    deadline = time.monotonic() + BACK_SECS
    while True:
        with contextlib.suppress(OSError):
            status, health = await worker.get("/healthz")
            if status == 200 and "waiting_for" not in health:
                return
        assert worker.process.poll() is None, worker.said()
        assert time.monotonic() < deadline, worker.said()
        await asyncio.sleep(0.1)


async def test_a_restart_a_pause_and_a_crash_of_the_broker_under_load_lose_and_double_nothing(
    own: EmbeddedBroker, there: Settings, tmp_path: Path
) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(there, tmp_path / "worker.log") as worker:
            pid = worker.process.pid
            await _until(worker, SCORING)
            loading = tasks.create_task(load(there, _shop(), stop, rate_per_sec=EVENTS_PER_SEC))
            await asyncio.sleep(GOES_ON_SECS)

            own.stop()
            own.start()
            await _until_healthy(worker)
            await asyncio.sleep(GOES_ON_SECS)

            at = len(worker.said())
            os.kill(own.pid, signal.SIGSTOP)
            try:  # for longer than a session
                await _until(worker, f"{SILENT}.*beginning anew.*metrics on .*{SILENT}", at)
                status, health = await worker.get("/healthz")
                assert status == 503 and f"broker {own.bootstrap_servers} does not answer" in health
                assert "behaviour_broker_answers 0.0" in (await worker.get("/metrics"))[1]
            finally:
                os.kill(own.pid, signal.SIGCONT)
            await _until(worker, f"beginning anew.*{SCORING}", at)
            await asyncio.sleep(GOES_ON_SECS)

            own.kill()
            await asyncio.sleep(GOES_ON_SECS)
            own.start()
            stop.set()
            await loading
            await until_committed(there, worker, secs=BACK_SECS)
            await _until_healthy(worker)
            text = (await worker.get("/metrics"))[1]
            assert "behaviour_broker_answers 1.0" in text
            begun = float(re.findall(r"^behaviour_begun_anew_total (\S+)$", text, re.MULTILINE)[0])
            assert begun == worker.said().count("beginning anew") >= 1
            assert worker.process.pid == pid and await worker.stop() == 0, worker.said()
            said = worker.said()
    assert "Traceback" not in said and said.count("\n") < 300, said
    assert re.search(
        rf"broker {own.bootstrap_servers} has not answered for \d+ s, longer than --session-timeout-ms", said
    )
    assert re.search(rf"broker {own.bootstrap_servers} answers, after \d+ s", said)
    await _assert_exact(there)


async def test_a_changelog_compacted_while_it_is_written_restores_every_row_on_an_empty_disk(
    there: Settings, tmp_path: Path
) -> None:
    shop = _shop()
    with running(there, tmp_path / "worker.log") as worker:
        for _ in range(8):  # a segment each, so that there is something to compact
            await fill(there, itertools.islice(shop, 500))
            await until_committed(there, worker)
            await asyncio.sleep(0.6)
        assert await worker.stop() == 0, worker.said()
    kept, written = (
        len(await read(there, there.changelog_topic)),
        sum((await ends(there, [there.changelog_topic])).values()),
    )
    assert kept < 0.6 * written, "nothing was compacted"
    await _assert_exact(there)
    shutil.rmtree(there.data_dir)
    with running(there, tmp_path / "worker.log") as worker:
        await fill(there, itertools.islice(shop, 500))
        await until_committed(there, worker)
        assert await worker.stop() == 0, worker.said()
    await _assert_exact(there)
    assert set((await scored(there)).values()) == {1}


async def _assert_exact(settings: Settings) -> None:
    """Rows have seen what was sent, user by user, and all of it was scored."""
    events = await sent(settings)
    assert sum(events.values()) > 3 * EVENTS_PER_SEC and await counted(settings) == events
    assert len(await scored(settings)) == sum(events.values())
