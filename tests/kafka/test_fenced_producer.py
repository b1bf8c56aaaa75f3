"""One transaction after the other: what is in which, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import MessageAccumulator

from stream.errors import FencedError, PassingError
from stream.kafka.batches import Batches
from stream.kafka.checkpoint import Checkpointer
from stream.kafka.fenced_producer import FencedProducer
from stream.kafka.store import RowStore
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from tests.running import committed, read

PARTITION = 2


@asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[FencedProducer]:
    producer = FencedProducer(settings, PARTITION)
    await producer.start([settings.changelog_topic, settings.anomaly_scores_topic])
    try:
        yield producer
    finally:
        await producer.stop()


async def _score(settings: Settings, producer: FencedProducer, value: bytes) -> asyncio.Future[object]:
    (batch,) = _batches(producer, value)
    return await producer.send(settings.anomaly_scores_topic, PARTITION, batch)


def _batches(producer: FencedProducer, value: bytes) -> list[object]:
    batches = Batches(producer, 1_700_000_000_000)
    batches.append(b"user", value)
    return list(batches.close())


async def _commit(settings: Settings, producer: FencedProducer, sent: list[asyncio.Future[object]], offset: int) -> int:
    offsets = {TopicPartition(settings.clicks_topic, PARTITION): offset}
    return await producer.commit(sent, settings.changelog_topic, _batches(producer, b"row"), offsets)


async def _visible(settings: Settings) -> list[bytes]:
    return [record.value for record in await read(settings, settings.anomaly_scores_topic)]


async def test_what_is_sent_after_the_seal_waits_and_is_of_the_next_transaction(
    settings: Settings, topics: list[TopicReport]
) -> None:
    async with _producer(settings) as producer:
        sent = [await _score(settings, producer, b"first")]
        producer.seal()
        later = asyncio.create_task(_score(settings, producer, b"later"))
        await asyncio.sleep(0.2)
        assert not later.done()
        assert await _visible(settings) == []
        assert await _commit(settings, producer, sent, 7) == 0
        await (await later)
        assert await _visible(settings) == [b"first"]
        assert await committed(settings) == {(settings.clicks_topic, PARTITION): 7}
        producer.seal()
        assert await _commit(settings, producer, [], 9) == 2  # a marker lies between
        assert await _visible(settings) == [b"first", b"later"]


async def test_hardly_any_commit_is_refused_what_it_would_have_to_send_again(
    settings: Settings, topics: list[TopicReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[object] = []
    reenqueue = MessageAccumulator.reenqueue

    def noted(accumulator: MessageAccumulator, batch: object) -> None:
        again.append(batch)
        reenqueue(accumulator, batch)

    monkeypatch.setattr(MessageAccumulator, "reenqueue", noted)
    async with _producer(settings) as producer:
        for offset in range(1, 31):
            sent = [await _score(settings, producer, b"score")]
            producer.seal()
            await _commit(settings, producer, sent, offset)
    assert len(again) < 5  # of 30; rows sent while the group is added are refused in every other commit


async def test_of_a_topic_that_is_gone_nobody_knows_the_partitions_and_it_may_come_back(
    settings: Settings, topics: list[TopicReport]
) -> None:
    async with _producer(settings) as producer:
        assert producer.partitions(settings.anomaly_scores_topic) == settings.partitions
        with pytest.raises(PassingError, match="elsewhere: gone"):
            producer.partitions("elsewhere")


async def test_to_let_go_aborts_what_is_open_so_that_no_reader_waits_for_it(
    settings: Settings, topics: list[TopicReport]
) -> None:
    async with _producer(settings) as producer:
        await (await _score(settings, producer, b"never"))
    assert await _visible(settings) == []  # and the end of what is committed lies behind it
    assert [record.value for record in await read(settings, settings.anomaly_scores_topic, aborted=True)] == [b"never"]


async def test_whoever_is_fenced_is_told_so_whatever_it_does_next(
    settings: Settings, topics: list[TopicReport]
) -> None:
    async with _producer(settings) as former, _producer(settings) as other:
        with pytest.raises(FencedError, match="partition 2: another worker has taken it over"):
            await _commit(settings, former, [], 1)
        for _ in range(2):
            with pytest.raises(FencedError):
                await _score(settings, former, b"late")
        with pytest.raises(FencedError):
            await _commit(settings, former, [], 1)
        await _commit(settings, other, [], 2)
    assert await committed(settings) == {(settings.clicks_topic, PARTITION): 2}


async def test_the_open_transaction_of_a_fenced_producer_counts_for_nothing(
    settings: Settings, topics: list[TopicReport]
) -> None:
    async with _producer(settings) as former:
        sent = [await _score(settings, former, b"zombie's")]
        await sent[0]
        async with _producer(settings) as other:
            former.seal()
            with pytest.raises(FencedError):
                await _commit(settings, former, sent, 1)
            sent = [await _score(settings, other, b"owner's")]
            other.seal()
            await _commit(settings, other, sent, 2)
    assert await _visible(settings) == [b"owner's"]
    assert [record.value for record in await read(settings, settings.changelog_topic)] == [b"row"]


async def test_a_row_that_is_none_is_deleted_from_changelog_and_local_copy(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    store = RowStore(tmp_path)
    store.own([PARTITION])
    checkpointer = Checkpointer(settings, store)
    await checkpointer.own([PARTITION])
    try:
        for rows in ([(b"a", b"1"), (b"b", b"2")], [(b"a", None)]):
            prepared = checkpointer.prepare(PARTITION, rows, 1_700_000_000_000)
            await checkpointer.commit(PARTITION, [], prepared, {TopicPartition(settings.clicks_topic, PARTITION): 1})
        assert store.fetch(PARTITION, [b"a", b"b"]) == [None, b"2"]
    finally:
        await checkpointer.close()
        store.close()
    changelog = await read(settings, settings.changelog_topic)
    assert [(record.key, record.value) for record in changelog] == [(b"a", b"1"), (b"b", b"2"), (b"a", None)]
