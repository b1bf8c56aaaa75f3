"""A worker has its state again, whatever became of its disk: lost, damaged, left by a kill, or of a former format."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from aiokafka import AIOKafkaProducer

from stream import rows
from stream.kafka.store import RowStore
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.bench.filling import fill_changelog
from tests.laws.test_migration import ROW_OF_FORMAT_1
from tests.running import fill, read, restored_rows, running, scores, until_committed

START_MS = 1_700_000_000_000
EVENTS = 3_000


def _shop() -> Iterator[ShopEvent]:
    return simulate(scenario.load(), seed=5, users=300, start_ms=START_MS)


def _view(user: bytes, time_ms: int) -> ShopEvent:
    event = {
        "event_id": f"{user!r}-{time_ms}",
        "event_name": "view_item",
        "event_time": time_ms,
        "user_id": user.decode(),
    }
    return ShopEvent("clicks", user, orjson.dumps(event), time_ms)


def _on_disk(settings: Settings) -> dict[bytes, bytes]:
    """The rows of all users in the local copies of a worker that has stopped."""
    store = RowStore(settings.data_dir)
    store.own(range(settings.partitions))
    found = {key: row for p in range(settings.partitions) for key, row in store.scan(p, None, 1_000_000)}
    store.close()
    return found


async def _run(settings: Settings, log: Path, events: Iterable[ShopEvent]) -> tuple[int, str]:
    """Score these, as a worker that starts on what the last one left -> (rows that it restored, what it said)."""
    await fill(settings, events)
    with running(settings, log) as worker:
        await worker.wait_for("scoring partitions")
        await until_committed(settings, worker)
        _, text = await worker.get("/healthz")
        facts = json.loads(text)
        assert (facts["restoring"], facts["restore_records_left"], facts["restore_secs_left"]) == (False, 0, 0)
        assert await worker.stop() == 0, worker.said()
        return restored_rows(worker), worker.said()


async def test_a_disk_that_is_lost_or_damaged_is_made_anew_from_the_changelog_and_counting_goes_on(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    log, shop = tmp_path / "worker.log", _shop()
    restored, _ = await _run(settings, log, islice(shop, EVENTS))
    assert restored == 0
    state = _on_disk(settings)

    shutil.rmtree(settings.data_dir)
    restored, _ = await _run(settings, log, [])
    assert restored >= len(state)
    assert _on_disk(settings) == state

    for partition in range(settings.partitions):
        (settings.data_dir / f"users-{partition}.rocksdb" / "CURRENT").write_bytes(b"rubbish")
    restored, said = await _run(settings, log, islice(shop, EVENTS))
    assert restored >= len(state)
    assert len(re.findall(r"users-\d\.rocksdb: cannot be read .* it is made anew from the changelog", said)) == 4
    assert _on_disk(settings).keys() >= state.keys()

    published = await scores(settings, settings.purchase_intent_topic)
    distinct = {(event.key, orjson.loads(event.value)["event_id"]) for event in islice(_shop(), 2 * EVENTS)}
    assert len(published) == len({score["id"] for score in published}) == len(distinct)  # some were sent twice
    by_user: dict[str, list[int]] = {}
    for score in published:
        by_user.setdefault(score["user_id"], []).append(score["events_seen"])
    for user, seen in by_user.items():
        assert sorted(seen) == list(range(1, len(seen) + 1)), user


async def test_a_restore_that_takes_its_time_is_told_by_log_metrics_and_health(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    users = 30_000
    await fill_changelog(settings, users, lambda line: None)
    with running(settings, tmp_path / "stopped.log") as worker:
        await worker.wait_for("restoring partitions")
        assert await worker.stop() == 0, worker.said()
        assert "ERROR" not in worker.said()
    shutil.rmtree(settings.data_dir)
    with running(settings, tmp_path / "worker.log") as worker:
        seen: list[tuple[dict[str, Any], str]] = []
        while "scoring partitions" not in worker.said():
            status, health = await worker.get("/healthz")
            if json.loads(health).get("restoring"):  # not yet said while it waits for its broker
                assert status == 200
                seen.append((json.loads(health), (await worker.get("/metrics"))[1]))
        assert any(0 < health["restore_records_left"] <= 1.1 * users for health, _ in seen)
        assert any(re.search(r"^behaviour_restoring 1\.0$", text, re.MULTILINE) for _, text in seen)
        assert any(re.search(r'^behaviour_restore_left_records\{partition="0"\} [1-9]', text, re.M) for _, text in seen)
        assert re.search(
            r"restoring partitions \[0, 1, 2, 3\]: 30,0\d\d records of the changelog to read", worker.said()
        )
        assert restored_rows(worker) == users + settings.partitions
        assert await worker.stop() == 0, worker.said()


async def test_after_a_kill_only_the_tail_of_the_changelog_is_read(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    log, shop = tmp_path / "worker.log", _shop()
    await _run(settings, log, islice(shop, EVENTS))
    state = _on_disk(settings)
    await fill(settings, islice(shop, 30))
    with running(settings, log) as worker:
        await until_committed(settings, worker)
        worker.kill()  # the rows of these 30 events were in memory alone
    restored, _ = await _run(settings, log, [])
    assert 0 < restored <= 2 * 30 < len(state)  # each checkpoint has a row of its partition too
    with_changelog = {record.key: record.value for record in await read(settings, settings.changelog_topic)}
    del with_changelog[rows.PARTITION_KEY]
    assert _on_disk(settings) == with_changelog


async def test_a_changelog_of_a_former_format_is_scored_on_and_comes_out_in_todays(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    users = [b"user-%d" % i for i in range(40)]
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for user in users:
            await producer.send_and_wait(settings.changelog_topic, ROW_OF_FORMAT_1, key=user)
    had = rows.unpack([ROW_OF_FORMAT_1], rows.Sizes(16, 2, 1, 2))[0]
    # Its users are past offset 44 of the clicks: what comes before is none of theirs.
    others = [_view(b"other-%d" % i, START_MS) for i in range(1_000)]
    await fill(settings, others)
    restored, _ = await _run(settings, tmp_path / "worker.log", [_view(user, START_MS + 90_000) for user in users])
    assert restored == len(users)
    published = {s["user_id"]: s for s in await scores(settings, settings.purchase_intent_topic)}
    assert {published[user.decode()]["events_seen"] for user in users} == {int(had["events_seen"]) + 1}
    written = _on_disk(settings)
    for user in users:
        header = np.frombuffer(written[user], rows.HEADER, count=1)[0]
        assert (header["format"], header["events_seen"]) == (rows.FORMAT, had["events_seen"] + 1)
