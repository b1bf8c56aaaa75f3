"""A worker that hangs is ended with its reason; one that has nothing to do is not."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from stream.kafka import backlog
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.exact import counted
from tests.running import fill, running, until_committed

START_MS = 1_700_000_000_000
EVENTS = 400
ENDS_SECS = 60.0

# A consumer that fetches nothing any more, as aiokafka's has been seen to do after a restart of its broker; all else of
# a worker is as it is. It hangs from the moment a file is there.
_HANGING = """
import asyncio, os, sys
from stream import settings, worker
from stream.kafka.fetching import FrameConsumerThread
fetch = FrameConsumerThread._fetch_records
async def hang(*args, **kwargs):
    while os.path.exists(sys.argv[1]):
        await asyncio.sleep(0.1)
    return await fetch(*args, **kwargs)
FrameConsumerThread._fetch_records = hang
sys.exit(worker.run(settings.load()))
"""


async def test_a_worker_that_hangs_is_ended_with_its_reason_and_code_6_and_an_idle_one_is_not(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, merge_hold_max_ms=500, watchdog_secs=2, checkpoint_interval_ms=300)
    events = list(
        itertools.islice(
            simulate(scenario.honest_and_orderly(scenario.load()), seed=3, users=40, start_ms=START_MS), EVENTS
        )
    )
    hangs = tmp_path / "hangs"
    with running(settings, tmp_path / "worker.log", program=_HANGING, arguments=(str(hangs),)) as worker:
        await fill(settings, events[: EVENTS // 2])
        await until_committed(settings, worker)
        await asyncio.sleep(4 * settings.watchdog_secs)  # idle for longer than it takes to be ended
        assert worker.process.poll() is None, worker.said()
        hangs.touch()
        await fill(settings, events[EVENTS // 2 :])
        assert await asyncio.to_thread(worker.process.wait, ENDS_SECS) == 6, worker.said()
        last = worker.said().splitlines()[-1]
        assert "ERROR stream.worker: the broker answers, and nothing was committed for " in last, worker.said()
        assert last.endswith(" waits")
        assert "Traceback" not in worker.said()
    with running(settings, tmp_path / "worker.log") as again:  # as whoever started it would
        await until_committed(settings, again)
        assert await again.stop() == 0
    assert sum((await counted(settings)).values()) == EVENTS


async def test_what_waits_is_a_committed_record_where_the_group_stands(
    settings: Settings, topics: list[TopicReport]
) -> None:
    clicks, searches, purchases = settings.source_topics
    tps = [TopicPartition(topic, 0) for topic in (clicks, searches, purchases)]
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=settings.app_id)
    await producer.start()
    try:
        for topic, commit in ((clicks, True), (searches, True), (purchases, False)):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"event", partition=0)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        # Clicks have a record at 0 and a marker at 1, purchases a record that does not count, and a marker.
        assert await backlog.waiting(settings, dict.fromkeys(tps, 0)) == {(clicks, 0): 0, (searches, 0): 0}
        assert await backlog.waiting(settings, dict.fromkeys(tps, 1)) == {}
        assert await backlog.waiting(settings, dict.fromkeys(tps, 2)) == {}
        assert await backlog.waiting(settings, {}) == {}
        # Of partitions that the group has committed elsewhere, another worker is the owner.
        await producer.begin_transaction()
        await producer.send_and_wait(searches, b"event", partition=0)
        await producer.send_offsets_to_transaction({tps[1]: 2}, settings.app_id)
        await producer.commit_transaction()
        assert await backlog.waiting(settings, dict.fromkeys(tps, 0)) == {(clicks, 0): 0}
        assert await backlog.waiting(settings, {tps[1]: 2}) == {(searches, 0): 2}
        # Whoever was never assigned anything is judged by all that the group has committed.
        assert await backlog.waiting(settings, None) == {(searches, 0): 2}
    finally:
        await producer.stop()
