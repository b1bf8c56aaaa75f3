"""Frames: a Faust transport that hands agents whole fetched runs of records of one topic partition.

Stock Faust makes a message, an event and an ack per record, which costs 60 times as much, and its commit rule can pass
work in flight. Here one message carries what a poll brought of a topic, topics are declared `acks=False` so that Faust
keeps no books on them, and committing is left to a `Committer`, which knows what was applied. Every override below
names the failure it cures; `faust_contract` checks at start that what is overridden still is what it was.

Besides `app` and `worker`, this module, `frame_app` and `fetching` are the only ones that subclass Faust.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, cast

from aiokafka.consumer.fetcher import PartitionRecords
from faust.tables.manager import TableManager
from faust.transport import drivers
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage

from stream.kafka import produce_request, raw_batches
from stream.kafka.fetching import POLL_SECS, FrameConsumerThread
from stream.kafka.frame_app import FrameApp, Frames
from stream.kafka.raw_batches import run_of

SCHEME = "frames"


class FrameConsumer(driver.Consumer):
    """Yields frames, keeps no acks, and commits through the app's `Committer`."""

    logger = logging.getLogger("faust.consumer")
    app: FrameApp
    _thread: FrameConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetch_lock = asyncio.Lock()
        self._polled: frozenset[TP] = frozenset()
        self._full: set[TP] = set()
        self._held: set[TP] = set()
        self._reach: Mapping[TP, tuple[int, int]] = {}
        self._fetched: Counter[TP] = Counter()
        self._delivered: Counter[TP] = Counter()

    def _new_consumer_thread(self) -> FrameConsumerThread:
        return FrameConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- what the scoring loop asks and says ---------------------------------------------------------------------------

    def delivered(self, tp: TP) -> None:
        """Say that a frame of this topic partition is decoded, and waits for its turn."""
        self._delivered[tp] += 1

    def at_end(self) -> frozenset[TP]:
        """The topic partitions read to their end, with no frame on its way."""
        return frozenset(
            tp
            for tp, (position, end) in self._reach.items()
            if position >= end and self._fetched[tp] == self._delivered[tp]
        )

    def read_to(self) -> dict[TP, int]:
        """Per topic partition, the offset before which all is decoded; none of one with a frame on its way."""
        return {tp: at for tp, (at, _) in self._reach.items() if self._fetched[tp] == self._delivered[tp]}

    async def end(self, tp: TP) -> int:
        """Where a topic partition ends, as the broker has it now."""
        return await self._thread.end(tp)

    def lag(self) -> dict[TP, int]:
        """Records not yet fetched, per assigned topic partition."""
        return {tp: max(0, end - position) for tp, (position, end) in self._reach.items()}

    def still_here(self) -> None:
        """Say that nothing is polled and all is well: a worker to spare, or a long restore.

        aiokafka leaves the group after `broker_max_poll_interval` without a poll, and does not come back by itself.
        """
        self._thread.count_as_poll()

    def set_full(self, full: set[TP]) -> None:
        """Fetch nothing for these until told otherwise: pauses single topic partitions, never an agent."""
        self._full = full

    def rejoin(self) -> None:
        """Ask the group what is ours: partitions that we had are another's."""
        self._thread.rejoin()

    # -- fetching ------------------------------------------------------------------------------------------------------

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        # Stock passes its live set of active partitions to the consumer's thread. When the set empties in mid-call,
        # aiokafka takes the empty set for "all", and Faust drops what is not active: a lost frame of 500 records,
        # traced.
        async with self._fetch_lock:
            self._polled = frozenset(active_partitions or ()) - self._full
            if not self.flow_active or not self._polled:
                await asyncio.sleep(0.01)
                return {}
            return await self._thread.getmany(set(self._polled), min(timeout, POLL_SECS))

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """One message per topic that had records, with its frames."""
        # The generation is read once the flow is on: a poll that had waited out a rebalance would take what it brings
        # for another generation's.
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as stock
        generation = self.app.consumer_generation_id
        if not self._get_active_partitions() - self._full:
            self.still_here()
        records, _ = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        if not self.flow_active or (records and self.app.consumer_generation_id != generation):
            await self._seek_while_stopped()
            return
        runs = {ensure_TP(tp): run for tp, run in records.items() if run}
        # Both before the first yield: a frame on its way must never look like a topic partition read to its end.
        self._reach = self._thread.reach
        self._fetched.update(runs.keys())
        for together in self._by_message(runs):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            yield together[0][0], self._to_frame_message(together)
        self.app.committer.polled()

    def _by_message(self, runs: Mapping[TP, list[Any]]) -> Iterable[list[tuple[TP, list[Any]]]]:
        """The frames of a poll, by the message that carries them.

        A message costs Faust 0.2 ms of its event loop, be it of one record or of thousands. At 5,000 events/s over 12
        partitions, one for each of them filled that loop.
        """
        messages: dict[str, list[tuple[TP, list[Any]]]] = {}
        for tp, run in runs.items():
            messages.setdefault(tp.topic, []).append((tp, run))
        return messages.values()

    async def _seek_while_stopped(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # as stock: the seek is repeated when the flow resumes
            self.log.warning("seek while the flow is stopped: %r", error)

    def _to_frame_message(self, together: list[tuple[TP, list[Any]]]) -> ConsumerMessage:
        # It goes by the first one's partition and last offset, which keeps Faust's own read offset rising.
        tp, run = together[0]
        last = run[-1]
        frames: Frames = [(tp, run_of(run)) for tp, run in together]
        value: Any = frames  # Faust types it as the bytes of one record
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, last.timestamp_type, None, None, value,
            None, 0, 0, tp, generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def perform_seek(self) -> None:
        """Seek source partitions to where their rows stand, with no fetch in flight across the seek."""
        async with self._fetch_lock:
            self._forget_frames()
            await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to where the rows stand.

        The offsets that the group has committed are the same, unless somebody deleted or set them. aiokafka leaves a
        partition where it is that has none, or 0: what was fetched of it and dropped would be lost.
        """
        starts = self.app.committer.starts()
        await self._thread.seek_to(starts)
        return starts

    def _forget_frames(self) -> None:
        self._reach = {}
        self._fetched.clear()
        self._delivered.clear()
        self._full = set()

    # -- committing ----------------------------------------------------------------------------------------------------

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit through the app's `Committer`. Stock's rule stalls for ever on frames, and can pass work in flight."""
        return self._committed(await self.app.committer.checkpoint_due())

    def _committed(self, offsets: Mapping[TP, int]) -> bool:
        self._committed_offset.update(offsets)
        self.app.monitor.on_tp_commit(dict(offsets))
        return bool(offsets)

    # -- rebalancing ---------------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop, let the batch in flight finish, commit, then do as stock.

        Stock drops its acks first, so that every rebalance replays up to a commit interval (Faust #502).
        """
        if not self.app.should_stop:  # else `WorkerApp.on_stop` has done it
            self.stop_flow()
            self.app.flow_control.suspend()
            self.app.flow_control.clear()
            # A fetch in flight is not waited for: aiokafka lets it wait for the next assignment, which waits for this.
            # What it brings belongs to another generation, and is dropped and sought again.
            await self.app.before_revocation()
            self._committed(await self.app.committer.checkpoint())
        self._held.clear()
        self._buffered_partitions.clear()
        self._forget_frames()
        await super().on_partitions_revoked(revoked)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Hold these until `resume_flow`.

        Stock resumes them before it seeks to the committed offsets and clears every queue after that (Faust #596):
        what is fetched in between is lost or comes out of order.
        """
        self._held |= set(tps)

    def resume_flow(self) -> None:
        """Resume the flow: the last step of both of Faust's ways out of a rebalance."""
        super().resume_flow()
        if self._held:
            held, self._held = self._held & self.assignment(), set()
            super().resume_partitions(held)

    def on_buffer_drop(self, tp: TP) -> None:
        """Fetch again for a partition whose agent has caught up; stock wakes paused and held ones too."""
        if tp in self._buffered_partitions:
            self._buffered_partitions.discard(tp)
            if tp not in self._paused_partitions and tp not in self._held:
                self._get_active_partitions().add(tp)


class NoTables(TableManager):
    """Faust's tables, of which there are none: the state is kept by `local_copies`. Its recovery calls for the rows."""

    logger = logging.getLogger("faust.tables")

    @property
    def changelog_topics(self) -> set[str]:
        """Not none: an app without a changelog is assigned by aiokafka's round robin.

        That gives one partition of two topics to two workers, moves all of them each time, and knows no standbys.
        """
        return {cast(FrameApp, self.app).changelog_topic}

    async def on_start(self) -> None:
        """As stock, but at once: it waits a second first, in which tables could still be declared."""
        await self._update_channels()
        await self.recovery.start()


class FrameTransport(driver.Transport):
    """The transport of `frames://` URLs."""

    Consumer = FrameConsumer


def register() -> None:
    """Make `frames://` known to Faust, and let aiokafka hand on records as it parsed them.

    It would copy each into a `ConsumerRecord` of 11 fields, of which four are read here: 1.7 us a record.
    The parsed record has those four under the same names. The records of frames are not even parsed.
    """
    drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:FrameTransport"
    PartitionRecords._consumer_record = _as_parsed
    raw_batches.install()
    produce_request.install()


def _as_parsed(self: PartitionRecords, tp: TP, record: Any) -> Any:
    return record
