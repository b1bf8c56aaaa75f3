from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.errors import BrokerError, SettingsError
from stream.kafka import topics
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topics import Problem, TopicsError
from stream.patience import Patience
from stream.settings import Settings


async def test_what_ensure_creates_check_finds_without_a_difference(settings: Settings) -> None:
    created = await topics.ensure(settings)
    assert {report.topic for report in created} == {
        *settings.read_topics,
        *settings.output_topics,
        settings.models_topic,
        settings.changelog_topic,
    }
    assert {r.topic: r.partitions for r in created if r.partitions != 4} == {settings.models_topic: 1}
    assert all(r.created and r.replication_factor == 1 and not r.differences for r in created)
    assert await topics.check(settings) == [dataclasses.replace(r, created=False) for r in created]


async def test_ensure_is_right_twice_and_by_two_processes_at_once(settings: Settings) -> None:
    both = await asyncio.gather(topics.ensure(settings), topics.ensure(settings))
    assert all(one.created != other.created for one, other in zip(*both, strict=True))
    assert not any(report.created for report in await topics.ensure(settings))


async def test_check_names_every_missing_topic_and_creates_none(settings: Settings) -> None:
    for _ in range(2):
        with pytest.raises(SettingsError) as refused:
            await topics.check(settings)
        assert str(refused.value).count(": missing") == 9
    assert settings.changelog_topic in str(refused.value)


async def test_unequal_counts_refuse_naming_each_topic_with_its_count(settings: Settings) -> None:
    await _create(settings, NewTopic(settings.searches_topic, 6, 1))
    with pytest.raises(SettingsError, match=f"{settings.searches_topic} has 6") as refused:
        await topics.ensure(settings)
    assert f"{settings.clicks_topic} would get 4" in str(refused.value)
    with pytest.raises(SettingsError, match=f"{settings.clicks_topic}: missing"):  # nothing was created meanwhile
        await topics.check(settings)
    reports = await topics.ensure(msgspec.structs.replace(settings, partitions=6))
    assert {report.partitions for report in reports if report.topic != settings.models_topic} == {6}


async def test_dead_letters_may_have_any_partition_count(settings: Settings) -> None:
    await _create(settings, NewTopic(settings.dead_letters_topic, 1, 1))
    reports = {report.topic: report for report in await topics.ensure(settings)}
    assert "partitions is 1, asked for 4" in reports[settings.dead_letters_topic].differences


async def test_a_changelog_that_is_not_compacted_refuses(settings: Settings) -> None:
    await _create(settings, NewTopic(settings.changelog_topic, 4, 1, topic_configs={"cleanup.policy": "delete"}))
    with pytest.raises(SettingsError, match=r"cleanup\.policy must be compact.*is delete"):
        await topics.ensure(settings)


async def test_a_models_topic_that_would_forget_or_has_no_single_order_refuses(settings: Settings) -> None:
    await _create(settings, NewTopic(settings.models_topic, 2, 1))
    with pytest.raises(TopicsError) as refused:
        await topics.ensure(settings)
    assert f"{settings.models_topic}: expected 1 partition, since an offset is a model's version, got 2" in str(
        refused.value
    )
    assert f"{settings.models_topic}: cleanup.policy must be compact, or models in use are deleted" in str(
        refused.value
    )


async def test_a_changelog_that_forgets_deletions_within_a_day_refuses(settings: Settings) -> None:
    configs = {"cleanup.policy": "compact", "delete.retention.ms": "86399999"}
    await _create(settings, NewTopic(settings.changelog_topic, 4, 1, topic_configs=configs))
    with pytest.raises(SettingsError, match=r"delete\.retention\.ms must be at least 86400000.*is 86399999"):
        await topics.ensure(settings)


async def test_more_insync_replicas_than_replicas_refuses(settings: Settings) -> None:
    await _create(settings, NewTopic(settings.clicks_topic, 4, 1, topic_configs={"min.insync.replicas": "2"}))
    with pytest.raises(SettingsError, match=r"min\.insync\.replicas=2 with 1 replicas"):
        await topics.ensure(settings)


async def test_all_problems_are_listed_one_per_line(settings: Settings) -> None:
    await _create(
        settings,
        NewTopic(settings.clicks_topic, 4, 1, topic_configs={"min.insync.replicas": "2"}),
        NewTopic(settings.changelog_topic, 2, 1),
    )
    with pytest.raises(SettingsError) as refused:
        await topics.check(settings)
    assert len(str(refused.value).splitlines()) == 7 + 3  # missing; counts, insync replicas, cleanup policy
    assert isinstance(refused.value, TopicsError)
    assert str(refused.value) == "\n".join(f"{found}; {remedy}" for found, remedy, _ in refused.value.problems)
    in_sync = f"{settings.clicks_topic}: min.insync.replicas=2 with 1 replicas: no record could be acknowledged"
    assert Problem(in_sync, "lower it, or add replicas") in refused.value.problems


async def test_other_retention_and_message_size_are_differences_only(settings: Settings) -> None:
    own = {"retention.ms": "1000", "max.message.bytes": "5000"}
    await _create(settings, NewTopic(settings.clicks_topic, 4, 1, topic_configs=own))
    for_ever = msgspec.structs.replace(settings, retention_hours=-1)
    clicks, *others = await topics.ensure(for_ever)
    assert clicks.differences == (
        "retention.ms is 1000, asked for -1",
        "max.message.bytes is 5000, asked for the broker's default",
    )
    assert not any(report.differences for report in others)
    assert str(clicks).startswith(f"{settings.clicks_topic}: exists, 4 partitions, 1 replicas; retention.ms")


async def test_more_replicas_than_brokers_is_the_brokers_own_refusal(settings: Settings) -> None:
    with pytest.raises(TopicsError, match=r"refuses to create it.*[Rr]eplication factor") as refused:
        await topics.ensure(msgspec.structs.replace(settings, replication_factor=3))
    assert {problem.remedy for problem in refused.value.problems} == {""}
    assert not any(line.endswith("; ") for line in str(refused.value).splitlines())


async def test_a_topic_beside_is_made_as_the_clicks_topic_is_and_is_there_afterwards(settings: Settings) -> None:
    own = {"retention.ms": "7200000", "cleanup.policy": "delete"}
    await _create(settings, NewTopic(settings.clicks_topic, 6, 1, topic_configs=own))
    name = f"labels-{settings.app_id}"
    await asyncio.gather(*(topics.ensure_beside(settings, name) for _ in range(2)))  # two processes at once
    assert await _told(settings, name) == (6, "7200000")
    await topics.ensure_beside(msgspec.structs.replace(settings, clicks_topic="not-there"), name)  # it is there


async def test_a_topic_beside_a_clicks_topic_that_is_missing_is_refused(settings: Settings) -> None:
    name = f"labels-{settings.app_id}"
    with pytest.raises(TopicsError, match=f"{settings.clicks_topic}: missing; `behaviour-stream topics` creates it"):
        await topics.ensure_beside(settings, name)
    await topics.ensure(settings)
    await topics.ensure_beside(settings, name)
    assert (await _told(settings, name))[0] == 4


async def test_an_absent_broker_is_said_at_once_and_raised_after_the_timeout(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    absent, said = EmbeddedBroker(tmp_path).bootstrap_servers, list[str]()
    with pytest.raises(BrokerError, match=rf"{absent} does not answer \(ConnectionRefusedError\); gave up after 1 s"):
        await topics.wait_for_broker(absent, timeout_secs=1.0, patience=Patience(said.append))
    assert said == [f"broker {absent} does not answer (ConnectionRefusedError); waiting, 0 s so far"]
    assert not caplog.records
    assert logging.getLogger("aiokafka.client").isEnabledFor(logging.ERROR)  # and is heard again afterwards
    with pytest.raises(BrokerError, match=absent):
        await topics.check(msgspec.structs.replace(Settings(), bootstrap_servers=absent))


async def test_a_port_that_accepts_and_says_nothing_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = "{}:{}".format(*mute.getsockname())
        with pytest.raises(BrokerError, match=r"does not answer \(\w+Error\); gave up after 1 s"):
            await topics.wait_for_broker(address, timeout_secs=1.0, patience=Patience(lambda _: None))


async def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="--bootstrap-servers=shop:port: expected host:port"):
        await topics.wait_for_broker("shop:port", timeout_secs=None, patience=Patience(lambda _: None))


@pytest.mark.broker
async def test_a_broker_that_comes_up_during_the_wait_is_found(tmp_path: Path) -> None:
    broker, said = EmbeddedBroker(tmp_path), asyncio.Queue[str]()
    waiting = asyncio.create_task(
        topics.wait_for_broker(broker.bootstrap_servers, timeout_secs=60.0, patience=Patience(said.put_nowait))
    )
    assert "waiting, 0 s so far" in await said.get()
    with broker:  # blocks the loop: the wait goes on once it is up
        await waiting
    assert (await said.get()).startswith(f"broker {broker.bootstrap_servers} answers, after ")


async def _create(settings: Settings, *new: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        await admin.start()
        assert not any(code for _, code, _ in (await admin.create_topics(list(new))).topic_errors)
        while True:  # the controller has them; the broker tells of them up to 0.3 s later
            if {topic.name for topic in new} <= set(await admin.list_topics()):
                break
            await asyncio.sleep(0.01)
    finally:
        await admin.close()


async def _told(settings: Settings, name: str) -> tuple[int, str]:
    """Partitions and retention of a topic, asked at once."""
    async with topics.admin_of(settings.bootstrap_servers) as admin:
        (found,) = await admin.describe_topics([name])
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    (resource,) = answer.to_object()["resources"]
    configs = {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
    return len(found["partitions"]), configs["retention.ms"]
