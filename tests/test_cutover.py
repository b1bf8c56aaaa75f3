"""Taking up another model, with collaborators that write down the order of things: what is scored by which model, and
what is committed when.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from faust.types.tuples import TP

from stream import cutover
from stream.assembly import assemble
from stream.changing import announcement
from stream.changing.announcement import Announcement
from stream.changing.offered import Announced, Offered
from stream.cuts import Cut
from stream.encode import Scored
from stream.errors import SettingsError
from stream.events import Reject
from stream.intake import Intake
from stream.kafka.checkpoint import Checkpointer
from stream.kafka.publisher import Batch, Publisher
from stream.kafka.store import RowStore
from stream.merge import Position, Source
from stream.metrics import Metrics
from stream.model_file import LoadedModel
from stream.rows import PARTITION_KEY, PartitionRow
from stream.scoring_loop import ScoringLoop
from stream.settings import load
from stream.standing import SourceNow
from tests.models import model_in
from tests.shop import CPU, START_MS, click, no_rows

CLICKS, SOURCES = "clicks", ("clicks", "searches", "purchases")
ALL_AT_5 = {0: 5, 1: 0, 2: 0}  # clicks; of the others nothing was sent
PATIENCE_SECS = 30.0


class ScoredEvent(NamedTuple):
    """An event of the clicks topic, and who has scored it."""

    model: str
    partition: int
    offset: int


class Committed(NamedTuple):
    """A checkpoint with a cut that was not there before."""

    partition: int
    cut: Cut


class Story:
    """What came to pass, in order."""

    def __init__(self) -> None:
        self.told: list[ScoredEvent | Committed] = []

    def scored(self, partition: int = 0) -> list[tuple[str, int]]:
        return [(e.model, e.offset) for e in self.told if isinstance(e, ScoredEvent) and e.partition == partition]

    def cuts(self, partition: int = 0) -> list[Cut]:
        return [e.cut for e in self.told if isinstance(e, Committed) and e.partition == partition]


class _Publisher:
    def __init__(self, story: Story) -> None:
        self.story = story
        self.model: Callable[[], str] = lambda: ""
        self.heard: Callable[[int], None] = lambda events: None  # how much has come to pass

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    def build(self, scored: Scored, rejects: Sequence[Reject], now_ms: int) -> list[Batch]:
        places = zip(scored.events["partition"].tolist(), scored.events["offset"].tolist(), strict=True)
        self.story.told += [ScoredEvent(self.model(), *place) for place in places]
        self.heard(len(self.story.told))
        return []

    async def send(self, batches: Sequence[Batch]) -> None: ...

    def cut(self, source: int) -> list[asyncio.Future[Any]]:
        return []


class _Checkpointer:
    def __init__(self, story: Story) -> None:
        self.story, self.known = story, dict[int, tuple[Cut, ...]]()
        self.may_commit = asyncio.Event()
        self.may_commit.set()

    async def own(self, partitions: set[int]) -> None: ...
    async def close(self) -> None: ...

    def prepare(self, partition: int, rows: Sequence[Any], now_ms: int) -> Sequence[Any]:
        assert rows[-1][0] == PARTITION_KEY  # where it is found again
        return rows

    async def commit(
        self, partition: int, outputs: Sequence[Any], rows: Sequence[Any], offsets: Mapping[Any, int]
    ) -> None:
        await self.may_commit.wait()
        row = PartitionRow.from_bytes(rows[-1][1])
        if row.cuts != self.known.get(partition, ()):
            self.known[partition] = row.cuts
            self.story.told.append(Committed(partition, row.cuts[-1]))
            assert row.cuts[-1].offsets == {s: at.offset for s, at in row.positions.items() if s < len(SOURCES)}


class _Reach:
    """A consumer that has read everything, of sources that ended there when they were taken over."""

    def __init__(self, ends: Mapping[int, int]) -> None:
        self.ends, self.everything_read = ends, True
        self.stands: dict[int, int] = {}  # how far clicks had been scored, by partition

    def at_end(self) -> frozenset[TP]:
        whole = [(topic, p) for topic in SOURCES for p in range(2) if topic != CLICKS or self.everything_read]
        return frozenset(TP(*place) for place in whole)

    def read_to(self) -> dict[TP, int]:
        return {}

    async def end(self, tp: TP) -> int:
        return 0

    def delivered(self, tp: TP) -> None: ...
    def set_full(self, full: set[TP]) -> None: ...

    def lag(self) -> dict[TP, int]:
        return {}

    def rejoin(self) -> None: ...

    async def look(self, partitions: Iterable[int]) -> dict[Source, SourceNow]:
        """Sources that are whole, and not cut."""
        return {
            (source, p): SourceNow("id", 0, 0 if source else max(self.ends.get(p, 0), self.stands.get(p, 0)), None)
            for source in range(len(SOURCES) + 1)  # and erasures
            for p in partitions
        }


class Worker:
    """A scoring loop that takes one event at a time, and what it is asked."""

    def __init__(self, folder: Path, first: LoadedModel, *, ends: Mapping[int, int], batch_max_events: int) -> None:
        settings = load({"batch_max_events": batch_max_events, "batch_max_steps": 1}, environ={})
        core = assemble(settings, first, CPU, no_rows)
        self.story = Story()
        self.publisher, self.checkpointer = _Publisher(self.story), _Checkpointer(self.story)
        self.publisher.model = lambda: core.model.name
        self.reach, self.store = _Reach(ends), RowStore(folder)
        self.loop = ScoringLoop(
            settings,
            intake=Intake(hold_max_ms=60_000, steps=1),
            core=core,
            offered=Offered(first, try_out=lambda model: None, refused=lambda: None),
            publisher=cast(Publisher, self.publisher),
            checkpointer=cast(Checkpointer, self.checkpointer),
            store=self.store,
            metrics=Metrics(),
            reach=lambda: self.reach,
            look=self.reach.look,
            fail=lambda error: None,
        )

    def restored(self, partition: int, offset: int, *cuts: Cut) -> None:
        """What its row says before it is taken over."""
        self.store.own({0, 1})
        row = PartitionRow(positions={0: Position(offset, START_MS)}, cuts=cuts)
        self.store.write(partition, [(PARTITION_KEY, row.to_bytes())], 1)
        self.checkpointer.known[partition] = cuts
        self.reach.stands[partition] = offset

    async def take_over(self, partitions: set[int]) -> None:
        self.store.own({0, 1})
        await self.loop.assigned(partitions)
        await self.loop.recovered(partitions)

    def announce(self, version: int, model: Announcement) -> None:
        self.loop.cutover.hear([Announced(version, model.to_bytes())], whole=True)

    def send(self, offsets: range, *, partition: int = 0, users: Collection[str] = ("a", "b", "c")) -> None:
        """Clicks of some users, each offset's of one of them."""
        names = list(users)
        records = [click(f"{names[i % len(names)]}-{partition}", START_MS + 1_000 * i, i) for i in offsets]
        self.loop.deliver([(TP(CLICKS, partition), records)])

    async def until(self, done: Callable[[], bool]) -> None:
        for _ in range(3_000):
            if done():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.story.told)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Worker]:
        tasks = [asyncio.create_task(work) for work in (self.loop.run(), self.loop.cutover.run())]
        try:
            yield self
            for task in tasks:
                assert not task.done(), task
        finally:
            for task in tasks:
                task.cancel()
            with suppress(Exception):
                await asyncio.gather(*tasks, return_exceptions=True)
            await self.loop.close()


class Three(NamedTuple):
    """Announcements of models a, b, c, and a worker that begins with a."""

    a: Announcement
    b: Announcement
    c: Announcement
    worker: Callable[..., Worker]


@pytest.fixture
def three(tmp_path: Path) -> Three:
    loaded = [model_in(tmp_path, seed, hidden=hidden) for seed, hidden in enumerate((8, 12, 8))]
    made = [announcement.of_file(str(tmp_path / f"model-{seed}.safetensors"), 0) for seed in range(3)]

    def worker(*, ends: Mapping[int, int] | None = None, batch_max_events: int = 1) -> Worker:
        return Worker(tmp_path / "state", loaded[0], ends=ends or {}, batch_max_events=batch_max_events)

    return Three(made[0], made[1], made[2], worker)


def cut_of(version: int, of: Announcement, changes: int = 0) -> Cut:
    return Cut(version=version, sha256=of.sha256, name=of.name, changes=changes, offsets={})


def assert_cut_between(story: Story, partition: int, former: str, new: str) -> int:
    """All before the last cut is scored by the one, before it is committed; all after it by the other -> its offset."""
    cut = story.cuts(partition)[-1]
    at = cut.offsets.get(0, 0)
    where = story.told.index(Committed(partition, cut))
    for n, event in enumerate(story.told):
        if isinstance(event, ScoredEvent) and event.partition == partition:
            assert (event.model, event.offset < at) == ((former, True) if n < where else (new, False)), event
    return at


async def test_nothing_is_scored_before_a_row_names_the_model(three: Three) -> None:
    async with three.worker().running() as worker:
        await worker.take_over({0})
        worker.send(range(3))
        await asyncio.sleep(0.1)
        assert worker.story.told == []  # what was announced is not known yet
        worker.announce(1, three.b)
        await worker.until(lambda: len(worker.story.scored()) == 3)
        assert [cut.version for cut in worker.story.cuts()] == [1]
        assert worker.story.scored() == [("model-1", 0), ("model-1", 1), ("model-1", 2)]


async def test_a_live_change_scores_what_was_deferred_first_and_commits_before_it_scores(three: Three) -> None:
    async with three.worker(batch_max_events=8).running() as worker:
        worker.loop.cutover.hear([], whole=True)
        await worker.take_over({0, 1})
        deferred: list[int] = []

        def announce_in_between(told: int) -> None:
            if told > 30 and not deferred:
                deferred.append(worker.loop._intake.deferred.total())
                worker.announce(1, three.b)

        worker.publisher.heard = announce_in_between
        # A bot's events are deferred, a step of it at a time, while events of others come behind them.
        worker.send(range(80), users=["bot", "bot", "bot", "bot", "a", "b", "c"])
        worker.send(range(80, 110), users=["bot", "a"])
        worker.send(range(30), partition=1)
        worker.send(range(30, 50), partition=1)
        await worker.until(lambda: len(worker.story.told) >= 160 + 4)
        assert deferred[0] > 0
        for partition, events in ((0, 110), (1, 50)):
            at = assert_cut_between(worker.story, partition, "model-0", "model-1")
            assert at > 0
            assert sorted(offset for _, offset in worker.story.scored(partition)) == list(range(events))
            assert [cut.changes for cut in worker.story.cuts(partition)] == [0, 1]


async def test_back_and_forth(three: Three) -> None:
    async with three.worker().running() as worker:
        worker.loop.cutover.hear([], whole=True)
        await worker.take_over({0})
        for version, (model, name) in enumerate(((three.b, "model-1"), (three.a, "model-0"), (three.c, "model-2")), 1):
            worker.send(range(10 * version - 10, 10 * version))
            await worker.until(lambda version=version: len(worker.story.scored()) == 10 * version)  # type: ignore[misc]
            worker.announce(version, model)
            await worker.until(lambda version=version: worker.story.cuts()[-1].version == version)  # type: ignore[misc]
            assert worker.story.cuts()[-1].offsets[0] == 10 * version
            assert worker.story.cuts()[-1].name == name
        worker.send(range(30, 40))
        await worker.until(lambda: len(worker.story.scored()) == 40)
        names = [model for model, _ in worker.story.scored()]
        assert names == [name for name in ("model-0", "model-1", "model-0", "model-2") for _ in range(10)]
        assert [cut.changes for cut in worker.story.cuts()] == [0, 1, 2, 3]


async def test_what_a_former_owner_may_have_published_is_scored_by_the_former_model_again(three: Three) -> None:
    worker = three.worker(ends={0: 7})
    worker.restored(0, 3, cut_of(0, three.a))
    worker.reach.everything_read = False
    async with worker.running():
        worker.announce(1, three.b)
        await worker.take_over({0})
        worker.send(range(3, 5))
        await worker.until(lambda: len(worker.story.scored()) == 2)
        await asyncio.sleep(0.1)
        assert worker.story.cuts() == []  # events 5 and 6 may be published
        worker.send(range(5, 12))
        await worker.until(lambda: len(worker.story.scored()) == 9 and bool(worker.story.cuts()))
        assert assert_cut_between(worker.story, 0, "model-0", "model-1") >= 7


async def test_a_source_that_is_read_to_its_end_has_nothing_more_that_was_published(three: Three) -> None:
    worker = three.worker(ends={0: 7})  # its last records are no events, or were deleted
    worker.restored(0, 5, cut_of(0, three.a))
    async with worker.running():
        worker.announce(1, three.b)
        await worker.take_over({0})
        await worker.until(lambda: len(worker.story.cuts()) == 1)
        worker.send(range(7, 9))
        await worker.until(lambda: worker.story.scored() == [("model-1", 7), ("model-1", 8)])


async def test_of_partitions_of_two_models_the_newer_waits_until_the_older_is_cut(three: Three) -> None:
    worker = three.worker(ends={0: 6, 1: 6})
    worker.restored(0, 2, cut_of(0, three.a))
    worker.restored(1, 2, cut_of(0, three.a), cut_of(1, three.b, 1))
    worker.reach.everything_read = False
    async with worker.running():
        worker.announce(1, three.b)
        await worker.take_over({0, 1})
        worker.send(range(2, 4), partition=1)
        worker.send(range(2, 4))
        await worker.until(lambda: len(worker.story.scored()) == 2)
        await asyncio.sleep(0.1)
        assert worker.story.scored(1) == []
        worker.send(range(4, 8))
        worker.send(range(4, 8), partition=1)
        await worker.until(lambda: len(worker.story.scored(0)) == len(worker.story.scored(1)) == 6)
        assert_cut_between(worker.story, 0, "model-0", "model-1")
        assert {model for model, _ in worker.story.scored(1)} == {"model-1"}
        assert worker.story.cuts(1) == []  # it was cut before


async def test_a_restart_with_another_model_and_nothing_announced_is_a_cut_at_once(
    three: Three, caplog: pytest.LogCaptureFixture
) -> None:
    worker = three.worker(ends={0: 7})
    worker.restored(0, 5, cut_of(0, three.c))
    worker.reach.everything_read = False
    with caplog.at_level(logging.WARNING):
        async with worker.running():
            worker.loop.cutover.hear([], whole=True)
            await worker.take_over({0})
            worker.send(range(5, 9))
            await worker.until(lambda: len(worker.story.scored()) == 4)
    assert worker.story.cuts() == [Cut(version=0, sha256=three.a.sha256, name="model-0", changes=1, offsets=ALL_AT_5)]
    assert f"its model {three.c.sha256[:12]} is not here" in caplog.text


async def test_a_row_that_names_a_later_version_waits_for_it_and_is_never_cut_back(three: Three) -> None:
    worker = three.worker()
    worker.restored(0, 5, cut_of(0, three.a), cut_of(2, three.c, 1))
    async with worker.running():
        worker.announce(1, three.b)
        await worker.take_over({0})
        worker.send(range(5, 7))
        await asyncio.sleep(0.2)
        assert worker.story.told == []
        worker.announce(2, three.c)
        await worker.until(lambda: worker.story.scored() == [("model-2", 5), ("model-2", 6)])
        assert worker.story.cuts() == []


async def test_a_row_that_names_what_was_refused_here_ends_the_worker(three: Three) -> None:
    worker = three.worker()
    worker.restored(0, 5, cut_of(0, three.a), cut_of(2, three.c, 1))
    worker.loop.cutover.hear([Announced(2, b"rubbish")], whole=True)
    await worker.take_over({0})
    with pytest.raises(SettingsError, match=r"partition 0: it is scored by model .*, version 2, which this worker has"):
        await worker.loop.cutover.run()
    assert worker.story.told == []
    await worker.loop.close()


async def test_a_models_topic_that_was_made_anew_is_believed_after_a_while(
    three: Three, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cutover, "_PATIENCE_SECS", 0.3)
    worker = three.worker()
    worker.restored(0, 5, cut_of(7, three.c))
    async with worker.running():
        worker.announce(1, three.b)
        await worker.take_over({0})
        worker.send(range(5, 7))
        await worker.until(lambda: worker.story.scored() == [("model-1", 5), ("model-1", 6)])
    assert [cut.version for cut in worker.story.cuts()] == [1]
    assert "its row names version 7 of the model, the topic ends with 1" in caplog.text


async def test_what_is_being_restored_is_not_cut(three: Three) -> None:
    worker = three.worker()
    worker.restored(0, 5, cut_of(0, three.a))
    async with worker.running():
        worker.loop.cutover.hear([], whole=True)
        await worker.loop.assigned({0})
        worker.announce(1, three.b)
        await asyncio.sleep(0.2)
        assert worker.story.told == []  # its row is not read yet: a cut now would forget where its sources stand
        await worker.loop.recovered({0})
        await worker.until(lambda: len(worker.story.cuts()) == 1)
        assert worker.story.cuts()[0].offsets == ALL_AT_5


async def test_a_cut_that_waits_while_partitions_change_hands_is_not_made(three: Three) -> None:
    worker = three.worker()
    async with worker.running():
        worker.loop.cutover.hear([], whole=True)
        await worker.take_over({0})
        worker.send(range(5))
        await worker.until(lambda: len(worker.story.scored()) == 5)
        worker.checkpointer.may_commit.clear()
        busy = asyncio.create_task(worker.loop.checkpoint())  # it keeps the cut waiting
        await asyncio.sleep(0.05)
        worker.announce(1, three.b)
        await asyncio.sleep(0.1)
        moving = asyncio.create_task(worker.loop.assigned({1}))
        await asyncio.sleep(0.1)
        worker.checkpointer.may_commit.set()
        await asyncio.gather(busy, moving)
        await asyncio.sleep(0.2)
        assert [cut.version for cut in worker.story.cuts(0)] == [0] and worker.story.cuts(1) == []
        await worker.loop.recovered({1})
        await worker.until(lambda: [cut.version for cut in worker.story.cuts(1)] == [1])
