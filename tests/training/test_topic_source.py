"""The source topics as something to learn from, on a real broker: whole, between two times, and what is missing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from stream.errors import BrokerError, SettingsError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training.fraud_labels import Kinds
from stream.training.gathering import Gathered, gather, told
from stream.training.reading import Reading
from stream.training.runs import Runs
from stream.training.topic_source import TopicShop
from tests.running import ends, fill
from tests.training.shops import DAY_MS, HOUR_MS, START_MS, gathered, happened, shop_event

NORMAL = scenario.honest_and_orderly(scenario.load())
END_MS = START_MS + 3 * DAY_MS


def shoppers(users: int = 80) -> list[ShopEvent]:
    return list(simulate(NORMAL, seed=6, users=users, start_ms=START_MS, end_ms=END_MS))


async def read(shop: TopicShop) -> Gathered:
    """On a thread of its own, as it has an event loop of its own."""
    return await asyncio.to_thread(gather, [shop])


def contents(runs: Runs) -> list[bytes]:
    return [getattr(runs, name).tobytes() for name in ("raw", "session", "counts", "user", "repeat")]


async def delete_before(settings: Settings, topic: str, offset: int) -> None:
    """Of every partition, as retention would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        partitions = [TopicPartition(topic, p) for p in range(settings.partitions)]
        await admin.delete_records({tp: RecordsToDelete(offset) for tp in partitions})
    finally:
        await admin.close()


async def create(settings: Settings, *new: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics(list(new))
        while True:  # the controller has them; the broker tells of them later
            if {topic.name for topic in new} <= set(await admin.list_topics()):
                break
            await asyncio.sleep(0.01)
    finally:
        await admin.close()


async def send(settings: Settings, topic: str, values: Sequence[tuple[bytes | None, bytes | None]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    await producer.start()
    try:
        for key, value in values:
            await producer.send_and_wait(topic, value, key=key, partition=0, timestamp_ms=START_MS)
    finally:
        await producer.stop()


@pytest.mark.parametrize("waiting_max", [50_000, 20])
async def test_topics_give_what_the_events_themselves_give_however_few_may_wait(
    settings: Settings, topics: list[TopicReport], waiting_max: int
) -> None:
    events = shoppers()
    await fill(settings, events)
    found = await read(TopicShop(settings, waiting_max=waiting_max))
    expected = gathered(events).runs
    assert contents(found.runs) == contents(expected)
    assert found.runs.end_ms.tolist() == expected.end_ms.tolist()
    assert set(found.runs.fraud.tolist()) == {-1}
    (reading,) = found.readings
    assert (reading.events, reading.refused, reading.notes) == (len(events), {}, [])


async def test_between_two_times_there_is_what_was_sent_between_them(
    settings: Settings, topics: list[TopicReport]
) -> None:
    events = shoppers()
    await fill(settings, events)
    since_ms, until_ms = START_MS + DAY_MS, START_MS + 2 * DAY_MS
    found = (await read(TopicShop(settings, since_ms=since_ms, until_ms=until_ms))).runs
    expected = gathered([event for event in events if since_ms <= event.sent_ms < until_ms]).runs
    assert contents(found) == contents(expected)
    assert set(found.end_ms.tolist()) == {until_ms}  # later records show that it was watched for so long
    beyond = (await read(TopicShop(settings, until_ms=END_MS + 9 * DAY_MS))).runs
    assert set(beyond.end_ms.tolist()) == {events[-1].sent_ms + 1}


async def test_what_is_sent_after_reading_began_is_not_read(settings: Settings, topics: list[TopicReport]) -> None:
    events = shoppers(30)
    await fill(settings, events)
    polls = TopicShop(settings).polls(Kinds(), Reading("-"), {}, lambda events: None)
    first = await asyncio.to_thread(next, polls)
    await fill(settings, happened([("late", "view_item", 5 * DAY_MS + n) for n in range(50)]))
    rest = await asyncio.to_thread(list, polls)
    assert sum(len(frame.records) for poll in (first, *rest) for frame in poll.frames) == len(events)
    assert (first, *rest)[-1].share == 1.0


async def test_topics_without_a_record_are_named(settings: Settings, topics: list[TopicReport]) -> None:
    with pytest.raises(SettingsError, match=f"{settings.clicks_topic}.*: expected events, got none"):
        await read(TopicShop(settings))


async def test_topics_that_hold_nothing_between_the_times_are_named(
    settings: Settings, topics: list[TopicReport]
) -> None:
    await fill(settings, happened([("ann", "view_item", 0)]))
    with pytest.raises(SettingsError, match="expected events, got none"):
        await read(TopicShop(settings, since_ms=START_MS + HOUR_MS))


async def test_a_missing_topic_is_named_and_not_created(settings: Settings) -> None:
    await create(settings, NewTopic(settings.clicks_topic, 4, 1), NewTopic(settings.purchases_topic, 4, 1))
    for _ in range(2):
        with pytest.raises(SettingsError, match=f"expected the topics .* got none named {settings.searches_topic}$"):
            await read(TopicShop(settings))


async def test_topics_of_unequal_partition_counts_are_refused(settings: Settings) -> None:
    names = settings.source_topics
    await create(settings, *(NewTopic(name, 3 + n % 2, 1) for n, name in enumerate(names)))
    with pytest.raises(SettingsError, match=f"expected equal partition counts.*{names[0]} has 3, {names[1]} has 4"):
        await read(TopicShop(settings))


async def test_records_that_serving_would_refuse_are_counted_and_take_no_other_along(
    settings: Settings, topics: list[TopicReport]
) -> None:
    events = happened([("ann", "view_item", n) for n in range(9)])
    bad = [(b"ann", b"{"), (b"ann", None), (b"bob", shop_event("ann", "view_item", START_MS).value)]
    await fill(settings, events[:5])
    await send(settings, settings.clicks_topic, bad)
    await fill(settings, events[5:])
    found = await read(TopicShop(settings))
    assert contents(found.runs) == contents(gathered(events).runs)
    assert found.readings[0].refused == Counter({"not_json": 1, "null_value": 1, "key_mismatch": 1})
    assert sum("refused" in line and "clicks[0]@" in line for line in told(found.readings)) == 3
    await send(settings, settings.clicks_topic, bad * 4)
    with pytest.raises(SettingsError, match=r"15 of 24 records are refused, most .*; nothing was trained"):
        await read(TopicShop(settings))
    assert len((await read(TopicShop(settings, ignore_refused=True))).runs) == 9


async def test_an_event_time_that_serving_does_not_believe_is_not_believed_here(
    settings: Settings, topics: list[TopicReport]
) -> None:
    ahead = shop_event("ann", "view_item", START_MS + DAY_MS)._replace(sent_ms=START_MS)
    await fill(settings, [ahead])
    assert (await read(TopicShop(settings))).runs.raw["time_ms"].tolist() == [START_MS]


async def test_what_retention_has_deleted_is_said_with_the_time_from_which_on_all_is_there(
    settings: Settings, topics: list[TopicReport]
) -> None:
    events = happened([(f"user-{n % 40}", "view_item", n * 60_000) for n in range(400)])
    await fill(settings, events)
    await delete_before(settings, settings.clicks_topic, 20)
    found = await read(TopicShop(settings))
    assert len(found.runs) == 400 - 4 * 20
    first_ms = max(found.runs.raw["time_ms"][found.runs.raw["time_ms"] > 0].min(), START_MS)
    whole, known = found.readings[0].notes
    assert whole.startswith(f"{settings.clicks_topic} is whole from 2026-01-01 0")
    assert "deleted (its retention)" in whole
    assert "in part only" in known
    # From a time on that is all there, nothing is to be said
    assert (await read(TopicShop(settings, since_ms=int(first_ms) + 5 * HOUR_MS))).readings[0].notes == []


async def test_what_is_deleted_while_others_are_read_is_said_and_the_rest_is_read(
    settings: Settings, topics: list[TopicReport]
) -> None:
    events = happened([(f"user-{n % 40}", "view_item", n) for n in range(400)])
    events += happened([(f"user-{n % 40}", "search", n) for n in range(400)])
    await fill(settings, sorted(events, key=lambda event: event.sent_ms))
    waiting, reading = {(0, p): 10**9 for p in range(settings.partitions)}, Reading("-")  # so no click is fetched yet
    polls = TopicShop(settings).polls(Kinds(), reading, waiting, lambda events: None)
    first = await asyncio.to_thread(next, polls)
    assert {frame.source for frame in first.frames} == {1}
    await delete_before(settings, settings.clicks_topic, 30)
    waiting.clear()
    rest = await asyncio.to_thread(list, polls)
    clicks = [frame for poll in rest for frame in poll.frames if frame.source == 0]
    assert sum(len(frame.records) for frame in clicks) == 400 - 4 * 30
    assert sorted(reading.notes) == [
        f"{settings.clicks_topic}[{p}]: 30 records were deleted while others were read (its retention)."
        for p in range(settings.partitions)
    ]


async def test_a_topic_that_is_far_behind_the_others_holds_them_back(
    settings: Settings, topics: list[TopicReport]
) -> None:
    """A fetch brings all clicks and a third of the searches, which are large: read as they come, the rest is late."""
    padding = "x" * 2_000
    clicks = happened([("ann", "view_item", n * 1000) for n in range(0, 3000, 2)])
    searches = [shop_event("ann", "search", START_MS + n * 1000, padding=padding) for n in range(1, 3000, 2)]
    await fill(settings, clicks)
    await fill(settings, searches)
    found = (await read(TopicShop(settings, waiting_max=100))).runs
    assert np.array_equal(found.raw["time_ms"], START_MS + 1000 * np.arange(3000))


async def test_a_broker_that_is_absent_is_named(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    absent = EmbeddedBroker(tmp_path_factory.mktemp("absent")).bootstrap_servers
    with pytest.raises(BrokerError, match=f"broker {absent}"):
        await read(TopicShop(msgspec.structs.replace(settings, bootstrap_servers=absent)))


async def test_reading_leaves_no_group_behind_and_commits_nothing(
    settings: Settings, topics: list[TopicReport]
) -> None:
    await fill(settings, happened([("ann", "view_item", 0)]))
    before = await ends(settings, settings.source_topics)
    await read(TopicShop(settings))
    assert await ends(settings, settings.source_topics) == before
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        groups = {group for group, *_ in await admin.list_consumer_groups()}
    finally:
        await admin.close()
    assert settings.app_id not in groups
    assert not any(group == "" for group in groups)


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"expected a time to begin at .* got 2026-01-01 01:00:00Z and 2026-01-01"):
        TopicShop(Settings(), since_ms=START_MS + HOUR_MS, until_ms=START_MS)
