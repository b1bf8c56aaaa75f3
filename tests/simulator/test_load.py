import asyncio
import itertools
import re
import socket
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.errors import BrokerError, SettingsError
from stream.kafka.embedded import EmbeddedBroker
from stream.shop_event import ROLES, ShopEvent
from stream.simulator import scenario
from stream.simulator.load import Destination, produce
from stream.simulator.simulate import simulate

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
PARTITIONS = 3
KEPT = {"retention.ms": "-1"}  # simulated records are months old: every 5 min the broker would delete them


class Broker(Protocol):
    bootstrap_servers: str


async def new_topics(broker: Broker, *partitions: int) -> Destination:
    topics: dict[str, str] = {role: f"{role}-{uuid.uuid4().hex}" for role in ROLES}
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(topics[role], n, 1, topic_configs=KEPT) for role, n in zip(ROLES, partitions, strict=True)]
        )
    finally:
        await admin.close()
    return Destination(broker.bootstrap_servers, topics)


async def read_back(destination: Destination, events: int) -> dict[str, list[ConsumerRecord]]:
    """Role -> its records, each partition's in offset order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=destination.bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, p) for topic in destination.topics.values() for p in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        assert sum(ends.values()) == events
        roles = {topic: role for role, topic in destination.topics.items()}
        found: dict[str, list[ConsumerRecord]] = defaultdict(list)
        async with asyncio.timeout(20):
            while sum(map(len, found.values())) < events:
                for place, records in (await consumer.getmany(timeout_ms=200)).items():
                    found[roles[place.topic]] += records
        return found
    finally:
        await consumer.stop()


def first_events(n: int) -> list[ShopEvent]:
    return list(itertools.islice(simulate(scenario.load(), seed=5, users=300, start_ms=START_MS), n))


def endless() -> Iterator[ShopEvent]:
    return simulate(scenario.load(), seed=5, users=300, start_ms=START_MS)


@pytest.mark.broker
async def test_every_event_arrives_once_with_its_own_time_and_each_users_in_order(broker: Broker) -> None:
    events = first_events(20_000)
    destination = await new_topics(broker, PARTITIONS, PARTITIONS, PARTITIONS)
    report = await produce(events, destination, rate_per_sec=None, record_time="own")
    assert report.events == len(events)
    found = await read_back(destination, len(events))
    for role in ROLES:
        expected, got = defaultdict(list), defaultdict(list)
        for event in events:
            if event.topic == role:
                expected[event.key].append((event.value, event.sent_ms))
        for record in found[role]:
            got[record.key].append((record.value, record.timestamp))
        assert got == expected


@pytest.mark.broker
async def test_a_user_has_the_partition_that_any_kafka_client_gives_them(broker: Broker) -> None:
    events = first_events(3_000)
    destination = await new_topics(broker, PARTITIONS, PARTITIONS, PARTITIONS)
    await produce(events, destination)
    found = await read_back(destination, len(events))
    partitions = defaultdict(set)
    for record in itertools.chain(*found.values()):
        partitions[record.key].add(record.partition)
    assert {partition for places in partitions.values() for partition in places} == set(range(PARTITIONS))
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as client:
        for key in list(partitions)[:20]:
            sent = await client.send_and_wait(destination.topics["clicks"], b"{}", key=key)
            assert partitions[key] == {sent.partition}


@pytest.mark.broker
@pytest.mark.parametrize("rate_per_sec", [500.0, 20_000.0])
async def test_a_rate_is_kept_within_two_percent(broker: Broker, rate_per_sec: float) -> None:
    destination = await new_topics(broker, PARTITIONS, PARTITIONS, PARTITIONS)
    events = first_events(int(2 * rate_per_sec))
    report = await produce(events, destination, rate_per_sec=rate_per_sec, record_time="now")
    assert report.events / report.seconds == pytest.approx(rate_per_sec, rel=0.02)


@pytest.mark.broker
async def test_a_paced_load_is_even_and_stamped_with_the_time_of_sending(broker: Broker) -> None:
    destination = await new_topics(broker, PARTITIONS, PARTITIONS, PARTITIONS)
    before_ms = int(time.time() * 1000)
    await produce(first_events(2_000), destination, rate_per_sec=2_000, record_time="now")
    after_ms = int(time.time() * 1000)
    stamps = sorted(record.timestamp for record in itertools.chain(*(await read_back(destination, 2_000)).values()))
    assert before_ms <= stamps[0]
    assert stamps[-1] <= after_ms
    tenths = Counter((stamp - stamps[0]) // 100 for stamp in stamps)
    # 200 in each tenth of the second; a busy machine may spoil two of them
    assert sum(150 <= tenths[tenth] <= 250 for tenth in range(10)) >= 8


@pytest.mark.broker
async def test_recorded_time_passes_speed_times_as_fast(broker: Broker) -> None:
    destination = await new_topics(broker, PARTITIONS, PARTITIONS, PARTITIONS)
    events = [ShopEvent("clicks", b"u", b"{}", START_MS + after_ms) for after_ms in (0, 1_000, 60_000, 120_000)]
    report = await produce(events, destination, speed=120)
    assert report.events == 4
    assert 1.0 <= report.seconds < 1.2


@pytest.mark.broker
@pytest.mark.parametrize("pace", [{}, {"rate_per_sec": 1_000.0}, {"speed": 0.001}], ids=["flat out", "rate", "speed"])
async def test_stop_ends_an_endless_load_at_once_and_all_it_counts_has_arrived(
    broker: Broker, pace: dict[str, Any]
) -> None:
    destination = await new_topics(broker, PARTITIONS, PARTITIONS, PARTITIONS)
    stop, shown = asyncio.Event(), list[int]()
    load = asyncio.create_task(produce(endless(), destination, stop=stop, progress=shown.append, **pace))
    await asyncio.sleep(0.6)
    stop.set()
    async with asyncio.timeout(1):
        report = await load
    assert report.events == shown[-1] > 0
    await read_back(destination, report.events)


@pytest.mark.broker
async def test_unequal_partition_counts_are_refused_by_name(broker: Broker) -> None:
    destination = await new_topics(broker, 3, 3, 2)
    purchases = re.escape(destination.topics["purchases"])
    with pytest.raises(SettingsError, match=rf"equal partition counts.*{purchases}: 2.*nothing was sent"):
        await produce(endless(), destination)


@pytest.mark.broker
async def test_an_absent_topic_is_refused_by_name(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.simulator.load._METADATA_SECS", 0.5)
    destination = await new_topics(broker, 1, 1, 1)
    absent = Destination(destination.bootstrap_servers, {**destination.topics, "searches": "not-there"})
    with pytest.raises(SettingsError, match="'not-there' for searches, got none"):
        await produce(endless(), absent)


@pytest.mark.broker
async def test_an_event_that_the_broker_refuses_ends_the_load_with_its_topic_partition(broker: Broker) -> None:
    destination = await new_topics(broker, 1, 1, 1)
    huge = ShopEvent("searches", b"u", bytes(2_000_000), START_MS)  # over message.max.bytes
    with pytest.raises(BrokerError, match=rf"{destination.topics['searches']}\[0\]: .*MessageSizeTooLarge"):
        await produce([huge], destination)


@pytest.mark.broker
async def test_a_broker_that_comes_back_costs_no_event_and_one_that_does_not_ends_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedBroker(tmp_path / "broker", heap_mb=256) as own:
        destination = await new_topics(own, PARTITIONS, PARTITIONS, PARTITIONS)
        events = first_events(3_000)
        # With their own times, long past, the restarted broker would hold the producer for expired and store twice
        load = asyncio.create_task(produce(events, destination, rate_per_sec=1_000, record_time="now"))
        await asyncio.sleep(1)
        own.kill()
        await asyncio.sleep(0.5)
        own.start()
        assert (await load).events == len(events)
        found = await read_back(destination, len(events))
        values = [record.value for record in itertools.chain(*found.values())]
        assert sorted(values) == sorted(event.value for event in events)

        monkeypatch.setattr("stream.simulator.load._ACK_SECS", 1.0)
        load = asyncio.create_task(produce(endless(), destination, rate_per_sec=1_000))
        await asyncio.sleep(1)
        own.kill()
        async with asyncio.timeout(10):
            with pytest.raises(BrokerError, match=r"\[\d\]: expected an acknowledgement, got none in 1 s"):
                await load


async def test_an_absent_broker_is_a_broker_error_that_says_where() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can take it meanwhile
        where = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(BrokerError, match=f"^{where}: expected a Kafka broker, got .*nothing was sent"):
            await produce(endless(), Destination(where, {role: role for role in ROLES}))


@pytest.mark.parametrize(
    ("pace", "said"),
    [
        ({"rate_per_sec": 0.0}, "events per second, got 0"),
        ({"rate_per_sec": -5.0}, "got -5"),
        ({"rate_per_sec": 1e8}, "at most 10000000"),
        ({"rate_per_sec": float("nan")}, "got nan"),
        ({"speed": 0.0}, "recorded speed, got 0"),
        ({"rate_per_sec": 1.0, "speed": 1.0}, "a rate or a speed, got both"),
    ],
)
async def test_a_pace_that_cannot_be_is_refused_before_any_connection(pace: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        await produce([], Destination("127.0.0.1:1", {}), **pace)
