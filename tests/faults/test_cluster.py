"""Three brokers as one: what a leader had acknowledged is read on from its successor."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from stream.kafka import topics
from tests.faults.cluster import MIN_INSYNC, REPLICAS, Cluster

pytestmark = pytest.mark.broker

BEFORE, AFTER = 100, 50


async def _create(cluster: Cluster) -> None:
    async with topics.admin_of(cluster.bootstrap_servers) as admin:
        configs = {"min.insync.replicas": str(MIN_INSYNC)}
        await admin.create_topics([NewTopic("kept", 1, REPLICAS, topic_configs=configs)])


async def test_a_leader_is_killed_and_another_one_goes_on_without_loss(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        await _create(cluster)
        await cluster.until_in_sync("kept", 0)
        async with (
            AIOKafkaProducer(bootstrap_servers=cluster.bootstrap_servers, enable_idempotence=True) as producer,
            AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap_servers, auto_offset_reset="earliest") as consumer,
        ):
            consumer.assign([TopicPartition("kept", 0)])
            for number in range(BEFORE):
                await producer.send_and_wait("kept", b"%d" % number, partition=0)
            former = await cluster.leader("kept", 0)
            cluster.nodes[former].kill()
            for number in range(BEFORE, BEFORE + AFTER):
                await producer.send_and_wait("kept", b"%d" % number, partition=0)
            assert await cluster.leader("kept", 0) not in (former, -1)
            async with asyncio.timeout(60):
                values = [(await consumer.getone()).value for _ in range(BEFORE + AFTER)]
        assert values == [b"%d" % number for number in range(BEFORE + AFTER)]
        cluster.nodes[former].start()
        await cluster.until_in_sync("kept", 0)
