"""What is said of brokers, topics, lag, rights and clocks, asked of a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int8, Int16, Int32, Schema, String

from stream.doctor import clock, cluster, rights, waiting
from stream.doctor.cluster import Cluster
from stream.doctor.examine import examine
from stream.doctor.finding import Finding, is_ok
from stream.doctor.reach import find_broker
from stream.doctor.topics import check_durability, check_partitions, check_topics
from stream.kafka import inquiry, wire
from stream.kafka import topics as topics_module
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.inquiry import ClockReading, Partition, Topic
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from tests.running import ends

TIMEOUT_SECS = 120.0  # of a busy machine: PyTorch alone takes it 20


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[AIOKafkaClient]:
    async with connected(settings.bootstrap_servers) as client:
        yield client


@contextlib.asynccontextmanager
async def connected(servers: str) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    try:
        yield client
    finally:
        await client.close()


def named(findings: list[Finding], name: str) -> list[Finding]:
    return [finding for finding in findings if finding.name == name]


def errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.status == "error"]


async def create(settings: Settings, *new: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics(list(new))
    finally:
        await admin.close()


async def configure(settings: Settings, topic: str, **config: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        configs = {name.replace("_", "."): value for name, value in config.items()}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic)]
        while True:  # until the broker has it from the controller
            (answer,) = await admin.describe_configs(asked)
            (found,) = answer.to_object()["resources"]
            if configs.items() <= {e["config_names"]: e["config_value"] for e in found["config_entries"]}.items():
                return
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def send(settings: Settings, topic: str, *times_ms: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for time_ms in times_ms:
            await producer.send_and_wait(topic, b"{}", partition=0, timestamp_ms=time_ms)


# -- all of it ---------------------------------------------------------------------------------------------------------


async def test_where_all_is_well_there_is_no_error_and_every_part_is_looked_at(
    settings: Settings, topics: list[TopicReport]
) -> None:
    findings = await examine(settings, [], TIMEOUT_SECS)
    assert errors(findings) == []
    assert is_ok(findings)
    assert not is_ok(findings, strict=True)  # the shipped model has learned from simulated shoppers
    names = "settings broker topics durability partitions waiting rights clock disk memory files cpu port gpu model"
    assert [finding.name for finding in findings] == names.split()


async def test_without_a_broker_its_checks_are_skipped_and_the_others_are_not(settings: Settings) -> None:
    with socket.socket() as bound:  # not listened on
        bound.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{bound.getsockname()[1]}"
        findings = await examine(msgspec.structs.replace(settings, bootstrap_servers=nobody), [], TIMEOUT_SECS)
    assert [finding.name for finding in errors(findings)] == ["broker"]
    skipped = [finding.name for finding in findings if finding.status == "skipped"]
    assert skipped == ["topics", "durability", "partitions", "waiting", "rights", "clock"]
    assert named(findings, "disk")[0].status == named(findings, "port")[0].status == "ok"


async def test_where_the_broker_tells_nothing_of_topics_the_checks_that_need_it_are_skipped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> Cluster:
        raise ClusterAuthorizationFailedError

    monkeypatch.setattr("stream.doctor.examine.look", refused)
    findings = await examine(settings, [], TIMEOUT_SECS)
    assert [(finding.name, finding.found) for finding in errors(findings)] == [
        ("broker", "could not be looked at: ClusterAuthorizationFailedError()")
    ]
    skipped = [finding.name for finding in findings if finding.status == "skipped"]
    assert skipped == ["topics", "durability", "partitions", "waiting", "rights", "clock"]


async def test_a_kafka_before_2_3_is_said_to_be_one_and_no_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for question in (wire._TopicsQuestion, wire._TopicsQuestionForIds):
        monkeypatch.setattr(question, "API_VERSION", 99)  # as new to this broker as ours is to that one
    findings = await examine(settings, [], TIMEOUT_SECS)
    assert errors(findings) == []
    _, old = named(findings, "broker")
    assert (old.status, old.found) == ("warning", "doctor asks what Kafka 2.3 and newer tell, and this one is older")
    assert len([finding for finding in findings if finding.status == "skipped"]) == 6


async def test_names_whose_look_up_hangs_are_warnings_and_nothing_waits_for_them(
    settings: Settings, topics: list[TopicReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = [f"hung-{n}.invalid" for n in range(9)]  # several: aiokafka tries its servers in any order
    look_up, end, asked = socket.getaddrinfo, threading.Event(), list[threading.Thread]()

    def hang(host: Any, *more: Any, **options: Any) -> Any:
        if host not in hung:
            return look_up(host, *more, **options)
        asked.append(threading.current_thread())
        end.wait(TIMEOUT_SECS)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    servers = ",".join([*(f"{name}:9092" for name in hung), settings.bootstrap_servers])
    try:
        findings = await examine(msgspec.structs.replace(settings, bootstrap_servers=servers), [], TIMEOUT_SECS)
    finally:
        end.set()
    assert errors(findings) == []
    *warnings, ok = named(findings, "broker")
    assert ok.status == "ok"
    assert {finding.status for finding in warnings} == {"warning"}
    said = [finding.found for finding in warnings]
    assert said == [f"{name}:9092 does not answer: no connection in 4 s" for name in hung]
    # Python waits at its end for the threads in which asyncio looks names up, which are no daemons.
    assert [thread.daemon for thread in asked] == [True] * len(hung)


async def test_what_takes_too_long_is_an_error_of_its_own(settings: Settings, topics: list[TopicReport]) -> None:
    started = time.monotonic()
    findings = await examine(settings, [], 0.001)
    assert {finding.found for finding in errors(findings)} == {"no answer within 0.001 s"}
    assert time.monotonic() - started < 10


# -- the broker --------------------------------------------------------------------------------------------------------


async def broker_errors(servers: str) -> list[str]:
    findings, reached = await find_broker(msgspec.structs.replace(Settings(), bootstrap_servers=servers))
    assert reached is None
    assert all(finding.status == "error" and finding.to_do for finding in findings)
    return [finding.found for finding in findings]


async def test_a_name_that_does_not_resolve_a_closed_port_and_a_wrong_address_are_told_apart() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{bound.getsockname()[1]}"
        name, refused = await broker_errors(f"kafka.invalid:9092,{closed}")
    assert name.startswith("kafka.invalid:9092 cannot be found: the name does not resolve")
    assert refused == f"{closed} refuses the connection: nothing listens there"
    assert "no list of hosts" in (await broker_errors("kafka:port"))[0]


async def test_a_port_whose_connections_nobody_takes_is_a_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting_:
        address = full.getsockname()
        for _ in range(8):  # more than its queue holds: the next connection is left without an answer
            waiting_.enter_context(one := socket.socket()).setblocking(False)
            one.connect_ex(address)
        (said,) = await broker_errors(f"127.0.0.1:{address[1]}")
    assert said.endswith("does not answer: no connection in 3 s")


async def test_what_is_no_kafka_broker_is_said_to_be_none() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        (said,) = await broker_errors(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert "does not answer as a Kafka broker" in said


async def test_one_broker_of_two_that_does_not_answer_is_a_warning(settings: Settings) -> None:
    servers = f"kafka.invalid:9092,{settings.bootstrap_servers}"
    findings, reached = await find_broker(msgspec.structs.replace(settings, bootstrap_servers=servers))
    assert reached is not None
    await reached.client.close()
    assert reached.servers == settings.bootstrap_servers
    assert [finding.status for finding in findings] == ["warning", "ok"]
    assert "1 broker, controller is 1" in findings[1].found


async def test_a_broker_that_sends_us_to_an_address_where_it_is_not_is_an_error(tmp_path: Path) -> None:
    # As with a broker in Docker that is known by its container's name.
    elsewhere = {"advertised.listeners": "PLAINTEXT://kafka.invalid:9092"}
    with EmbeddedBroker(tmp_path, properties=elsewhere) as broker:
        settings = msgspec.structs.replace(Settings(), bootstrap_servers=broker.bootstrap_servers)
        findings, reached = await find_broker(settings)
    assert reached is None
    (wrong,) = errors(findings)
    assert "broker 1 says that it is at kafka.invalid:9092" in wrong.found
    assert "advertised.listeners" in wrong.to_do


# -- topics ------------------------------------------------------------------------------------------------------------


async def test_missing_topics_are_one_error_with_one_thing_to_do(settings: Settings, client: AIOKafkaClient) -> None:
    view = await cluster.look(settings, client)
    findings = await check_topics(settings, view)
    assert [finding.to_do for finding in findings] == ["`behaviour-stream topics` creates it"]
    assert findings[0].found.count(": missing") == 9
    for check in (check_durability, check_partitions, waiting.check_waiting, rights.check_rights, clock.check_clock):
        assert [finding.status for finding in await check(settings, view)] == ["skipped"]


async def test_unequal_partitions_and_a_changelog_that_is_not_compacted_are_errors(
    settings: Settings, client: AIOKafkaClient
) -> None:
    await create(
        settings,
        *(
            NewTopic(name, 4, 1)
            for name in (*settings.source_topics[:2], settings.erasures_topic, *settings.output_topics)
        ),
        NewTopic(settings.purchases_topic, 3, 1),
        NewTopic(settings.changelog_topic, 4, 1),
        NewTopic(settings.models_topic, 1, 1, topic_configs={"cleanup.policy": "compact"}),
    )
    findings = errors(await check_topics(settings, await cluster.look(settings, client)))
    assert len(findings) == 2
    assert f"{settings.purchases_topic} has 3" in findings[0].found
    assert findings[0].to_do.startswith("delete and recreate those that differ")
    assert "cleanup.policy must be compact" in findings[1].found
    assert "--add-config cleanup.policy=compact" in findings[1].to_do


async def test_topics_that_differ_from_the_settings_are_a_warning(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    other = msgspec.structs.replace(settings, partitions=8)
    view = await cluster.look(other, client)
    _, warning = await check_topics(other, view)
    assert (warning.status, warning.found) == ("warning", "partitions is 4, asked for 8")


def seen(brokers: int, partition: Partition, least: int) -> Cluster:
    """Brokers with a topic of one partition."""
    name = Settings().clicks_topic
    configs = {name: {"min.insync.replicas": str(least)}}
    return Cluster(AIOKafkaClient, brokers, {name: Topic((partition,), 0)}, configs, {})


@pytest.mark.parametrize(
    ("brokers", "replicas", "least", "words"),
    [
        (1, 1, 1, "one broker"),
        (3, 1, 1, "one copy on 3 brokers"),
        (3, 3, 3, "while a broker is down, nothing is written"),
        (3, 3, 1, "can be lost"),
        (3, 3, 2, "stops nothing and loses nothing"),
    ],
)
async def test_replicas_are_held_against_brokers_and_min_insync_replicas(
    brokers: int, replicas: int, least: int, words: str
) -> None:
    copies = tuple(range(1, replicas + 1))
    (finding,) = await check_durability(Settings(), seen(brokers, Partition(0, 1, copies, copies), least))
    assert words in finding.found


@pytest.mark.parametrize(
    ("leader", "in_sync", "status", "words"),
    [
        (-1, (), "error", "without a leader: clicks[0]"),
        (1, (1,), "error", "nothing can be written: clicks[0]"),
        (1, (1, 2), "warning", "not all replicas in sync: clicks[0]"),
    ],
)
async def test_a_partition_without_a_leader_or_with_too_few_in_sync_is_said(
    leader: int, in_sync: tuple[int, ...], status: str, words: str
) -> None:
    view = seen(3, Partition(0, leader, (1, 2, 3), in_sync), 2)
    finding = (await check_partitions(Settings(), view))[0]
    assert (finding.status, words in finding.found) == (status, True)


# -- waiting records ---------------------------------------------------------------------------------------------------


async def test_waiting_records_are_counted_from_what_the_group_has_committed(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    now_ms = int(time.time() * 1000)
    await send(settings, settings.clicks_topic, *[now_ms] * 5)
    (finding,) = await waiting.check_waiting(settings, await cluster.look(settings, client))
    assert finding.found == f"5 records to score; no worker in {settings.app_id}"
    async with group_member(settings) as member:
        await member.commit({TopicPartition(settings.clicks_topic, 0): 3})
        (finding,) = await waiting.check_waiting(settings, await cluster.look(settings, client))
        assert finding.found == f"2 records to score; 1 worker in {settings.app_id}"


async def test_waiting_records_that_retention_may_delete_are_a_warning(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    now_ms = int(time.time() * 1000)
    await send(settings, settings.clicks_topic, now_ms - 9 * 3_600_000)
    assert len(await waiting.check_waiting(settings, await cluster.look(settings, client))) == 1  # kept for ever
    await configure(settings, settings.clicks_topic, retention_ms=str(10 * 3_600_000), cleanup_policy="delete")
    _, finding = await waiting.check_waiting(settings, await cluster.look(settings, client))
    assert finding.status == "warning"
    assert f"{settings.clicks_topic} in 1.0 h" in finding.found


async def test_records_that_were_deleted_before_they_were_scored_are_a_warning(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    await send(settings, settings.clicks_topic, *[int(time.time() * 1000)] * 5)
    async with group_member(settings) as member:
        await member.commit({TopicPartition(settings.clicks_topic, 0): 1})
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(settings.clicks_topic, 0): RecordsToDelete(before_offset=4)})
    await admin.close()
    _, finding = await waiting.check_waiting(settings, await cluster.look(settings, client))
    assert finding.found == "up to 3 records were deleted before they were scored"


@contextlib.asynccontextmanager
async def group_member(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        settings.clicks_topic,
        bootstrap_servers=settings.bootstrap_servers,
        group_id=settings.app_id,
        enable_auto_commit=False,
    )
    async with consumer:
        while not consumer.assignment():  # noqa: ASYNC110 - aiokafka has no event of it
            await asyncio.sleep(0.05)
        yield consumer


# -- rights ------------------------------------------------------------------------------------------------------------


async def test_asking_for_a_transactional_id_neither_makes_it_nor_fences_who_has_it(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    used = f"{settings.app_id}-p0"
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=used)
    async with producer:
        async with producer.transaction():
            await producer.send_and_wait(settings.changelog_topic, b"row", key=b"user", partition=0)
            before = await _transactions(settings)
            assert await inquiry.may_use_transactional_id(client, used)
            assert await inquiry.may_use_transactional_id(client, f"{settings.app_id}-p1")
            assert await _transactions(settings) == before
        async with producer.transaction():  # it still has it
            await producer.send_and_wait(settings.changelog_topic, b"row", key=b"user", partition=0)


async def _transactions(settings: Settings) -> dict[Any, int]:
    async with AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers) as consumer:
        return dict(await consumer.end_offsets([TopicPartition("__transaction_state", p) for p in range(8)]))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that refuses what it was told to refuse."""
    guard = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with EmbeddedBroker(tmp_path_factory.mktemp("guarded"), properties=guard) as running:
        yield running


_READ, _WRITE = 3, 4
_TOPIC, _GROUP, _TRANSACTIONAL_ID = 2, 3, 5


async def test_rights_that_are_denied_are_an_error_that_names_each(guarded: EmbeddedBroker) -> None:
    settings = msgspec.structs.replace(Settings(), bootstrap_servers=guarded.bootstrap_servers)
    await topics_module.ensure(settings)
    async with connected(settings.bootstrap_servers) as client:
        (finding,) = await rights.check_rights(settings, await cluster.look(settings, client))
        assert finding.status == "ok", finding
        await deny(client, _TOPIC, settings.searches_topic, _READ)
        await deny(client, _TOPIC, settings.anomaly_scores_topic, _WRITE)
        await deny(client, _GROUP, settings.app_id, _READ)
        await deny(client, _TRANSACTIONAL_ID, f"{settings.app_id}-p3", _WRITE)
        (finding,) = await rights.check_rights(settings, await cluster.look(settings, client))
    assert finding.status == "error"
    refused = finding.found.removeprefix("the broker refuses this client: ").split(", ")
    assert refused == [
        f"READ on {settings.searches_topic}",
        f"WRITE on {settings.anomaly_scores_topic}",
        f"READ on group {settings.app_id}",
        f"WRITE on transactional id {settings.app_id}-p3",
    ]


async def deny(client: AIOKafkaClient, kind: int, name: str, operation: int) -> None:
    """Take a right from everyone by one ACL; another allows all others, which were free before there was one."""
    for number, permission in ((operation, 2), (2, 3)):  # deny this, allow all
        answer = await client.send(client.get_random_node(), _CreateAcl(kind, name, number, permission))
        assert [code for code, _ in answer.results] == [0]


class _AclAnswer(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 30
    API_VERSION = 1
    SCHEMA = Schema(("throttle_time_ms", Int32), ("results", Array(("error_code", Int16), ("error_message", String()))))


class _AclQuestion(RequestStruct):  # type: ignore[misc]
    API_KEY = 30
    API_VERSION = 1
    RESPONSE_TYPE = _AclAnswer
    SCHEMA = Schema(
        (
            "creations",
            Array(
                ("resource_type", Int8),
                ("resource_name", String()),
                ("pattern_type", Int8),
                ("principal", String()),
                ("host", String()),
                ("operation", Int8),
                ("permission", Int8),
            ),
        )
    )


class _CreateAcl(Request[_AclQuestion]):  # type: ignore[misc]
    API_KEY = 30

    def __init__(self, kind: int, name: str, operation: int, permission: int) -> None:
        self._acl = (kind, name, 3, "User:*", "*", operation, permission)  # 3: this very name

    def build(self, request_struct_class: type[_AclQuestion]) -> _AclQuestion:
        return request_struct_class([self._acl])


# -- clocks ------------------------------------------------------------------------------------------------------------


async def test_the_broker_s_clock_is_read_and_no_record_is_left(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    leader = client.get_random_node()
    for shift_ms in (0, 5_000, -90_000):
        # The broker's limit is an hour: to take it for more is to see its clock behind by as much.
        limit_ms = 3_600_000 + shift_ms
        reading = await inquiry.read_clock(client, settings.changelog_topic, 0, leader, limit_ms)
        assert reading.least_ms <= -shift_ms <= reading.most_ms
        assert reading.most_ms - reading.least_ms < 15_000
    (finding,) = await clock.check_clock(settings, await cluster.look(settings, client))
    assert "broker 1 is 0." in finding.found
    assert set((await ends(settings, [settings.changelog_topic])).values()) == {0}


@pytest.mark.parametrize(
    ("least_ms", "most_ms", "status"),
    [(-10, 10, "ok"), (900, 1_100, "ok"), (1_200, 1_300, "warning"), (-5_000, -4_000, "warning"),
     (299_000, 301_000, "warning"), (301_000, 302_000, "error"), (-400_000, -390_000, "error")],
)  # fmt: skip
def test_a_second_apart_is_a_warning_and_the_bound_of_event_times_an_error(
    least_ms: int, most_ms: int, status: str
) -> None:
    assert clock.judge(ClockReading(least_ms, most_ms), 1, 300_000).status == status


async def test_a_clock_beyond_all_that_was_asked_for_is_an_error_with_the_least_that_is_known(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    year_ms = 365 * 86_400_000
    leader = client.get_random_node()
    reading = await inquiry.read_clock(client, settings.changelog_topic, 0, leader, 3_600_000 + year_ms)
    finding = clock.judge(reading, leader, 300_000)
    assert finding.status == "error"
    assert "broker 1 is at least 1,1" in finding.found  # 13 days in seconds
    assert "s behind this machine" in finding.found


async def test_the_clock_is_read_from_a_changelog_that_refuses_old_timestamps_too(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    hour_ms = 3_600_000
    own = {"cleanup_policy": "compact", "message_timestamp_before_max_ms": str(hour_ms)}
    await configure(settings, settings.changelog_topic, **own)
    (finding,) = await clock.check_clock(settings, await cluster.look(settings, client))
    assert finding.status == "ok"
    assert "broker 1 is 0." in finding.found
    leader = client.get_random_node()
    for shift_ms in (5_000, -90_000):
        reading = await inquiry.read_clock(client, settings.changelog_topic, 0, leader, hour_ms + shift_ms)
        assert reading.least_ms <= -shift_ms <= reading.most_ms
        assert reading.most_ms - reading.least_ms < 15_000
    with pytest.raises(KafkaError, match="it refuses every timestamp"):  # a clock a year behind takes none of them
        await inquiry.read_clock(client, settings.changelog_topic, 0, leader, hour_ms + 365 * 24 * hour_ms)
    assert set((await ends(settings, [settings.changelog_topic])).values()) == {0}


async def test_where_the_clock_cannot_be_read_records_of_the_future_are_looked_for(
    settings: Settings, topics: list[TopicReport], client: AIOKafkaClient
) -> None:
    no_limit = str(2**63 - 1)
    await configure(
        settings, settings.changelog_topic, cleanup_policy="compact", message_timestamp_after_max_ms=no_limit
    )
    (finding,) = await clock.check_clock(settings, await cluster.look(settings, client))
    assert finding.status == "skipped"
    assert "takes any timestamp" in finding.found
    await send(settings, settings.clicks_topic, int(time.time() * 1000) + 120_000)
    (finding,) = await clock.check_clock(settings, await cluster.look(settings, client))
    assert finding.status == "warning"
    assert "1 partitions have records over a second ahead" in finding.found
    assert set((await ends(settings, [settings.changelog_topic])).values()) == {0}
