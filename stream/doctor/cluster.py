"""What the broker says of our topics and our group, asked once for all checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient

from stream.kafka import inquiry
from stream.kafka.inquiry import Configs, Topic
from stream.kafka.topics import admin_of
from stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Cluster:
    """The brokers, and those of the eight topics that are there."""

    client: AIOKafkaClient
    brokers: int
    topics: Mapping[str, Topic]
    configs: Mapping[str, Mapping[str, str]]  # of each topic that lets us see them
    ends: Mapping[tuple[str, int], tuple[int, int]]  # (topic, partition) with a leader -> first and next offset

    def rows_written(self, settings: Settings) -> int | None:
        """Rows ever written to the changelog, most of them again; None where it is not there.

        An upper bound of users, and after some weeks far above them: compaction leaves offsets as they are.
        """
        if settings.changelog_topic not in self.topics:
            return None
        return sum(end - first for (topic, _), (first, end) in self.ends.items() if topic == settings.changelog_topic)


async def look(settings: Settings, client: AIOKafkaClient) -> Cluster:
    """Ask for everything. KafkaError where the broker refuses what no check can do without."""
    names = [*settings.read_topics, *settings.output_topics, settings.models_topic, settings.changelog_topic]
    topics = await inquiry.describe_topics(client, names)
    return Cluster(
        client=client,
        brokers=len(client.cluster.brokers()),
        topics=topics,
        configs=await _configs(settings, topics),
        ends=await _ends(settings, topics),
    )


async def _configs(settings: Settings, topics: Mapping[str, Topic]) -> dict[str, Mapping[str, str]]:
    async with admin_of(settings.bootstrap_servers) as admin:
        told = await inquiry.read_configs(admin, topics)
    return {name: configs.values for name, configs in told.items() if isinstance(configs, Configs)}


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
