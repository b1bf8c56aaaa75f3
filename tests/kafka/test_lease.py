"""A worker that stood still for a session sends nothing that nobody fences."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from stream.errors import FencedError
from stream.kafka.lease import Lease
from stream.kafka.outlets import AtOnce
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from tests.running import read

SESSION_SECS = 1.0


async def test_it_is_over_once_nothing_ran_for_most_of_a_session_and_stays_so_until_it_is_renewed() -> None:
    lease = Lease(SESSION_SECS)
    lease.renew()
    await asyncio.sleep(1.2 * SESSION_SECS)  # idle, but it runs
    assert not lease.is_over()
    time.sleep(0.5 * SESSION_SECS)  # noqa: ASYNC251 - the point: nothing runs
    assert not lease.is_over()
    time.sleep(0.9 * SESSION_SECS)  # noqa: ASYNC251
    assert lease.is_over()
    await asyncio.sleep(0.1)
    assert lease.is_over()
    lease.renew()
    assert not lease.is_over()
    await lease.end()


async def test_whoever_wakes_first_it_is_noticed() -> None:
    lease = Lease(SESSION_SECS)
    lease.renew()
    await asyncio.sleep(0.1)
    time.sleep(0.9 * SESSION_SECS)  # noqa: ASYNC251
    await asyncio.sleep(0.1)  # its own beat is the first to run
    assert lease.is_over()
    await lease.end()


@pytest.mark.broker
async def test_scores_are_sent_until_it_is_over_and_again_once_partitions_were_taken_on(
    settings: Settings, topics: list[TopicReport]
) -> None:
    outlets = AtOnce(msgspec.structs.replace(settings, session_timeout_ms=int(1000 * SESSION_SECS)))
    topic = settings.anomaly_scores_topic

    async def send(value: bytes) -> None:
        batch = outlets.create_batch()
        batch.append(key=b"u", value=value, timestamp=None)
        batch.close()
        await (await outlets.send(topic, 0, batch))

    await outlets.start()
    await send(b"before")
    time.sleep(0.9 * SESSION_SECS)  # noqa: ASYNC251
    with pytest.raises(FencedError, match="nothing ran here for most of a session"):
        await send(b"asleep")
    await outlets.start()
    await send(b"after")
    await outlets.stop()
    assert [record.value for record in await read(settings, topic)] == [b"before", b"after"]
