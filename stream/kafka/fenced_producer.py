"""The producer of one partition, under the transactional id by which it fences whoever had the partition before.

A transaction begins with the first thing that is sent into it. `seal` says that it is whole: what is sent after that
waits for the commit to end, and is the first of the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from stream.errors import FencedError, PassingError
from stream.kafka import faults
from stream.kafka.batches import BATCH_BYTES
from stream.settings import Settings

logger = logging.getLogger(__name__)

# For the broker's answer to an abort. Without it, readers of what is committed wait until the next owner comes, or
# until the transaction times out.
_ABORT_SECS = 5.0


def partitions_of(producer: AIOKafkaProducer, topic: str) -> int:
    """How many a topic has, as its metadata says. PassingError where it is gone."""
    partitions = producer.client.cluster.partitions_for_topic(topic)
    if not partitions:
        raise PassingError(f"{topic}: gone")
    return len(partitions)


class FencedProducer:
    """One transaction after the other. Nothing of it counts once another has taken the partition."""

    transactional = True

    def __init__(self, settings: Settings, partition: int) -> None:
        self._settings, self._partition = settings, partition
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            transactional_id=f"{settings.app_id}-p{partition}",
            transaction_timeout_ms=settings.transaction_timeout_ms,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=2 * BATCH_BYTES,
        )
        self._begun = False
        self._unsealed = asyncio.Event()
        self._unsealed.set()

    async def start(self, topics: Iterable[str]) -> None:
        """Fence the former owner; these topics will be sent to."""
        await self._producer.start()  # has the id once it returns
        for topic in topics:
            await self._producer.partitions_for(topic)  # else send_batch never learns of the topic

    def create_batch(self) -> Any:
        """A batch for `send`: those of a transaction are marked as such."""
        return self._producer.create_batch()

    def partitions(self, topic: str) -> int:
        """How many a topic has."""
        return partitions_of(self._producer, topic)

    async def send(self, topic: str, partition: int, records: Any) -> asyncio.Future[Any]:
        """Send a batch into the transaction -> its acknowledgement; while one is being committed, into the next."""
        await self._unsealed.wait()
        with self._told():
            return await self._send(topic, partition, records)

    def seal(self) -> None:
        """What was sent until now is one transaction, to be committed with the rows that belong to it."""
        self._unsealed.clear()

    async def commit(
        self, sent: Sequence[Awaitable[Any]], topic: str, rows: Sequence[Any], offsets: Mapping[TopicPartition, int]
    ) -> int:
        """Commit what is in the transaction with these rows and offsets, once `sent` is acknowledged.

        -> the offset of the last row. Raises FencedError where the partition is no longer ours, PassingError where it
        is not known whether all that was committed, BrokerError where that may not be written.
        """
        try:
            with self._told():
                await asyncio.gather(*sent)
                await self._begin()
                if offsets:  # aiokafka refuses none
                    await self._producer.send_offsets_to_transaction(dict(offsets), self._settings.app_id)
                # Not meanwhile: while the group is being added to the transaction, the broker refuses the first batch
                # of a topic partition, and aiokafka sends it again 100 ms later.
                sending = [await self._send(topic, self._partition, batch) for batch in rows]
                await asyncio.gather(*sending)
                await self._producer.commit_transaction()
                self._begun = False
        finally:
            self._unsealed.set()
        # A batch's future holds the offset of its first record.
        ends = [future.result().offset + batch.record_count() for future, batch in zip(sending, rows, strict=True)]
        return int(max(ends)) - 1

    async def stop(self) -> None:
        """Let go; a transaction that is open is aborted."""
        if self._begun:
            try:
                await asyncio.wait_for(self._producer.abort_transaction(), _ABORT_SECS)
            except Exception as error:  # fenced, unreachable: who comes next aborts it, or the broker in time
                logger.debug("partition %d: its transaction was not aborted: %r", self._partition, error)
            ended = self._producer._txn_manager.wait_for_transaction_end()
            if ended.done():
                ended.exception()  # else Python logs that nobody has asked
        await self._producer.stop()

    async def _begin(self) -> None:
        if not self._begun:
            await self._producer.begin_transaction()
            self._begun = True

    async def _send(self, topic: str, partition: int, records: Any) -> asyncio.Future[Any]:
        await self._begin()
        future: asyncio.Future[Any] = await self._producer.send_batch(records, topic, partition=partition)
        return future

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what aiokafka's errors mean. Its sender ends with the first; all that is asked of it after is illegal."""
        try:
            yield
        except (KafkaError, IllegalOperation, AssertionError) as error:
            sender = self._producer._sender.sender_task
            ended = sender.exception() if sender.done() and not sender.cancelled() else None
            if isinstance(ended or error, ProducerFenced):
                raise FencedError(self._partition) from None
            raise faults.told(ended or error, f"partition {self._partition}: its checkpoint failed") from error
