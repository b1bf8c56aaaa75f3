"""The thread that fetches, of which no fault is passed over in silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP

from stream.errors import PassingError
from stream.kafka import faults
from stream.kafka.frame_app import FrameApp
from stream.kafka.raw_batches import as_batches

# How long a poll waits for records (s). It ends at once when some come; the limit is what a partition that was paused
# while the poll began may wait.
POLL_SECS = 0.05


class FrameConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that fetches."""

    logger = logging.getLogger("faust.consumer")

    # Per topic partition of the last poll, (position, end), both as they were when its records were taken.
    reach: Mapping[TP, tuple[int, int]]

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        # Stock fixes 1500 ms: a partition that had unread records when the fetch was sent waits so long behind idle
        # ones. Measured in the whole job: 1.7 times the events at 20 ms. Within that time the broker collects: answered
        # record by record, polls bring a few each, every frame of which takes Faust 0.2 ms of its event loop; at 5,000
        # events/s that loop did nothing else, and half the scores came after 80 ms.
        # Rows are written in transactions, and those of a fenced worker's must not be restored: read_committed.
        consumer = super()._create_worker_consumer(transport)
        app = cast(FrameApp, self.app)
        consumer._fetch_max_wait_ms = app.fetch_max_wait_ms
        consumer._fetch_min_bytes = app.fetch_min_bytes
        consumer._isolation_level = "read_committed"
        consumer._key_deserializer = as_batches
        self.reach = {}
        return consumer

    def count_as_poll(self) -> None:
        """Without one. Called from the app's loop, where no poll is in flight."""
        if self._consumer is not None:
            with self._consumer._subscription.fetch_context():
                pass

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        # Stock never asks how the group is: what its coordinator cannot get over stops it for ever, in silence.
        with _told("the consumer's group"):
            consumer._coordinator.check_errors()
        try:
            with _told("fetching"):
                records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        except NoOffsetForPartitionError:
            # aiokafka asked for what the group had committed, before it was told where to begin; or is to be told yet.
            await self._seek_to(consumer, cast(FrameApp, self.app).committer.starts())
            await asyncio.sleep(POLL_SECS)
            return {}
        except OffsetOutOfRangeError as error:
            # What became of it is told apart where its rows are at hand, in `recovered`. aiokafka, left to itself, goes
            # on from the start or the end.
            tp, offset = next(iter(error.args[0].items()))
            raise PassingError(f"{tp.topic}[{tp.partition}] has no record at offset {offset} any more") from error
        subscription = consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            self.reach = {}
            return records
        states = ((tp, subscription.assignment.state_value(tp)) for tp in subscription.assignment.tps)
        self.reach = {
            ensure_TP(tp): (state.position, state.lso)
            for tp, state in states
            if state is not None and state.has_valid_position and state.lso is not None
        }
        return records

    def rejoin(self) -> None:
        """Have the group say anew what is ours; called from another thread."""
        self.thread_loop.call_soon_threadsafe(self._ensure_consumer()._coordinator.request_rejoin)

    async def end(self, tp: TP) -> int:
        """Where a topic partition ends, as the broker has it now.

        Not by the queue in which polls wait too: where a partition has no leader it is asked for again and again.
        """
        asking = asyncio.run_coroutine_threadsafe(self._ensure_consumer().end_offsets([tp]), self.thread_loop)
        return int((await asyncio.wrap_future(asking))[tp])

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Seek those that are still assigned."""
        await self.call_thread(self._seek_to, self._ensure_consumer(), offsets)

    async def _seek_to(self, consumer: Any, offsets: Mapping[TP, int]) -> None:
        assigned = consumer.assignment()
        for tp, offset in offsets.items():
            if tp in assigned:
                consumer.seek(TopicPartition(*tp), offset)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say what aiokafka's errors mean, but for the one that is answered here."""
    try:
        yield
    except (NoOffsetForPartitionError, OffsetOutOfRangeError):
        raise
    except faults.KAFKA_FAULTS as error:
        raise faults.told(error, f"{what} failed") from error
