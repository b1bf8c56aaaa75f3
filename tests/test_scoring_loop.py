"""The one loop, with collaborators that fail: what was taken and not applied is never committed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from faust.types.tuples import TP

from stream import decode
from stream.assembly import assemble
from stream.changing.offered import Offered
from stream.decode import TimeBounds
from stream.encode import Scored
from stream.erasures import ERASURES
from stream.errors import StateError
from stream.events import SOURCES, EventBatch, Frame, Reject
from stream.intake import Intake
from stream.kafka.checkpoint import Checkpointer
from stream.kafka.publisher import Batch, Publisher
from stream.kafka.store import RowStore
from stream.merge import Source
from stream.metrics import Metrics
from stream.scoring_loop import ScoringLoop
from stream.settings import load
from stream.standing import SourceNow
from tests.models import model_in
from tests.shop import CPU, START_MS, click, no_rows

CLICKS = TP("clicks", 0)


class _Reach:
    """A consumer that has read everything."""

    def at_end(self) -> frozenset[TP]:
        return frozenset(TP(topic, 0) for topic in ("clicks", "searches", "purchases"))

    def delivered(self, tp: TP) -> None: ...

    def lag(self) -> dict[TP, int]:
        return {}

    def read_to(self) -> dict[TP, int]:
        return {}

    async def end(self, tp: TP) -> int:
        return 0

    def set_full(self, full: set[TP]) -> None: ...
    def rejoin(self) -> None: ...


class _Publisher:
    """Sends nothing; fails where told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    def build(self, scored: Scored, rejects: Sequence[Reject], now_ms: int) -> list[Batch]:
        if self.error:
            raise self.error
        return []

    async def send(self, batches: Sequence[Batch]) -> None: ...

    def cut(self, source: int) -> list[asyncio.Future[Any]]:
        return []


class _Checkpointer:
    """Remembers what it was asked to commit."""

    def __init__(self) -> None:
        self.offsets: dict[tuple[str, int], int] = {}

    async def own(self, partitions: set[int]) -> None: ...
    async def close(self) -> None: ...

    def prepare(self, partition: int, rows: Sequence[Any], now_ms: int) -> Sequence[Any]:
        return rows

    async def commit(
        self, partition: int, outputs: Sequence[Any], rows: Sequence[Any], offsets: dict[Any, int]
    ) -> None:
        self.offsets |= {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}


async def _look(partitions: Iterable[int]) -> dict[Source, SourceNow]:
    """Sources that are whole."""
    return {
        (source, partition): SourceNow("id", 0, 1_000, None)
        for source in (*SOURCES, ERASURES)
        for partition in partitions
    }


class _Failing:
    """A pipeline that fails in the middle of a batch, once it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()

    def apply(self, events: EventBatch, lap: Any) -> tuple[Scored, EventBatch]:
        assert self.go_on.wait(10)
        raise StateError("row: expected format 2 or older, got 9")


def _loop(
    tmp_path: Path, scoring: Any, publisher: _Publisher, *, decode_all: Any = decode.decode_all, **flags: object
) -> tuple[ScoringLoop, _Checkpointer]:
    checkpointer = _Checkpointer()
    settings = load(flags, environ={})
    core = assemble(settings, model_in(tmp_path), CPU, no_rows)
    core.kernels = core.kernels._replace(decode_all=decode_all)
    core.pipeline = scoring or core.pipeline
    store = RowStore(tmp_path)
    store.own({0})
    loop = ScoringLoop(
        settings,
        intake=Intake(hold_max_ms=60_000, steps=64),
        core=core,
        offered=Offered(core.model, try_out=lambda model: None, refused=lambda: None),
        publisher=cast(Publisher, publisher),
        checkpointer=cast(Checkpointer, checkpointer),
        store=store,
        metrics=Metrics(),
        reach=_Reach,
        look=_look,
        fail=lambda error: None,
    )
    return loop, checkpointer


async def _run(loop: ScoringLoop) -> None:
    loop.cutover.hear([], whole=True)
    changing = asyncio.create_task(loop.cutover.run())
    try:
        await loop.assigned({0})
        await loop.recovered({0})
        while True:
            if loop._committing.cuts:  # nothing is scored before the partition's row names a model
                break
            await asyncio.sleep(0.01)
        loop.deliver([(CLICKS, [click("u1", START_MS + i, i) for i in range(3)])])
        await loop.run()
    finally:
        changing.cancel()


async def _end(loop: ScoringLoop, running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await loop.close()


async def test_what_was_applied_and_sent_is_committed(tmp_path: Path) -> None:
    loop, checkpointer = _loop(tmp_path, None, _Publisher())
    running = asyncio.create_task(_run(loop))
    while checkpointer.offsets != {("clicks", 0): 3}:
        await asyncio.sleep(0.01)
        assert not running.done()
        await loop.checkpoint()
    assert loop.health()[0]
    await _end(loop, running)


async def test_a_partition_is_committed_when_its_interval_is_over(tmp_path: Path) -> None:
    loop, checkpointer = _loop(tmp_path, None, _Publisher(), checkpoint_interval_ms=300)
    running = asyncio.create_task(_run(loop))
    await asyncio.sleep(0.1)
    assert await loop.checkpoint_due() == {}
    await asyncio.sleep(0.25)
    assert await loop.checkpoint_due() == {CLICKS: 3}
    assert checkpointer.offsets == {("clicks", 0): 3}
    await _end(loop, running)


async def test_a_checkpoint_in_between_or_asked_for_twice_leaves_the_next_one_its_turn(tmp_path: Path) -> None:
    loop, _ = _loop(tmp_path, None, _Publisher(), checkpoint_interval_ms=300)
    running = asyncio.create_task(_run(loop))
    await asyncio.sleep(0.1)
    turn = loop._committing._due_at[0]
    assert await loop.checkpoint() == {CLICKS: 3}
    assert loop._committing._due_at[0] == turn
    await asyncio.sleep(max(0.0, turn - time.monotonic()) + 0.01)
    await asyncio.gather(loop.checkpoint_due(), loop.checkpoint_due())
    assert loop._committing._due_at[0] == turn + 0.3
    await _end(loop, running)


async def test_before_the_first_poll_nothing_is_taken_for_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, _ = _loop(tmp_path, None, _Publisher())
    assert loop.watched.stands() is None
    await loop.assigned({0})
    assert loop.watched.stands() is None  # its rows are not here
    await loop.recovered({0})
    assert loop.watched.stands() == {TopicPartition(topic, 0): 0 for topic in ("clicks", "searches", "purchases")}
    loop.observe()
    assert loop.health()[1]["lag_records"] is None
    monkeypatch.setattr(_Reach, "lag", lambda self: {CLICKS: 0})
    loop.observe()
    assert loop.health()[1]["lag_records"] == 0
    await loop.close()


async def test_a_batch_that_failed_is_not_committed_past(tmp_path: Path) -> None:
    loop, checkpointer = _loop(tmp_path, _Failing(), _Publisher())
    with pytest.raises(StateError, match="got 9"):
        await _run(loop)
    assert await loop.checkpoint() == {}
    assert checkpointer.offsets == {}
    assert not loop.health()[0]
    await loop.close()


async def test_a_checkpoint_that_waits_for_a_batch_does_not_commit_past_its_failure(tmp_path: Path) -> None:
    failing = _Failing()
    failing.go_on.clear()
    loop, checkpointer = _loop(tmp_path, failing, _Publisher())
    running = asyncio.create_task(_run(loop))
    await asyncio.sleep(0.1)  # the batch is in flight
    waiting = asyncio.create_task(loop.checkpoint())
    await asyncio.sleep(0.05)
    failing.go_on.set()
    assert await waiting == {}
    assert checkpointer.offsets == {}
    with pytest.raises(StateError, match="got 9"):
        await running
    await loop.close()


async def test_a_frame_that_could_not_be_decoded_is_not_committed_past(tmp_path: Path) -> None:
    def decode_all(frames: list[Frame], bounds: TimeBounds) -> list[tuple[EventBatch, list[Reject]]]:
        if frames[0].records[0].offset == 0:
            raise MemoryError("no room")
        return decode.decode_all(frames, bounds)

    loop, checkpointer = _loop(tmp_path, None, _Publisher(), decode_all=decode_all)
    running = asyncio.create_task(_run(loop))
    await asyncio.sleep(0.1)
    loop.deliver([(CLICKS, [click("u1", START_MS + i, i) for i in range(3, 6)])])
    await asyncio.sleep(0.1)
    await loop.quiesce()
    assert await loop.checkpoint() == {}
    assert checkpointer.offsets == {}
    await _end(loop, running)


async def test_after_a_failure_no_partition_is_taken_on(tmp_path: Path) -> None:
    loop, _ = _loop(tmp_path, _Failing(), _Publisher())
    with pytest.raises(StateError, match="got 9"):
        await _run(loop)
    with pytest.raises(StateError, match="got 9"):
        await loop.assigned({0})
    await loop.close()


async def test_scores_that_could_not_be_sent_are_not_committed_past(tmp_path: Path) -> None:
    loop, checkpointer = _loop(tmp_path, None, _Publisher(RuntimeError("no room")))
    running = asyncio.create_task(_run(loop))
    await asyncio.sleep(0.3)
    with pytest.raises(RuntimeError, match="no room"):
        await loop.checkpoint()
    assert await loop.checkpoint() == {}
    assert checkpointer.offsets == {}
    await _end(loop, running)


async def test_nothing_is_committed_while_nothing_moved(tmp_path: Path) -> None:
    loop, checkpointer = _loop(tmp_path, None, _Publisher())
    await loop.assigned({0})
    await loop.recovered({0})
    assert await loop.checkpoint() == {}
    assert checkpointer.offsets == {}
    await loop.close()


async def test_a_rebalance_that_never_ends_is_unhealthy_and_one_that_restores_rows_is_not(tmp_path: Path) -> None:
    loop, _ = _loop(tmp_path, None, _Publisher(), health_stall_secs=1)
    await loop.assigned({0})
    loop.restoring()
    loop.observe()
    assert loop.health()[0]
    await asyncio.sleep(1.1)
    loop.observe()  # no lag is known, since nothing is read
    assert not loop.health()[0]
    loop.restoring()
    assert loop.health()[0]
    await loop.close()


async def test_a_worker_that_was_assigned_nothing_is_healthy(tmp_path: Path) -> None:
    loop, _ = _loop(tmp_path, None, _Publisher(), health_stall_secs=1)
    await loop.assigned(set())
    await asyncio.sleep(1.1)
    loop.observe()
    assert loop.health()[0]
    await loop.close()
