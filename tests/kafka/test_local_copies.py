"""Local copies that are brought up to the changelog's end: all of it or its tail, whatever stands at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from stream import rows
from stream.errors import BrokerError, PassingError, StateError
from stream.kafka.changelog import ChangelogReader
from stream.kafka.local_copies import LocalCopies
from stream.kafka.store import RowStore
from stream.kafka.topics import TopicReport
from stream.merge import Position
from stream.restoring import Restoring
from stream.rows import PARTITION_KEY, PartitionRow, Sizes
from stream.settings import Settings

SIZES = Sizes(sequence=8, parts=2, layers=1, hidden=2)
PARTITION_ROW = PartitionRow(positions={0: Position(7, 123)}).to_bytes()
Rows = Mapping[bytes, bytes | None]


def _row(events_seen: int) -> bytes:
    row = rows.new_rows(1, SIZES)
    row["events_seen"] = events_seen
    return rows.to_bytes(row)[0]


def _users(n: int, *, seen: int = 1) -> dict[bytes, bytes]:
    return {b"user-%d" % i: _row(seen) for i in range(n)}


class Copies:
    """Local copies and what was told of them."""

    def __init__(self, settings: Settings) -> None:
        self.store = RowStore(settings.data_dir)
        self.restoring = Restoring()
        self.progress: list[dict[int, int]] = []
        self.restored: list[set[int]] = []
        self.failed: list[BaseException] = []
        self.copies = LocalCopies(
            settings,
            self.store,
            self.restoring,
            on_restored=self._restored,
            on_progress=lambda: self.progress.append(dict(self.restoring.left)),
            fail=self.failed.append,
        )

    async def _restored(self, partitions: set[int]) -> None:
        self.restored.append(partitions)

    async def restore(self, *owned: int) -> None:
        """Own these and no others, and wait for their rows."""
        await self.copies.take(set(owned), set())
        await asyncio.wait_for(self.copies.restored(), 60)
        assert not self.failed

    async def failure(self) -> BaseException:
        await _until(lambda: self.failed)
        return self.failed[0]

    def rows(self, partition: int) -> Rows:
        return dict(self.store.scan(partition, None, 1_000_000))


async def _until(so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not so():  # noqa: ASYNC110 - a condition on state that tells nobody of its changes
            await asyncio.sleep(0.02)


@pytest.fixture
async def copies(settings: Settings, topics: list[TopicReport]) -> AsyncIterator[Copies]:
    copies = Copies(settings)
    yield copies
    await copies.copies.release()
    copies.store.close()


@asynccontextmanager
async def _owner(settings: Settings, partition: int) -> AsyncIterator[AIOKafkaProducer]:
    name = f"{settings.app_id}-p{partition}"
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=name) as producer:
        yield producer


async def _send(producer: AIOKafkaProducer, settings: Settings, partition: int, what: Rows) -> None:
    sent = [
        await producer.send(settings.changelog_topic, row, key=key, partition=partition) for key, row in what.items()
    ]
    await asyncio.gather(*sent)


async def _write(settings: Settings, partition: int, *checkpoints: Rows) -> None:
    """Rows as their owner writes them: a transaction for each checkpoint, with the partition's own row."""
    async with _owner(settings, partition) as producer:
        for checkpoint in checkpoints:
            async with producer.transaction():
                await _send(producer, settings, partition, {PARTITION_KEY: PARTITION_ROW, **checkpoint})


async def test_an_empty_disk_is_filled_with_the_last_row_of_every_user(settings: Settings, copies: Copies) -> None:
    first, second = _users(300), _users(200, seen=2)
    await _write(settings, 1, first, second | {b"user-7": None}, {})
    await _write(settings, 2, {b"another": _row(5)})
    await copies.restore(0, 1, 2)
    expected = first | second
    del expected[b"user-7"]
    assert copies.rows(1) == expected
    assert copies.rows(2) == {b"another": _row(5)}
    assert copies.rows(0) == {}
    assert copies.store.partition_row(1) == PartitionRow.from_bytes(PARTITION_ROW)
    assert copies.store.partition_row(0) is None
    assert copies.restored == [{0, 1, 2}]


async def test_progress_is_told_from_all_to_nothing(
    settings: Settings, copies: Copies, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stream.kafka.local_copies")
    await _write(settings, 1, _users(6_000), _users(6_000, seen=2))
    await _write(settings, 2, _users(10))
    await copies.restore(1, 2)
    records = 2 * (6_000 + 1 + 1)  # a checkpoint has a row of the partition and ends in a marker
    assert copies.progress[0] == {1: records, 2: 12}
    assert copies.progress[-1] == {1: 0, 2: 0}
    left = [sum(each.values()) for each in copies.progress]
    assert left == sorted(left, reverse=True) and len(left) > 2
    assert copies.restoring.rows == records - 2 + 11  # markers are no rows
    assert not copies.restoring.active
    begin, end = [record.message for record in caplog.records]
    assert begin == "restoring partitions [1, 2]: 12,016 records of the changelog to read"
    assert end.startswith("restored 12,013 rows of partitions [1, 2] in ")


async def test_a_restart_reads_nothing_that_the_disk_has(
    settings: Settings, copies: Copies, caplog: pytest.LogCaptureFixture
) -> None:
    await _write(settings, 1, _users(50))
    await copies.restore(1)
    await _write(settings, 1, {b"user-3": _row(9), b"new": _row(1)})
    again = Copies(settings)
    copies.store.close()
    await again.restore(1)
    assert again.restoring.rows == 3  # with the row of the partition
    assert again.rows(1) == _users(50) | {b"user-3": _row(9), b"new": _row(1)}
    await again.restore(1)
    assert (again.restoring.rows, again.progress[-1]) == (0, {1: 0})
    again.store.close()


async def test_what_was_aborted_or_never_ended_is_not_restored(settings: Settings, copies: Copies) -> None:
    await _write(settings, 1, _users(20))
    async with _owner(settings, 1) as producer:
        await producer.begin_transaction()
        await _send(producer, settings, 1, _users(20, seen=99))
        await producer.abort_transaction()
    async with _owner(settings, 1) as dying:
        await dying.begin_transaction()
        await _send(dying, settings, 1, _users(20, seen=77))
        async with _owner(settings, 1):  # who takes over fences it, and that aborts it
            await copies.restore(1)
            assert copies.rows(1) == _users(20)
        await _write(settings, 1, {b"user-0": _row(3)})
        await copies.restore(1)
        assert copies.rows(1) == _users(20) | {b"user-0": _row(3)}


async def test_a_copy_that_reaches_past_the_end_is_of_another_changelog_and_is_made_anew(
    settings: Settings, copies: Copies, caplog: pytest.LogCaptureFixture
) -> None:
    copies.store.own([1])
    copies.store.write(1, [(b"of the former", b"row")], 5_000)
    await _write(settings, 1, _users(3))
    await copies.restore(1)
    assert copies.rows(1) == _users(3)
    assert f"reaches up to offset 5000, but {settings.changelog_topic} ends at 5: " in caplog.text


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (b"u1", b"\x09" * 100, "row: expected format 2 or older, got 9; a newer version wrote it"),
        (b"u1", b"", "row: expected at least 68 bytes, got 0"),
        (b"u1", b"\x02" * 20, "row: expected at least 68 bytes, got 20"),
        (
            PARTITION_KEY,
            b'{"format":7,"positions":{}}',
            "row of a partition: expected format 2 or older, got 7; a newer",
        ),
    ],
)
async def test_a_row_that_cannot_be_read_ends_the_restore_and_is_named(
    settings: Settings, copies: Copies, key: bytes, value: bytes, expected: str
) -> None:
    await _write(settings, 2, _users(1), {key: value} | _users(1))
    await copies.copies.take({1, 2}, set())
    error = await copies.failure()
    assert isinstance(error, StateError)
    offset = 3 if key == PARTITION_KEY else 4
    assert str(error).startswith(f"changelog, partition 2@{offset}, key {key!r}: {expected}")
    assert not copies.restored
    with pytest.raises(TimeoutError):  # the sources stay where they are
        await asyncio.wait_for(copies.copies.restored(), 0.2)


@pytest.mark.parametrize(("owned", "standby"), [({1}, set()), (set(), {1})])
async def test_a_disk_that_cannot_be_written_ends_a_restore_and_a_standby(
    settings: Settings, copies: Copies, monkeypatch: pytest.MonkeyPatch, owned: set[int], standby: set[int]
) -> None:
    def full(*arguments: Any) -> None:
        raise PassingError("cannot be written (No space left on device)")

    await _write(settings, 1, _users(10))
    monkeypatch.setattr(copies.store, "apply", full)
    await copies.copies.take(owned, standby)
    assert str(await copies.failure()) == "cannot be written (No space left on device)"
    assert copies.restored == ([] if owned else [set()])


async def test_a_restore_that_is_interrupted_by_a_rebalance_goes_on_from_where_it_came(
    settings: Settings, copies: Copies
) -> None:
    checkpoints = [_users(3_000, seen=seen) for seen in range(1, 6)]
    await _write(settings, 1, *checkpoints)
    await copies.copies.take({1}, set())
    await _until(lambda: len(copies.store.scan(1, None, 1_000)) == 1_000)
    await copies.copies.release()
    had = copies.store.changelog_offset(1)
    assert had is not None and had < 15_000
    assert not copies.restored and not copies.restoring.active
    await copies.restore(1)
    assert copies.rows(1) == checkpoints[-1]
    assert copies.progress[-1] == {1: 0}
    assert 0 < copies.restoring.rows < 5 * 3_001


async def test_a_broker_that_is_away_is_waited_for_and_that_is_said(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    copies = Copies(msgspec.structs.replace(settings, bootstrap_servers="127.0.0.1:1"))
    await copies.copies.take({1}, set())
    await _until(lambda: "restoring: the broker does not answer, or refuses (KafkaConnectionError" in caplog.text)
    await copies.copies.release()
    assert not copies.restored and not copies.failed
    copies.store.close()


async def test_what_went_elsewhere_long_ago_is_deleted(
    settings: Settings, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    await copies.restore(0, 1)
    await copies.restore(0)
    await copies.copies.tidy()
    assert (settings.data_dir / "users-1.rocksdb").exists()
    monkeypatch.setattr(copies.store, "take_left", lambda take=copies.store.take_left: take(0.0))
    await copies.copies.tidy()
    assert [path.name for path in settings.data_dir.glob("users-*")] == ["users-0.rocksdb"]


async def test_an_assignment_that_comes_while_it_stops_opens_nothing(settings: Settings, copies: Copies) -> None:
    await copies.restore(1)
    await copies.copies.close()
    copies.store.close()
    await copies.copies.take({1}, {2})
    with pytest.raises(StateError):
        copies.store.changelog_offset(1)
    assert not copies.failed


async def test_a_standby_has_what_its_owner_writes_and_takes_over_with_nothing_to_read(
    settings: Settings, copies: Copies
) -> None:
    await _write(settings, 1, _users(100))
    await _write(settings, 2, _users(5))
    await copies.copies.take({2}, {1})
    await asyncio.wait_for(copies.copies.restored(), 60)  # of what it owns: a standby is waited for by nobody
    await _until(lambda: copies.rows(1) == _users(100))
    await _write(settings, 1, {b"user-0": _row(2), b"user-1": None})
    expected = _users(100) | {b"user-0": _row(2)}
    del expected[b"user-1"]
    await _until(lambda: copies.rows(1) == expected)
    await _until(lambda: copies.copies.standby_lag == {1: 0})
    await copies.restore(1, 2)
    assert copies.restoring.rows == 0
    assert copies.rows(1) == expected
    assert copies.copies.standby_lag == {}


async def test_a_standby_that_loses_its_partition_and_gets_it_back_has_no_hole(
    settings: Settings, copies: Copies
) -> None:
    expected: dict[bytes, bytes] = {}
    for turn in range(6):
        rows_now = {b"user-%d" % turn: _row(turn + 1), b"all": _row(turn + 1)}
        expected.update(rows_now)
        standby = {1} if turn % 2 else set()
        await copies.copies.take(set(), standby)
        await _write(settings, 1, rows_now)
        if standby:
            await _until(lambda: copies.rows(1) == expected)
    await copies.restore(1)
    assert copies.rows(1) == expected


async def test_a_standby_with_a_row_that_cannot_be_read_stops_and_its_worker_goes_on(
    settings: Settings, copies: Copies, caplog: pytest.LogCaptureFixture
) -> None:
    await _write(settings, 1, {b"u1": b"\x09" * 100})
    await copies.copies.take({2}, {1})
    await asyncio.wait_for(copies.copies.restored(), 60)
    await _until(lambda: "no longer standing by: changelog, partition 1@1, key b'u1': row: exp" in caplog.text)
    assert not copies.failed
    await copies.copies.take({1, 2}, set())
    assert "key b'u1'" in str(await copies.failure())


async def test_a_changelog_that_may_not_be_read_is_said_and_not_asked_for_again(
    settings: Settings, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(self: ChangelogReader) -> None:
        raise TopicAuthorizationFailedError

    monkeypatch.setattr(ChangelogReader, "read", refused)
    await _write(settings, 0, _users(10))
    await copies.copies.take({0}, set())
    error = await copies.failure()
    assert isinstance(error, BrokerError)
    assert str(error).startswith("restoring failed (TopicAuthorizationFailedError")
