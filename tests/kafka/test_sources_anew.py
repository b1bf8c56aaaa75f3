"""Sources that are not what they were: made anew, overtaken by their retention, their offsets moved by hand.

Rows hold the last offset applied of each source. What was not read is lost with a topic that is deleted; all that is
there is applied once, and what can be counted of the rest is.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.exact import counted, scored, sent
from tests.running import Worker, committed, ends, fill, running, until_committed

START_MS = 1_700_000_000_000
EVENTS, USERS = 6_000, 150
GONE_SECS = 120.0  # until it is noticed, and the worker has begun anew; on a busy machine imports take tens of seconds


def _events() -> list[ShopEvent]:
    return list(
        itertools.islice(
            simulate(scenario.honest_and_orderly(scenario.load()), seed=5, users=USERS, start_ms=START_MS), EVENTS
        )
    )


@contextlib.asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _make(admin: AIOKafkaAdminClient, settings: Settings, topic: str) -> None:
    new = NewTopic(topic, settings.partitions, 1, topic_configs={"retention.ms": "-1"})
    deadline = time.monotonic() + 30
    while (await admin.create_topics([new])).topic_errors[0][1]:  # its deletion may still be under way
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def _delete_all_records(admin: AIOKafkaAdminClient, settings: Settings, topic: str) -> int:
    """-> the sum of the offsets at which its partitions now begin."""
    there = await ends(settings, [topic])
    await admin.delete_records({TopicPartition(*tp): RecordsToDelete(before_offset=end) for tp, end in there.items()})
    return sum(there.values())


async def _set_offsets(settings: Settings, offsets: dict[tuple[str, int], int]) -> None:
    """As a person does who resets a consumer group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, group_id=settings.app_id, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(*tp) for tp in offsets])
        await consumer.commit({TopicPartition(*tp): offset for tp, offset in offsets.items()})
    finally:
        await consumer.stop()


async def _metric(worker: Worker, name: str) -> dict[str, float]:
    """The values of a metric by topic."""
    text = (await worker.get("/metrics"))[1]
    return {topic: float(n) for topic, n in re.findall(rf'^{name}\{{topic="(\S+)"\}} (\S+)$', text, re.MULTILINE)}


async def test_what_became_of_sources_while_no_worker_ran_is_told_apart_counted_and_nothing_is_applied_twice(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, checkpoint_interval_ms=300)
    clicks, searches, purchases = settings.source_topics
    events = _events()
    # Clicks are few at first and many after: the new topic reaches beyond what was read of the former.
    before, unread, after = events[:1_000], events[1_000:2_000], events[2_000:]
    await fill(settings, before)
    with running(settings, tmp_path / "worker.log") as worker:
        await until_committed(settings, worker)
        assert await worker.stop() == 0, worker.said()
    applied, stood = await sent(settings), await committed(settings)
    await fill(settings, unread)
    clicks_gone = sum(event.topic == "clicks" for event in unread)

    async with _admin(settings) as admin:
        begins = await _delete_all_records(admin, settings, searches)
        await admin.delete_topics([clicks])
        await _make(admin, settings, clicks)
        await _set_offsets(settings, {tp: 1 for tp in stood if tp[0] == purchases})
    lost = begins - sum(at for tp, at in stood.items() if tp[0] == searches)
    assert lost > 0 and clicks_gone > 0
    await fill(settings, after)

    with running(settings, tmp_path / "worker.log") as worker:
        await until_committed(settings, worker)
        of_each = await _metric(worker, "behaviour_lost_records_total")
        assert await worker.stop() == 0, worker.said()
        said = worker.said()
    assert of_each == {clicks: 0, searches: lost, purchases: 0}
    for tp, at in stood.items():
        where = re.escape(f"{tp[0]}[{tp[1]}]")
        expected = {
            clicks: rf"ERROR .*{where} was deleted and made anew: what it had from offset {at} on is gone, uncounted; "
            "reading it from 0, as generation 1",
            searches: rf"ERROR .*{where} lost some to its retention; \d+ records, offsets {at} to \d+, were deleted",
            purchases: rf"WARNING .*{where} has offset 1 committed by its group; its rows stand at {at}",
        }[tp[0]]
        if tp[0] != purchases or at != 1:
            assert re.search(expected, said), (expected, said)

    counts = await counted(settings)
    assert sum(counts.values()) == EVENTS - lost - clicks_gone
    # What there was before, and every event that is there now, once: searches of before are deleted by now.
    now = await sent(settings)
    for user, n in counts.items():
        assert max(applied[user], now[user]) <= n <= applied[user] + now[user]
    ids = await scored(settings)
    assert len(ids) == sum(counts.values()), "an id that comes twice is not told from a repeat"
    assert set(ids.values()) == {1}
    assert {source.rsplit("-", 2)[0] for source in ids} == {clicks, f"{clicks}~1", searches, purchases}


async def test_a_worker_at_work_notices_begins_anew_and_waits_for_a_topic_that_is_gone(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, checkpoint_interval_ms=300)
    clicks, searches, _ = settings.source_topics
    events = _events()
    with running(settings, tmp_path / "worker.log") as worker:
        pid = worker.process.pid
        await fill(settings, events[:2_000])
        await until_committed(settings, worker)
        stood = await committed(settings)

        os.kill(pid, signal.SIGSTOP)  # for longer than the records are kept
        await fill(settings, events[2_000:3_000])
        async with _admin(settings) as admin:
            lost = await _delete_all_records(admin, settings, searches)
        lost -= sum(at for tp, at in stood.items() if tp[0] == searches)
        await fill(settings, events[3_000:4_000])
        os.kill(pid, signal.SIGCONT)
        await worker.wait_for(rf"{searches}\[\d\] lost some to its retention", secs=GONE_SECS)
        await until_committed(settings, worker, secs=GONE_SECS)
        assert lost > 0 and await _metric(worker, "behaviour_lost_records_total") == {
            topic: lost if topic == searches else 0 for topic in settings.source_topics
        }

        async with _admin(settings) as admin:
            await admin.delete_topics([clicks])
            await worker.wait_for(rf"{clicks}: missing; waiting, 0 s so far", secs=GONE_SECS)
            status, health = await worker.get("/healthz")
            assert status == 503 and f"{clicks}: missing" in health
            await _make(admin, settings, clicks)
        await fill(settings, events[4_000:])
        await worker.wait_for(rf"{clicks}\[0\] was deleted and made anew", secs=GONE_SECS)
        await until_committed(settings, worker, secs=GONE_SECS)
        assert (await worker.get("/healthz"))[0] == 200
        assert worker.process.pid == pid and await worker.stop() == 0, worker.said()
        assert "Traceback" not in worker.said()
    assert sum((await counted(settings)).values()) == EVENTS - lost
    ids = await scored(settings)
    assert len(ids) == EVENTS - lost
