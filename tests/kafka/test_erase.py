"""A user who is erased under load: nothing is left of them but what is said to be left, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer

from stream import rows
from stream.kafka.store import RowStore
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.load import Destination, produce
from stream.simulator.simulate import simulate
from stream.traces.asking import ask, until_granted
from stream.traces.looking import look
from stream.traces.receipt import topic_configs
from tests.running import Worker, committed, fill, read, running, scores, until_committed

START_MS = 1_767_225_600_000
# No id is part of another, so that bytes that are found in a file are this user's.
GONE, BACK, BYSTANDER = "erased-for-good", "erased-and-back", "bystander-7f3a"


def _clicks(user: str, n: int, *, since_ms: int = START_MS) -> Iterable[ShopEvent]:
    for i in range(n):
        time_ms = since_ms + i * 1_000
        event = {"event_id": f"{user}-{time_ms}", "event_name": "view_item", "event_time": time_ms, "user_id": user}
        yield ShopEvent("clicks", user.encode(), json.dumps(event).encode(), time_ms)


def _command(settings: Settings, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of `behaviour-stream erase`."""
    topics = (name for name in Settings.__struct_fields__ if name.endswith("_topic") and name != "models_topic")
    names = ("bootstrap_servers", "app_id", *topics)
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "stream.cli", "erase", *arguments, "--json", *flags],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


async def _by_command(settings: Settings, *arguments: str) -> tuple[int, dict[str, Any]]:
    return await asyncio.to_thread(_command, settings, *arguments)


async def _erase(settings: Settings, user: str, *, wait_secs: float = 180) -> Sequence[int]:
    """As the command does -> the partitions in which it is not granted."""
    asked = await ask(settings, user)
    return await until_granted(settings, asked, wait_secs=wait_secs, say=lambda text: None)


async def _is_erased(settings: Settings, user: str) -> bool:
    """As `--check` tells it."""
    return (await look(settings, user, await topic_configs(settings), lambda *_: None)).erased


async def _send(settings: Settings, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
    """Records on partition 0 of the topic of erasures."""
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for key, value in records:
            await producer.send_and_wait(settings.erasures_topic, value, key=key, partition=0)


async def _state(settings: Settings) -> dict[bytes, bytes | None]:
    """The changelog's last value of every user."""
    state = {record.key: record.value for record in await read(settings, settings.changelog_topic)}
    return {key: row for key, row in state.items() if key != rows.PARTITION_KEY}


def _events_seen(row: bytes) -> int:
    return int(np.frombuffer(row, rows.HEADER, count=1)[0]["events_seen"])


def _files_with(word: str, folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def _stored(settings: Settings, key: bytes) -> list[bytes]:
    """The rows of a user in the local copies of a stopped worker."""
    store = RowStore(settings.data_dir)
    store.own(range(settings.partitions))
    try:
        found = [store.fetch(partition, [key])[0] for partition in range(settings.partitions)]
        return [row for row in found if row is not None]
    finally:
        store.close()


async def _numbers(settings: Settings, user: str) -> list[int]:
    """`events_seen` of the user's scores, in their order."""
    return [s["events_seen"] for s in await scores(settings, settings.anomaly_scores_topic) if s["user_id"] == user]


async def test_nothing_of_an_erased_user_is_left_and_nobody_else_notices(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, checkpoint_interval_ms=500)
    for user, n in ((GONE, 40), (BACK, 30), (BYSTANDER, 20)):
        await fill(settings, _clicks(user, n))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        with running(settings, tmp_path / "worker.log") as worker:
            await until_committed(settings, worker)
            before = await _state(settings)
            assert _events_seen(before[GONE.encode()] or b"") == 40
            tasks.create_task(_load(settings, stop))
            code, receipt = await _by_command(settings, GONE)
            assert (code, receipt["granted"], receipt["waiting"]) == (0, True, [])
            assert len(receipt["gone"]) == 3
            assert await _erase(settings, BACK) == []
            await fill(settings, _clicks(BACK, 5, since_ms=START_MS + 10_000_000))
            stop.set()
            await until_committed(settings, worker)
            await _until_metric(worker, r"behaviour_erasures_waiting 0\.0")
            await _until_metric(worker, r"behaviour_erasures_total 8\.0")  # one in each partition
            assert await worker.stop() == 0, worker.said()
    assert not {GONE, BACK} & set(re.findall(r"[\w-]+", worker.said()))  # its log names nobody

    after = await _state(settings)
    assert after[GONE.encode()] is None
    assert _events_seen(after[BACK.encode()] or b"") == 5
    assert after[BYSTANDER.encode()] == before[BYSTANDER.encode()]
    assert await _numbers(settings, BACK) == [*range(1, 31), *range(1, 6)]
    assert _stored(settings, GONE.encode()) == []
    assert _files_with(GONE, settings.data_dir) == []
    assert _files_with(BYSTANDER, settings.data_dir)

    code, found = await _by_command(settings, GONE, "--check")
    assert (code, found["erased"]) == (0, True)
    records = {(traces["topic"], traces["what"]): traces for traces in found["traces"]}
    assert records[settings.clicks_topic, "events"]["records"] == 40
    assert records[settings.anomaly_scores_topic, "scores"]["records"] == 40
    assert records[settings.erasures_topic, "requests: the id"]["records"] == 4
    assert records[settings.changelog_topic, "deletions of them: the id"]["records"] == 1
    assert records[settings.dead_letters_topic, "records that were refused"]["records"] == 0
    assert not await _is_erased(settings, BYSTANDER)

    shutil.rmtree(settings.data_dir)  # a lost disk
    with running(settings, tmp_path / "worker.log") as worker:
        await worker.wait_for(r"scoring partitions")
        await fill(settings, _clicks(GONE, 2, since_ms=START_MS + 20_000_000))
        await until_committed(settings, worker)
        assert await worker.stop() == 0, worker.said()
    assert (await _numbers(settings, GONE))[-2:] == [1, 2]
    assert [_events_seen(row) for row in _stored(settings, BYSTANDER.encode())] == [20]


async def _load(settings: Settings, stop: asyncio.Event) -> None:
    destination = Destination(
        settings.bootstrap_servers, dict(zip(("clicks", "searches", "purchases"), settings.source_topics, strict=True))
    )
    await produce(
        simulate(scenario.load(), seed=5, users=500, start_ms=START_MS), destination, rate_per_sec=500, stop=stop
    )


async def _until_granted(settings: Settings, worker: Worker, n: int, *, secs: float = 120) -> None:
    """Wait until n records of partition 0 of the topic of erasures are committed past."""
    deadline = time.monotonic() + secs
    while (await committed(settings)).get((settings.erasures_topic, 0), 0) < n:
        assert worker.process.poll() is None, worker.said()
        assert time.monotonic() < deadline, worker.said()
        await asyncio.sleep(0.1)


async def _until_metric(worker: Worker, sample: str) -> None:
    """Wait until it shows a sample that matches: gauges are set at intervals."""
    deadline = time.monotonic() + 60
    while not re.search(f"^{sample}$", (await worker.get("/metrics"))[1], re.MULTILINE):
        assert time.monotonic() < deadline, worker.said()
        await asyncio.sleep(0.1)


async def test_a_request_outlives_whoever_was_to_grant_it(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    """Killed with the request in hand; then handed over to a worker that joins."""
    settings = msgspec.structs.replace(settings, guarantee="exactly_once")
    await fill(settings, [*_clicks(GONE, 9), *_clicks(BYSTANDER, 9)])
    users = {key: next(r.partition for r in await read(settings, settings.clicks_topic) if r.key == key.encode())
             for key in (GONE, BYSTANDER)}  # fmt: skip
    never = {"checkpoint_interval_ms": 600_000, "transaction_timeout_ms": 900_000}
    busy = msgspec.structs.replace(settings, data_dir=tmp_path / "busy", **never)
    with running(busy, tmp_path / "busy.log") as worker:  # it never comes to a checkpoint
        await worker.wait_for(r"scoring partitions")
        assert users[GONE] in await _erase(settings, GONE, wait_secs=0)
        await _until_metric(worker, r"behaviour_erasures_waiting [1-9].*")
        worker.kill()
    first, second = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("first", "second"))
    with running(first, tmp_path / "first.log") as worker:
        await worker.wait_for(r"scoring partitions \[0, 1, 2, 3\]")
        with running(second, tmp_path / "second.log") as joining:
            erasing = asyncio.create_task(_erase(settings, BYSTANDER))
            await joining.wait_for(r"scoring partitions \[\d, \d\]")
            assert await erasing == []
            assert await joining.stop() == 0, joining.said()
        assert await worker.stop() == 0, worker.said()
    state = await _state(settings)
    assert [state[user.encode()] for user in (GONE, BYSTANDER)] == [None, None]
    assert [await _is_erased(settings, user) for user in (GONE, BYSTANDER)] == [True, True]


async def test_what_is_no_request_goes_to_dead_letters_and_holds_up_nobody(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    bad: list[tuple[bytes | None, bytes | None]] = [
        (None, b'{"user_id": "a"}'),
        (b"\xff\xfe", None),
        (b"a", b'{"user_id": "b"}'),
        (b"a", b"no JSON"),
        (b"a", b'{"user_id": 7}'),
        (b"a" * 300, None),
    ]
    settings = msgspec.structs.replace(settings, guarantee="exactly_once")
    with running(settings, tmp_path / "worker.log") as worker:
        await worker.wait_for(r"scoring partitions")
        await _send(
            settings, [(b"never seen", None), *bad, (b"never seen", b"{}"), (b"a", b'{"user_id": "a", "x": 1}')]
        )
        await _until_granted(settings, worker, len(bad) + 3)
        assert await worker.stop() == 0, worker.said()
    letters = await scores(settings, settings.dead_letters_topic)
    assert [letter["reason"] for letter in letters] == [
        "schema", "schema", "key_mismatch", "not_json", "schema", "schema",
    ]  # fmt: skip
    assert [letter["offset"] for letter in letters] == list(range(1, len(bad) + 1))
    assert {(letter["topic"], letter["stage"]) for letter in letters} == {(settings.erasures_topic, "erasure")}
    assert letters[2]["error"] == (
        f"{settings.erasures_topic}[0]@3: expected the user of the key, got 'b' - at $.user_id; sent to dead letters"
    )
    assert await _state(settings) == {}


async def test_expired_users_are_deleted_from_the_changelog_and_the_disk(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(
        settings, user_expiry_days=1, event_time_max_behind_ms=43_200_000, checkpoint_interval_ms=200
    )
    shoppers = list(islice(simulate(scenario.load(), seed=9, users=60, start_ms=START_MS), 2_000))
    keys = {event.key for event in shoppers}
    await fill(settings, shoppers)
    day_ms = 86_400_000
    with running(settings, tmp_path / "worker.log") as worker:
        await until_committed(settings, worker)
        assert {key for key, row in (await _state(settings)).items() if row} <= keys
        # Only once every source has gone on by more than a day can nobody's next event be within it.
        later_ms = START_MS + 60 * day_ms
        for day in range(4):
            await fill(settings, _everywhere(later_ms + day * day_ms // 24))
            await until_committed(settings, worker)
        metrics = (await worker.get("/metrics"))[1]
        assert await worker.stop() == 0, worker.said()
    state = await _state(settings)
    assert {key for key, row in state.items() if row is not None} == {key for key in state if key.startswith(b"later-")}
    assert keys <= state.keys()
    assert all(_stored(settings, key) == [] for key in sorted(keys)[:5])
    found = re.search(r'^behaviour_users_expired_total\{outcome="deleted"\} (\S+)$', metrics, re.MULTILINE)
    assert found and float(found[1]) == len(keys)


def _everywhere(time_ms: int) -> Iterable[ShopEvent]:
    """An event of a new user in every partition of every source, as far as 40 users reach."""
    names = {"clicks": "view_item", "searches": "search", "purchases": "purchase"}
    for topic, name in names.items():
        for i in range(40):
            user = f"later-{i}"
            event = {"event_id": f"{topic}-{time_ms}-{i}", "event_name": name, "event_time": time_ms, "user_id": user}
            yield ShopEvent(topic, user.encode(), json.dumps(event).encode(), time_ms)  # type: ignore[arg-type]
