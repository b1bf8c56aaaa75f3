"""The one loop: takes what is ready across partitions when the scorer is free, scores it, publishes it.

No waiting at low load, large batches under load. Agents only put frames here. A checkpoint takes its rows, offsets and
outputs between two batches, so that they belong together; while it waits for the broker, scoring goes on.

What happens on which thread: this class on the event loop; `_score` and `_prepare` on the scoring thread, one at a
time. Decoding and `_encode` have a thread each, so that frames are decoded and a batch is encoded while another is
scored: that work is short of the interpreter lock, which the LSTM does not need.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition
from faust.types.tuples import TP

from stream.assembly import Core
from stream.errors import StateError
from stream.events import Frame, Reject
from stream.frame_decoder import FrameDecoder
from stream.intake import DecodedFrame, Intake
from stream.kafka.checkpoint import Checkpointer, PreparedRows
from stream.kafka.publisher import Batch, Publisher
from stream.kafka.store import RowStore
from stream.liveness import Liveness
from stream.merge import Position, Source
from stream.metrics import Metrics
from stream.pipeline import Outcome
from stream.rows import PARTITION_KEY, PartitionRow
from stream.settings import Settings
from stream.stages import Laps, on_thread

logger = logging.getLogger(__name__)

# Events of the busiest users may wait beyond the limit on what waits, so that they hold up nobody else.
_DEFERRED_TIMES = 8


class Reach(Protocol):
    """What the loop asks of the consumer, and says to it."""

    def at_end(self) -> frozenset[TP]: ...
    def delivered(self, tp: TP) -> None: ...
    def lag(self) -> dict[TP, int]: ...
    def set_full(self, full: set[TP]) -> None: ...


class _Step(NamedTuple):
    taken: int
    outcome: Outcome
    rejects: list[Reject]


class ScoringLoop:
    """Everything that a worker does with events between fetch and commit."""

    def __init__(
        self,
        settings: Settings,
        *,
        intake: Intake,
        core: Core,
        publisher: Publisher,
        checkpointer: Checkpointer,
        store: RowStore,
        metrics: Metrics,
        horizons: tuple[str, ...],
        reach: Callable[[], Reach],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._intake, self._table, self._pipeline = intake, core.table, core.pipeline
        self._publisher, self._checkpointer, self._store = publisher, checkpointer, store
        self._horizons = horizons
        self._reach, self._fail = reach, fail
        self._decoder = FrameDecoder(
            core.bounds,
            metrics,
            on_decoded=self._decoded,
            on_failed=self._decoding_failed,
        )
        self._source_of = {topic: source for source, topic in enumerate(settings.source_topics)}
        self._scoring = ThreadPoolExecutor(1, "scoring")
        self._encoding = ThreadPoolExecutor(1, "encoding")
        self._publishing: asyncio.Task[None] | None = None  # the batch scored last
        self._turn = asyncio.Lock()  # a batch, a snapshot, or a change of ownership: one at a time
        self._commit_turn = asyncio.Lock()  # a checkpoint or a change of ownership
        self._wake = asyncio.Event()
        self._assigned = False  # since the start, if perhaps nothing
        self._open = False  # takes batches: between recovery and the next revocation
        self._failure: BaseException | None = None
        self._committed: dict[Source, Position] = {}
        self._partitions: set[int] = set()
        self._interval_secs = settings.checkpoint_interval_ms / 1000.0
        self._due_at: dict[int, float] = {}  # by partition, when its next checkpoint is due
        self._liveness = Liveness(settings.health_stall_secs)

    # -- from agents and transport -------------------------------------------------------------------------------------

    def deliver(self, frames: Iterable[tuple[TP, list[Any]]]) -> None:
        """Take the records of some topic partitions. Never waits; one with enough waiting is fetched no further."""
        if not self._open:
            return  # after revocation: they come again, here or elsewhere
        try:
            for tp, records in frames:
                self._decoder.put(Frame(self._source_of[tp.topic], tp.partition, records, records[-1].offset + 1))
            self._hold_back_the_full()
        except Exception as error:
            self._failed(error)  # nothing may be committed past a frame that is lost
            raise

    def _decoded(self, frames: Sequence[DecodedFrame]) -> None:
        for frame in frames:
            self._intake.put(frame)
            self._reach().delivered(TP(self._topic(frame.source), frame.partition))
        self._wake.set()

    def _decoding_failed(self, error: Exception) -> None:
        self._failed(error)
        self._fail(error)

    def polled(self) -> None:
        """The consumer has polled: a topic may have been read to its end, and hold the others no longer."""
        if self._intake.holds_any():
            self._wake.set()

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Score until cancelled; what is in flight then is still finished and sent."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._open and await asyncio.shield(self._score_one_batch()):
                pass

    async def _score_one_batch(self) -> bool:
        """Whether there may be more to do at once."""
        async with self._turn:
            if not self._open:
                return False
            sources = self._source_of
            at_end = {(sources[tp.topic], tp.partition) for tp in self._reach().at_end() if tp.topic in sources}
            try:
                step = await on_thread(self._scoring, self._score, at_end)
                if step.taken or step.rejects:
                    await self._published()
                    self._publishing = asyncio.create_task(self._publish(step))
            except BaseException as error:
                # Its events are taken, and were not applied or not sent. Said before the turn is given up: a checkpoint
                # may be waiting for it.
                self._failed(error)
                raise
        self._hold_back_the_full()
        if step.outcome.crowded:  # nothing else makes room
            await self.checkpoint()
        return bool(step.taken) and self._intake.holds_any()

    def _score(self, at_end: set[Source]) -> _Step:
        lap = Laps(self._metrics)
        rejects = self._intake.absorb()
        given_up = self._intake.holds_given_up
        events = self._intake.take(self._settings.batch_max_events, at_end, int(time.monotonic() * 1000))
        self._metrics.holds_given_up.inc(self._intake.holds_given_up - given_up)
        lap("merge")
        if not len(events):
            return _Step(0, Outcome.none(), rejects)
        outcome = self._pipeline.apply(events, lap)
        self._intake.defer(outcome.deferred)
        return _Step(len(events), outcome, rejects)

    async def _publish(self, step: _Step) -> None:
        now_ms = time.time_ns() // 1_000_000
        records = step.taken + len(step.rejects)
        await self._publisher.send(await on_thread(self._encoding, self._encode, step, now_ms, size=records))
        self._metrics.count_rejects(step.rejects, self._settings.source_topics)
        self._metrics.replayed.inc(step.outcome.held)
        self._metrics.repeated.inc(step.outcome.repeated)
        self._metrics.deferred.inc(len(step.outcome.deferred))
        self._metrics.observe_scores(
            step.outcome.scored, self._settings.source_topics, self._settings.model, self._horizons, now_ms
        )

    def _encode(self, step: _Step, now_ms: int) -> list[Batch]:
        lap = Laps(self._metrics)
        batches = self._publisher.build(step.outcome.scored, step.rejects, now_ms)
        lap("encode")
        return batches

    async def _published(self) -> None:
        """Returns when the batch scored last is sent; raises what went wrong with it."""
        if self._publishing is not None:
            await self._publishing

    # -- committing ----------------------------------------------------------------------------------------------------

    async def checkpoint(self) -> Mapping[TP, int]:
        """Checkpoint every partition -> the offsets committed by it."""
        return await self._checkpoint_each(sorted(self._partitions))

    async def checkpoint_due(self) -> Mapping[TP, int]:
        """Checkpoint the partitions whose interval is over -> the offsets committed by it."""
        now = math.inf if self._table.crowded else time.monotonic()
        return await self._checkpoint_each(sorted(p for p, due_at in self._due_at.items() if due_at <= now))

    async def _checkpoint_each(self, partitions: list[int]) -> Mapping[TP, int]:
        """One after the other: all at once they are a burst that keeps the interpreter from scoring.

        After a failure nothing is committed again: Faust commits once more while it shuts down, and rows that were
        written in part would then be taken for whole.
        """
        committed: dict[TP, int] = {}
        async with self._commit_turn:
            for partition in partitions:
                if self._failure is not None or partition not in self._partitions:
                    continue
                started = time.monotonic()
                try:
                    offsets = await self._checkpoint(partition)
                except BaseException as error:
                    self._failed(error)
                    raise
                self._due_at[partition] = max(self._due_at.get(partition, 0.0) + self._interval_secs, started)
                if offsets:
                    self._liveness.progress()
                    self._metrics.checkpoints.inc()
                    self._metrics.checkpoint_seconds.observe(time.monotonic() - started)
                    committed |= offsets
        return committed

    async def _checkpoint(self, partition: int) -> dict[TP, int]:
        """Outputs acknowledged, then rows and offsets committed; nothing where nothing moved."""
        async with self._turn:
            await self._published()
            if self._failure is not None:
                return {}  # the batch that was waited for has failed
            prepared, positions = await on_thread(self._scoring, self._prepare, partition)
            outputs = self._publisher.take_unacknowledged()
        await asyncio.gather(*outputs)
        if prepared is None:
            return {}
        offsets = {TopicPartition(self._topic(source), partition): at.offset for source, at in positions.items()}
        await self._checkpointer.commit(partition, prepared, offsets)
        await asyncio.get_running_loop().run_in_executor(self._scoring, self._table.durable, partition)
        self._committed |= {(source, partition): at for source, at in positions.items()}
        return {TP(*tp): offset for tp, offset in offsets.items()}

    def _prepare(self, partition: int) -> tuple[PreparedRows | None, dict[int, Position]]:
        """The partition's changed rows and its positions, or None where nothing moved since they were committed."""
        positions = {source: at for (source, p), at in self._intake.positions().items() if p == partition}
        changed = self._table.take_changed(partition)
        if not len(changed) and all(self._committed.get((s, partition)) == at for s, at in positions.items()):
            return None, positions
        rows = [(PARTITION_KEY, PartitionRow(positions=positions).to_bytes()), *changed.to_bytes()]
        self._metrics.rows_flushed.inc(len(rows))
        return self._checkpointer.prepare(partition, rows, time.time_ns() // 1_000_000), positions

    # -- ownership -----------------------------------------------------------------------------------------------------

    async def quiesce(self) -> None:
        """Take no more batches; returns when the one in flight is applied and sent."""
        self._open = False
        async with self._turn:
            await self._published()

    async def assigned(self, partitions: set[int]) -> None:
        """Own these partitions: forget all that is in memory, and fence their former owners.

        Raises what failed before: aiokafka swallows what a revocation raises, and nothing would ever be committed.
        """
        if self._failure is not None:
            raise self._failure
        await self.quiesce()
        async with self._commit_turn, self._turn:
            self._assigned = True
            self._decoder.clear()
            self._intake.clear()
            self._table.clear()
            self._committed.clear()
            self._due_at.clear()
            self._partitions = partitions
            self._publisher.take_unacknowledged()
            await self._publisher.start()
            await self._checkpointer.own(partitions)

    async def recovered(self, partitions: set[int]) -> None:
        """Their rows are here: go on from where their sources stood."""
        if partitions != self._partitions:
            raise StateError(f"recovery: expected partitions {sorted(self._partitions)}, got {sorted(partitions)}")
        async with self._turn:
            for partition in partitions:
                row = self._store.partition_row(partition)
                positions = dict(row.positions) if row else {}
                self._intake.start(partition, positions)
                self._committed |= {(source, partition): at for source, at in positions.items()}
            self._liveness.progress()
            now = time.monotonic()
            # Their turns are spread over the interval, so that the load is even.
            gap_secs = self._interval_secs / max(1, len(partitions))
            self._due_at = {p: now + turn * gap_secs for turn, p in enumerate(sorted(partitions), 1)}
            self._open = True
        logger.info("scoring partitions %s", sorted(partitions))

    def restoring(self) -> None:
        """Rows are being restored: that is progress too."""
        self._liveness.progress()

    def _failed(self, error: BaseException) -> None:
        """Commit nothing from here on; the first failure is the one that is told."""
        self._failure = self._failure or error

    async def close(self) -> None:
        """Let go of everything; nothing is committed by it."""
        self._open = False
        self._failed(StateError("closed"))
        async with self._turn:
            await asyncio.gather(*filter(None, [self._publishing]), return_exceptions=True)
        await self._checkpointer.close()
        await self._publisher.close()
        self._store.close()
        self._decoder.close()
        self._scoring.shutdown()
        self._encoding.shutdown()

    # -- what is seen from outside -------------------------------------------------------------------------------------

    def observe(self) -> None:
        """Set the gauges; called about once a second."""
        waiting = self._waiting()
        lag: dict[tuple[str, int], int] = {}
        for tp, behind in self._reach().lag().items():
            if tp.topic in self._source_of:
                lag[tp.topic, tp.partition] = behind + waiting.get((self._source_of[tp.topic], tp.partition), 0)
        self._metrics.show_lag(lag)
        self._metrics.slots.set(len(self._table))
        self._metrics.partitions.set(len(self._partitions))
        assigned_nothing = self._assigned and not self._partitions
        self._liveness.observe(sum(lag.values()), able=self._open or assigned_nothing)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether it gets on, and by what that is told. Called from the metrics thread."""
        return self._failure is None and not self._liveness.stalled, {
            "lag_records": self._liveness.lag,
            "secs_without_progress": round(self._liveness.stalled_secs, 1),
            "partitions": sorted(self._partitions),
        }

    def _hold_back_the_full(self) -> None:
        limit = self._settings.buffer_max_events
        queued, deferred = self._decoder.waiting + self._intake.queued(), self._intake.deferred
        full = {place for place, n in queued.items() if n >= limit}
        full |= {place for place, n in deferred.items() if n >= _DEFERRED_TIMES * limit}
        self._reach().set_full({TP(self._topic(source), partition) for source, partition in full})

    def _waiting(self) -> Counter[Source]:
        """Records per topic partition that were fetched and not yet applied."""
        return self._decoder.waiting + self._intake.queued() + self._intake.deferred

    def _topic(self, source: int) -> str:
        return self._settings.source_topics[source]
