"""The subscriber that teams copy: of each id the first score, through kills and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.examples.keep_first import batches, connect, keep, run
from stream.kafka.embedded import EmbeddedBroker

PARTITIONS = 3
TIMEOUT_SECS = 60.0


class KilledError(Exception):
    """Stands for a kill at the place where it is raised."""


@pytest.fixture
async def topic(broker: EmbeddedBroker) -> str:
    """A new one; the group is called the same."""
    name = f"scores-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    finally:
        await admin.close()
    return name


def value(number: int, intent: float) -> bytes:
    """The score of event `number`, as the worker writes it, less what the subscriber does not read."""
    score = {
        "id": f"clicks-0-{number}-m",
        "user_id": "u",
        "events_seen": number + 1,
        "purchase_intent": {"30m": intent},
    }
    return json.dumps(score).encode()


async def publish(broker: EmbeddedBroker, topic: str, scores: Iterable[tuple[int, float]], pause: float = 0) -> None:
    """A number's scores all go to one partition, in order, as from the worker."""
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, enable_idempotence=True) as producer:
        for number, intent in scores:
            await producer.send(topic, value(number, intent), partition=number % PARTITIONS)
            await asyncio.sleep(pause)


def kept(db: sqlite3.Connection) -> dict[int, float]:
    """Number -> the score that was kept; fails where an id was kept twice."""
    rows = [json.loads(text) for (text,) in db.execute("SELECT score FROM scores")]
    found = {row["events_seen"] - 1: row["purchase_intent"]["30m"] for row in rows}
    assert len(found) == len(rows)
    return found


async def kept_are(db: sqlite3.Connection, count: int) -> None:
    """Wait until so many are kept."""
    deadline = time.monotonic() + TIMEOUT_SECS
    while len(kept(db)) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def keep_until(db: sqlite3.Connection, broker: EmbeddedBroker, topic: str, count: int) -> None:
    """Run the subscriber until so many are kept, and it has had the time to keep more."""
    running = asyncio.create_task(run(db, broker.bootstrap_servers, topic, topic, None))
    await kept_are(db, count)
    await asyncio.sleep(0.5)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_of_scores_with_the_same_id_the_first_is_kept(broker: EmbeddedBroker, topic: str, tmp_path: Path) -> None:
    first = [(number, 0.25) for number in range(100)]
    again = [(number, 0.75) for number in range(40, 160)]
    await publish(broker, topic, [*first, *again])
    with contextlib.closing(connect(str(tmp_path / "db"))) as db:
        await keep_until(db, broker, topic, 160)
        assert kept(db) == {number: 0.25 if number < 100 else 0.75 for number in range(160)}


async def test_a_kill_before_or_after_its_own_commit_loses_nothing_and_keeps_nothing_twice(
    broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    servers = broker.bootstrap_servers
    with contextlib.closing(connect(str(tmp_path / "db"))) as db:
        await publish(broker, topic, [(number, 0.25) for number in range(100)])
        for is_kept in (False, True, True):
            with pytest.raises(KilledError):
                async with contextlib.aclosing(batches(servers, topic, topic)) as source:
                    async for records in source:
                        if is_kept:
                            keep(db, records)
                        raise KilledError
        assert 0 < len(kept(db)) <= 100
        await publish(broker, topic, [(number, 0.75) for number in range(50, 200)])
        await keep_until(db, broker, topic, 200)
        assert kept(db) == {number: 0.25 if number < 100 else 0.75 for number in range(200)}


async def test_a_restart_goes_on_where_it_stopped(broker: EmbeddedBroker, topic: str, tmp_path: Path) -> None:
    await publish(broker, topic, [(number, 0.25) for number in range(100)])
    with contextlib.closing(connect(str(tmp_path / "db"))) as db:
        await keep_until(db, broker, topic, 100)
    await publish(broker, topic, [(100, 0.75)])
    with contextlib.closing(connect(str(tmp_path / "other"))) as db:  # sees what Kafka gives it the second time
        await keep_until(db, broker, topic, 1)
        assert kept(db) == {100: 0.75}


async def test_sigkill_of_the_program_at_work_is_not_seen_in_what_it_kept(
    broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    flags = [f"--bootstrap-servers={broker.bootstrap_servers}", f"--topic={topic}", f"--group={topic}"]
    command = [sys.executable, "-m", "stream.examples.keep_first", f"--db={tmp_path / 'db'}", *flags]
    with contextlib.closing(connect(str(tmp_path / "db"))) as db:
        for part in range(3):
            numbers = range(500 * part, 500 * (part + 1))
            program = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
            # Every id twice, over some seconds; the program starts, is given its partitions and keeps meanwhile.
            await publish(broker, topic, [(n, intent) for n in numbers for intent in (0.25, 0.75)], pause=0.002)
            if part < 2:
                await kept_are(db, numbers.start + 50)
                program.kill()
                assert await program.wait() == -signal.SIGKILL
            else:
                await kept_are(db, numbers.stop)
                program.send_signal(signal.SIGINT)
                assert await program.wait() == 0
        assert kept(db) == dict.fromkeys(range(1_500), 0.25)


def test_an_id_is_forgotten_with_its_row_after_keep_days(tmp_path: Path) -> None:
    record = SimpleNamespace(value=value(1, 0.5))
    with contextlib.closing(connect(str(tmp_path / "db"))) as db:
        assert keep(db, [record, record], keep_days=1) == 1
        assert keep(db, [record], keep_days=1) == 0
        db.execute("UPDATE scores SET kept_at = kept_at - 86401")
        db.commit()
        assert keep(db, [SimpleNamespace(value=value(2, 0.5))], keep_days=1) == 1
        assert kept(db) == {2: 0.5}
        assert keep(db, [record], keep_days=1) == 1
