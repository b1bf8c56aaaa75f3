"""From requests to what a checkpoint deletes, with a consumer that tells what it is told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types.tuples import TP

from stream import rows as row_format
from stream.decode import decode
from stream.erasing import Erasing
from stream.erasures import ERASURES
from stream.intake import DecodedFrame, Intake
from stream.kafka.store import RowStore
from stream.merge import Position, Source
from stream.metrics import Metrics
from stream.settings import load
from tests.shop import BOUNDS, START_MS, FakeRecord, click, frame, pipeline

ERASE = TP("erasures", 0)
SIZES = row_format.Sizes(sequence=10, parts=2, layers=1, hidden=8)  # of a `pipeline` in tests


class Consumer:
    """Has read all that there is, and knows where the sources end."""

    def __init__(self) -> None:
        self.ends: dict[TP, int | Exception] = {}
        self.at: dict[TP, int] = {}

    def read_to(self) -> dict[TP, int]:
        return self.at

    async def end(self, tp: TP) -> int:
        found = self.ends.get(tp, 0)
        if isinstance(found, Exception):
            raise found
        return found


class Worker:
    """One partition of a worker, without its loop."""

    def __init__(self, folder: Path, **flags: object) -> None:
        self.store, self.consumer = RowStore(folder), Consumer()
        self.store.own([0])
        self.pipeline, self.table = pipeline(max_steps=2, fetch_rows=self.store.fetch)
        self.intake = Intake(hold_max_ms=60_000, steps=2)
        self.intake.start(0, {})
        self.waiting: Counter[Source] = Counter()
        self.broken: list[BaseException] = []
        self.metrics = Metrics()
        self.erasing = Erasing(
            load(flags, {}), intake=self.intake, table=self.table, store=self.store, metrics=self.metrics,
            reach=lambda: self.consumer, waiting=lambda: self.waiting + self.intake.queued() + self.intake.deferred,
            wake=lambda: None, fail=self.broken.append,
        )  # fmt: skip
        self.offset = 0

    def apply(self, *users: str) -> None:
        """A click of each, as far as they have their share of a batch."""
        records = [click(user, START_MS + self.offset + i, self.offset + i) for i, user in enumerate(users)]
        self.offset += len(records)
        if records:
            events, rejects = decode(frame(records), BOUNDS)
            self.intake.put(DecodedFrame(0, 0, self.offset, events, rejects))
        self.intake.absorb()
        outcome = self.pipeline.apply(self.intake.take(100, {(0, 0), (1, 0), (2, 0)}, 0))
        self.intake.defer(outcome.deferred)

    async def ask(self, *keys: bytes, first: int = 0) -> None:
        """Requests, once it is known where the sources end."""
        self.erasing.deliver([(ERASE, [FakeRecord(key, None, first + i, 0) for i, key in enumerate(keys)])])
        await asyncio.wait_for(asyncio.shield(self.erasing._asking[0]), 30)
        assert self.erasing.absorb() == []

    def checkpoint(self) -> dict[int, Position]:
        """Grant, and make durable, what there is -> the positions that it commits."""
        passed = self.erasing.passed(0)
        positions = {source: at for (source, _), at in self.intake.positions().items()}
        self.erasing.grant(0, positions, passed)
        self.store.write(0, self.table.take_changed(0).to_bytes(), self.offset)
        self.table.durable(0)
        self.erasing.committed(0)
        return positions | {source: at for (source, _), at in self.erasing.positions().items()}

    def stored(self, *keys: bytes) -> list[bool]:
        return [row is not None for row in self.store.fetch(0, keys)]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


async def test_a_user_is_gone_from_memory_device_and_store_with_the_checkpoint(worker: Worker, tmp_path: Path) -> None:
    worker.apply("erased-one", "other", "erased-one")
    worker.checkpoint()
    others = worker.store.fetch(0, [b"other"])
    slot = worker.table.slots(np.zeros(1, np.int32), np.array([b"erased-one"], object))
    assert worker.table.gather(slot).any()
    worker.consumer.ends = {TP("clicks", 0): 3}
    await worker.ask(b"erased-one")
    assert worker.checkpoint()[ERASURES] == Position(1)
    assert not worker.table.holds(0, b"erased-one") and worker.table.holds(0, b"other")
    assert not worker.table.gather(slot).any()
    assert row_format.to_bytes(worker.table.rows(slot)) == row_format.to_bytes(row_format.new_rows(1, SIZES))
    assert worker.table._slots.keys[slot[0]] is None
    assert worker.stored(b"erased-one", b"other") == [False, True]
    assert worker.store.fetch(0, [b"other"]) == others
    await worker.erasing.settled()
    assert not _files_with(b"erased-one", tmp_path)
    assert not worker.broken
    worker.apply("erased-one")
    slot = worker.table.slots(np.zeros(1, np.int32), np.array([b"erased-one"], object))
    assert worker.table.events_seen(slot).tolist() == [1]


def _files_with(what: bytes, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and what in path.read_bytes()]


async def test_a_user_never_seen_is_granted_and_leaves_no_deletion_behind(worker: Worker) -> None:
    await worker.ask(b"nobody", b"nobody")
    worker.erasing.grant(0, {}, worker.erasing.passed(0))
    assert len(worker.table.take_changed(0)) == 0
    assert worker.erasing.positions() == {(ERASURES, 0): Position(2)}


async def test_a_user_who_is_in_the_store_alone_is_found_there(worker: Worker) -> None:
    worker.apply("u", "v")
    worker.checkpoint()
    worker.table.clear()
    worker.consumer.ends = {TP("clicks", 0): 2}
    await worker.ask(b"u", b"u")
    worker.checkpoint()
    assert worker.stored(b"u", b"v") == [False, True]


async def test_it_waits_until_what_was_sent_before_is_applied(worker: Worker) -> None:
    worker.apply("u")
    worker.consumer.ends = {TP("clicks", 0): 3}
    await worker.ask(b"u")
    assert worker.checkpoint()[ERASURES] == Position(0)
    assert worker.stored(b"u") == [True]
    worker.apply("v", "u")
    assert worker.checkpoint()[ERASURES] == Position(1)
    assert worker.stored(b"u") == [False]


async def test_a_topic_that_ends_with_the_marker_of_a_transaction_is_read_to_its_end(worker: Worker) -> None:
    worker.apply("u")
    clicks = TP("clicks", 0)
    worker.consumer.ends = {clicks: 2}  # offset 1 is the marker
    await worker.ask(b"u")
    worker.consumer.at = {clicks: 2}
    worker.waiting[0, 0] = 1  # fetched, and not applied yet
    assert worker.checkpoint()[ERASURES] == Position(0)
    worker.waiting.clear()
    assert worker.checkpoint()[ERASURES] == Position(1)


async def test_a_row_stays_while_a_replay_would_bring_one_of_its_events_again(worker: Worker) -> None:
    """Another's events are deferred, so what is committed lies before an event of the user's that is applied."""
    worker.apply(*["bot"] * 9, "u")
    positions = {source: at for (source, _), at in worker.intake.positions().items()}
    assert positions[0].offset < 9
    worker.consumer.ends = {TP("clicks", 0): 2}
    await worker.ask(b"u")
    assert worker.checkpoint()[ERASURES] == Position(0)
    while worker.intake.holds_any():
        assert worker.stored(b"u") == [True]
        worker.apply()
        worker.checkpoint()
    assert worker.checkpoint()[ERASURES] == Position(1)
    assert worker.stored(b"u") == [False]


async def test_a_source_whose_end_nobody_tells_holds_it_up_until_the_limit(tmp_path: Path) -> None:
    worker = Worker(tmp_path, merge_hold_max_ms=1_500)
    worker.apply("u")
    worker.consumer.ends = {TP("purchases", 0): KafkaConnectionError("no leader")}
    asking = asyncio.create_task(worker.ask(b"u"))
    await asyncio.sleep(0.2)
    worker.erasing.absorb()
    assert worker.erasing.positions() == {}
    await asking
    assert worker.checkpoint()[ERASURES] == Position(1)
    assert worker.stored(b"u") == [False]


async def test_requests_of_a_former_assignment_are_forgotten(worker: Worker) -> None:
    worker.apply("u")
    worker.consumer.ends = {TP("clicks", 0): KafkaConnectionError("on its way")}
    worker.erasing.deliver([(ERASE, [FakeRecord(b"u", None, 0, 0)])])
    await asyncio.sleep(0)
    worker.erasing.clear()
    worker.consumer.ends = {TP("clicks", 0): 1}
    await worker.ask(b"v", first=7)
    assert worker.checkpoint()[ERASURES] == Position(8)
    assert worker.stored(b"u") == [True]


async def test_what_cannot_be_compacted_breaks_the_worker(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(partition: int, keys: Sequence[bytes]) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(worker.store, "compact", full)
    worker.apply("u")
    await worker.ask(b"u")
    worker.checkpoint()
    await worker.erasing.settled()
    assert [str(error) for error in worker.broken] == ["No space left on device"]


async def test_no_more_is_fetched_than_waits_to_be_granted(tmp_path: Path) -> None:
    worker = Worker(tmp_path, buffer_max_events=8_192)
    worker.consumer.ends[TP("clicks", 0)] = 1
    await worker.ask(*(b"u%d" % n for n in range(8_191)))
    assert worker.erasing.full() == set()
    await worker.ask(b"u", first=8_191)
    assert worker.erasing.full() == {ERASE}
    worker.apply("somebody")
    worker.checkpoint()
    assert worker.erasing.full() == set()


async def test_requests_of_a_partition_do_not_wait_for_the_leaders_of_another(worker: Worker) -> None:
    worker.consumer.ends[TP("clicks", 1)] = KafkaConnectionError()
    worker.erasing.deliver([(TP("erasures", 1), [FakeRecord(b"far", None, 0, 0)])])
    await worker.ask(b"near")
    assert not worker.erasing._asking[1].done()
    assert worker.erasing._erasures.waiting(0) == 1
    worker.erasing.clear()
