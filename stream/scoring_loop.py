"""The one loop: takes what is ready across partitions when the scorer is free, scores it, publishes it.

No waiting at low load, large batches under load. Agents only put frames here; `committing` makes the checkpoints, each
between two batches.

What happens on which thread: this class on the event loop; `_score` and what a checkpoint takes of the state on the
scoring thread, one at a time. Decoding and encoding have a thread each, so that frames are decoded and a batch is
encoded while another is scored: that work is short of the interpreter lock, which the LSTM does not need.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol

from faust.types.tuples import TP

from stream import erasing, flow
from stream.assembly import Core
from stream.changing.offered import Offered
from stream.committing import Committing, Failure
from stream.cutover import Cutover
from stream.erasing import Erasing
from stream.erasures import ERASURES
from stream.errors import FencedError, StateError
from stream.events import SOURCES
from stream.expiry import Expiry
from stream.flow import Flow
from stream.frame_decoder import FrameDecoder
from stream.intake import DecodedFrame, Intake
from stream.kafka.checkpoint import Checkpointer
from stream.kafka.publisher import Publisher
from stream.kafka.store import RowStore
from stream.kafka.watch import Watched
from stream.liveness import Liveness
from stream.merge import Source
from stream.metrics import Metrics
from stream.pipeline import Outcome
from stream.publishing import Publishing, Step
from stream.reject_queue import RejectQueue
from stream.settings import Settings
from stream.stages import Laps, on_thread
from stream.standing import SourceNow, Standing, stand

logger = logging.getLogger(__name__)


class Reach(flow.Reach, erasing.Reach, Protocol):
    """What the loop and its parts ask of the consumer, and say to it."""

    def rejoin(self) -> None: ...


class ScoringLoop:
    """Everything that a worker does with events between fetch and commit."""

    def __init__(
        self,
        settings: Settings,
        *,
        intake: Intake,
        core: Core,
        offered: Offered,
        publisher: Publisher,
        checkpointer: Checkpointer,
        store: RowStore,
        metrics: Metrics,
        reach: Callable[[], Reach],
        look: Callable[[Iterable[int]], Awaitable[Mapping[Source, SourceNow]]],
        fail: Callable[[BaseException], None],
    ) -> None:
        """`look` tells what the sources of some partitions are now."""
        self._settings, self._metrics = settings, metrics
        self._intake, self._core, self._table = intake, core, core.table
        self._publisher, self._checkpointer, self._store = publisher, checkpointer, store
        self._rejects = RejectQueue()
        self._encoder = core.encoder
        self._starts: Mapping[TP, int] = {}
        self._reach, self._look, self._fail = reach, look, fail
        self._decoder = FrameDecoder(
            core.kernels.decode_all, core.bounds, metrics, on_decoded=self._decoded, on_failed=self._broken
        )
        self._flow = Flow(
            settings,
            decoder=self._decoder,
            intake=intake,
            rejects=self._rejects,
            reach=reach,
            also_full=lambda: self._erasing.full(),  # noqa: PLW0108 - which is made below, of this
        )
        self._scoring = ThreadPoolExecutor(1, "scoring")
        self._turn = asyncio.Lock()  # a batch, a snapshot, or a change of ownership: one at a time
        self._wake = asyncio.Event()
        self._assigned = False  # since the start, if perhaps nothing
        self._open = False  # takes batches: between recovery and the next revocation
        self._publishing = Publishing(settings, publisher=publisher, metrics=metrics, core=core, fenced=self._fenced)
        self._failure = Failure()
        self._liveness = Liveness(settings.health_stall_secs)
        self._erasing = Erasing(
            settings,
            intake=intake,
            table=core.table,
            store=store,
            metrics=metrics,
            reach=reach,
            waiting=self._flow.waiting,
            wake=self._wake.set,
            fail=self._broken,
        )
        self._committing = Committing(
            settings,
            intake=intake,
            table=core.table,
            erasing=self._erasing,
            expiry=Expiry(core.table, store.scan, settings.user_expiry_ms),
            publisher=publisher,
            checkpointer=checkpointer,
            metrics=metrics,
            liveness=self._liveness,
            scoring=self._scoring,
            between_batches=self._between_batches,
            failure=self._failure,
            fenced=self._fenced,
        )
        self.cutover = Cutover(
            core=core,
            offered=offered,
            intake=intake,
            committing=self._committing,
            between_batches=self._between_batches,
            scoring=self._scoring,
            at_end=self._flow.at_end,
            opened=self._wake.set,
            metrics=metrics,
        )

    # -- from agents and transport -------------------------------------------------------------------------------------

    def deliver(self, frames: Iterable[tuple[TP, Sequence[Any]]]) -> None:
        """Take the records of some topic partitions. Never waits; one with enough waiting is fetched no further."""
        if not self._open:
            return  # after revocation: they come again, here or elsewhere
        try:
            self._flow.deliver(frames)
        except Exception as error:
            self._failure.note(error)  # nothing may be committed past a frame that is lost
            raise

    def deliver_requests(self, frames: Iterable[tuple[TP, Sequence[Any]]]) -> None:
        """Take records of the topic of erasures. Never waits."""
        if self._open:
            self._erasing.deliver(frames)
            self._flow.hold_back_the_full()

    def _decoded(self, frames: Sequence[DecodedFrame]) -> None:
        self._flow.decoded(frames)
        self._wake.set()

    def _broken(self, error: BaseException) -> None:
        """What was delivered is lost, and nothing may be committed past it."""
        self._failure.note(error)
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
            try:
                step = await on_thread(self._scoring, self._score, self._flow.at_end())
                if step.taken or step.rejects:
                    await self._publishing.ended()
                    if self._committing.partitions:  # else fenced, and what was scored is dropped
                        self._publishing.begin(step)
            except BaseException as error:
                # Its events are taken, and were not applied or not sent. Said before the turn is given up: a checkpoint
                # may be waiting for it.
                self._failure.note(error)
                raise
        self._flow.hold_back_the_full()
        if step.outcome.crowded:  # nothing else makes room
            await self.checkpoint()
        return bool(step.taken) and self._intake.holds_any()

    def _score(self, at_end: set[Source]) -> Step:
        lap = Laps(self._metrics)
        self._rejects.put(self._intake.absorb())
        given_up = self._intake.holds_given_up
        events = self._intake.take(self._settings.batch_max_events, at_end, int(time.monotonic() * 1000))
        self._metrics.holds_given_up.inc(self._intake.holds_given_up - given_up)
        lap("merge")
        outcome = self._core.pipeline.apply(events, lap) if len(events) else Outcome.none()
        self._intake.defer(outcome.deferred)
        self._metrics.users_expired.labels("begun_anew").inc(outcome.begun_anew)
        rejects = self._rejects.take(self._intake.positions) + self._erasing.absorb()
        return Step(len(events), outcome, rejects)

    @asynccontextmanager
    async def _between_batches(self) -> AsyncIterator[None]:
        """Within it no batch is being scored, and the last one is sent."""
        async with self._turn:
            await self._publishing.ended()
            yield

    async def checkpoint(self) -> Mapping[TP, int]:
        """Checkpoint every partition -> the offsets committed by it."""
        return await self._committing.checkpoint()

    async def checkpoint_due(self) -> Mapping[TP, int]:
        """Checkpoint the partitions whose interval is over -> the offsets committed by it."""
        return await self._committing.checkpoint_due()

    def secs_until_due(self) -> float:
        """How long to wait before the next `checkpoint_due`."""
        return self._committing.secs_until_due()

    # -- ownership -----------------------------------------------------------------------------------------------------

    async def quiesce(self) -> None:
        """Take no more batches; returns when the one in flight is applied and sent."""
        self._open = False
        async with self._between_batches():
            pass

    async def assigned(self, partitions: set[int]) -> None:
        """Own these partitions: forget all that is in memory, and fence their former owners.

        Raises what failed before: aiokafka swallows what a revocation raises, and nothing would ever be committed.
        """
        if self._failure.error is not None:
            raise self._failure.error
        await self.quiesce()
        async with self._committing.paused(), self._turn:
            self._assigned = True
            self._decoder.clear()
            self._intake.clear()
            self._rejects.clear()
            self._erasing.clear()
            self._table.clear()
            self._starts = {}
            await self._committing.own(partitions)

    async def recovered(self, partitions: set[int]) -> None:
        """Their rows are here: go on from where their sources stood."""
        owned = self._committing.partitions
        if partitions != owned:
            raise StateError(f"recovery: expected partitions {sorted(owned)}, got {sorted(partitions)}")
        now = await self._look(partitions)
        async with self._turn:
            rows = {partition: self._store.partition_row(partition) for partition in partitions}
            standings = {(source, p): stand(rows[p], source, seen) for (source, p), seen in now.items()}
            self._take_up(partitions, standings)
            self.cutover.begin(rows, {place: seen.end for place, seen in now.items() if place[0] in SOURCES})
            self._liveness.progress()
            self._open = True
        logger.info("scoring partitions %s", sorted(partitions))

    def _fenced(self, error: FencedError) -> None:
        """Own nothing, commit nothing of what was owned, and ask the group what is ours: it will be restored."""
        if not self._committing.partitions:
            return  # said already
        logger.warning("%s; dropping all such of %s, and rejoining", error, sorted(self._committing.partitions))
        self._open = self._assigned = False
        self._committing.disown()
        self._reach().rejoin()

    def _take_up(self, partitions: set[int], standings: Mapping[Source, Standing]) -> None:
        for (source, partition), at in standings.items():
            if at.said:
                logger.error("%s[%d] %s", self._flow.topic(source), partition, at.said)
                self._metrics.lost.labels(self._flow.topic(source)).inc(at.lost)
            if at.doubted:
                logger.warning("%s[%d] %s", self._flow.topic(source), partition, at.doubted)
        for partition in partitions:
            of_it = [standings[source, partition] for source in SOURCES]
            generations = [at.topic.generation for at in of_it]
            erasures = standings[ERASURES, partition]
            self._intake.start(partition, {source: of_it[source].position for source in SOURCES})
            self._erasing.start(partition, erasures.position)
            self._table.own(partition, generations)
            self._encoder.own(partition, [*generations, erasures.topic.generation])
        self._committing.begin(standings)
        self._starts = {TP(self._flow.topic(s), p): at.position.offset for (s, p), at in standings.items()}

    def starts(self) -> Mapping[TP, int]:
        """From where each owned partition of what is read is to be read; nothing before its rows are here."""
        return self._starts

    def restoring(self) -> None:
        """Rows are being restored: that is progress too."""
        self._liveness.progress()

    async def close(self) -> None:
        """Let go of everything; nothing is committed by it."""
        self._open = False
        self.cutover.refreshing.pause()
        self._failure.note(StateError("closed"))
        async with self._turn:
            await self._publishing.close()
        self._erasing.clear()
        await self._checkpointer.close()
        await self._publisher.close()
        self._store.close()
        await self._erasing.settled()
        self._decoder.close()
        self._scoring.shutdown()

    # -- what is seen from outside -------------------------------------------------------------------------------------

    @property
    def watched(self) -> Watched:
        """What the watch over the broker asks and says."""
        return self._committing

    @property
    def fruitful(self) -> bool:
        """Whether anything was committed. May be asked from another thread."""
        return self._liveness.commits > 0

    def observe(self, *, broker_answers: bool = True) -> None:
        """Set the gauges; called about once a second. Without a broker, nobody knows the lag."""
        lag = self._flow.lag()
        self._metrics.show_lag(lag if broker_answers else {})
        self._erasing.observe()
        self._metrics.slots.set(len(self._table))
        self._metrics.partitions.set(len(self._committing.partitions))
        assigned_nothing = self._assigned and not self._committing.partitions
        # Before the first poll nobody knows of any: a consumer that never polls is not idle.
        known = sum(lag.values()) if broker_answers and (lag or not self._committing.partitions) else None
        self._liveness.observe(known, able=self._open or assigned_nothing)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether it gets on, and by what that is told. Called from the metrics thread."""
        return self._failure.error is None and not self._liveness.stalled, {
            "lag_records": self._liveness.lag,
            "secs_without_progress": round(self._liveness.stalled_secs, 1),
            "partitions": sorted(self._committing.partitions),
        }
