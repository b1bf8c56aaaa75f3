"""State that cannot be trusted ends the worker with its own exit code, and nothing is committed past it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.shop_event import ShopEvent
from tests.running import committed, fill, running

TIME_MS = 1_700_000_000_000


async def test_a_row_of_an_unknown_format_ends_the_worker_with_code_4_and_commits_nothing(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    event = {"event_id": "e1", "event_name": "view_item", "event_time": TIME_MS, "user_id": "u1"}
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for partition in range(settings.partitions):  # as a newer version would have written it
            await producer.send_and_wait(settings.changelog_topic, b"\x09" * 100, key=b"u1", partition=partition)
    await fill(settings, [ShopEvent("clicks", b"u1", orjson.dumps(event), TIME_MS)])
    with running(settings, tmp_path / "worker.log") as worker:
        assert await asyncio.to_thread(worker.process.wait, 60) == 4, worker.said()
        assert "row: expected format 2 or older, got 9; a newer version wrote it" in worker.said().splitlines()[-1]
    assert await committed(settings) == {}
