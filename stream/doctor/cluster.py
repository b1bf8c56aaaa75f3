"""What the broker says of our topics and our group, asked once for all checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient

from stream.kafka import inquiry
from stream.kafka.inquiry import Topic
from stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Cluster:
    """The brokers, and those of the seven topics that are there."""

    client: AIOKafkaClient
    brokers: int
    topics: Mapping[str, Topic]
    configs: Mapping[str, Mapping[str, str]]  # of each topic that lets us see them
    ends: Mapping[tuple[str, int], tuple[int, int]]  # (topic, partition) with a leader -> first and next offset

    def rows_at_most(self, settings: Settings) -> int | None:
        """Records of the changelog, which has at least one of each user; None where it is not there."""
        if settings.changelog_topic not in self.topics:
            return None
        return sum(end - first for (topic, _), (first, end) in self.ends.items() if topic == settings.changelog_topic)


async def look(settings: Settings, client: AIOKafkaClient) -> Cluster:
    """Ask for everything. KafkaError where the broker refuses what no check can do without."""
    names = [*settings.source_topics, *settings.output_topics, settings.changelog_topic]
    topics = await inquiry.describe_topics(client, names)
    return Cluster(
        client=client,
        brokers=len(client.cluster.brokers()),
        topics=topics,
        configs=await _configs(settings, topics),
        ends=await _ends(settings, topics),
    )


async def _configs(settings: Settings, topics: Mapping[str, Topic]) -> dict[str, dict[str, str]]:
    if not topics:
        return {}
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in topics])
    finally:
        await admin.close()
    resources = [resource for answer in answers for resource in answer.to_object()["resources"]]
    return {
        resource["resource_name"]: {
            entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]
        }
        for resource in resources
        if not resource["error_code"]
    }


async def _ends(settings: Settings, topics: Mapping[str, Topic]) -> dict[tuple[str, int], tuple[int, int]]:
    asked = [
        TopicPartition(name, partition.number)
        for name, topic in topics.items()
        if name in (*settings.source_topics, settings.changelog_topic)
        for partition in topic.partitions
        if partition.leader >= 0
    ]
    if not asked:
        return {}
    async with AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers) as consumer:
        first, end = await consumer.beginning_offsets(asked), await consumer.end_offsets(asked)
    return {(tp.topic, tp.partition): (first[tp], end[tp]) for tp in asked}
