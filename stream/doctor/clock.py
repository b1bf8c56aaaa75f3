"""This machine's clock against the broker's."""

from __future__ import annotations

import time

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.doctor.cluster import Cluster
from stream.doctor.finding import Finding
from stream.kafka import inquiry
from stream.kafka.inquiry import ClockReading
from stream.settings import Settings

_WARN_MS = 1_000
_OPEN_SECS = 10**8  # a reading that is so wide has no end on one side: it is beyond all that was asked for
_NO_LIMIT_MS = 10**14  # Kafka's "no limit" is 2^63 - 1; a limit of 3,000 years tells nothing either
_TO_DO = "let NTP (chrony, systemd-timesyncd) set the clocks of this machine and of the brokers"


async def check_clock(settings: Settings, cluster: Cluster) -> list[Finding]:
    """From what the changelog's leader refuses; where that tells nothing, from records of the future."""
    why = _unreadable(settings, cluster)
    if why is None:
        partition = next(p for p in cluster.topics[settings.changelog_topic].partitions if p.leader >= 0)
        limit_ms = int(cluster.configs[settings.changelog_topic]["message.timestamp.after.max.ms"])
        try:
            reading = await inquiry.read_clock(
                cluster.client, settings.changelog_topic, partition.number, partition.leader, limit_ms
            )
        except (KafkaError, NotImplementedError) as error:
            why = f"the broker does not tell it ({error})"
        else:
            return [judge(reading, partition.leader, settings.event_time_max_ahead_ms)]
    return [await _from_records(settings, cluster, why)]


def judge(reading: ClockReading, broker: int, bound_ms: int) -> Finding:
    """A second is a warning; what events may be ahead of their records (`bound_ms`) is an error."""
    apart_ms = max(reading.least_ms, -reading.most_ms, 0)
    middle_secs = (reading.least_ms + reading.most_ms) / 2000
    exactness_secs = (reading.most_ms - reading.least_ms) / 2000
    side = "ahead of" if middle_secs >= 0 else "behind"
    by = f"{abs(middle_secs):.3f} s {side} this machine, give or take {exactness_secs:.3f} s"
    if exactness_secs > _OPEN_SECS:
        by = f"at least {apart_ms / 1000:,.0f} s {side} this machine"
    found = f"broker {broker} is {by}"
    if apart_ms > bound_ms:
        return Finding("clock", "error", f"{found}: event times will not be believed", _TO_DO)
    if apart_ms > _WARN_MS:
        return Finding("clock", "warning", found, _TO_DO)
    return Finding("clock", "ok", found)


def _unreadable(settings: Settings, cluster: Cluster) -> str | None:
    """Why the changelog's leader cannot be asked without a record being left; None if it can."""
    config = cluster.configs.get(settings.changelog_topic)
    if config is None or settings.changelog_topic not in cluster.topics:
        return "there is no changelog to ask about"
    if config.get("message.timestamp.type") != "CreateTime":
        return "the changelog does not keep timestamps as they are sent"
    if int(config.get("message.timestamp.after.max.ms", _NO_LIMIT_MS)) >= _NO_LIMIT_MS:
        return "the changelog takes any timestamp (message.timestamp.after.max.ms has no limit)"
    if all(partition.leader < 0 for partition in cluster.topics[settings.changelog_topic].partitions):
        return "no partition of the changelog has a leader"
    return None


async def _from_records(settings: Settings, cluster: Cluster, why: str | None) -> Finding:
    head = f"the broker's clock cannot be read: {why}"
    partitions = [TopicPartition(*tp) for tp in cluster.ends]
    if not partitions:
        return Finding("clock", "skipped", head)
    async with AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers) as consumer:
        ahead = {}
        for ahead_ms in (_WARN_MS, settings.event_time_max_ahead_ms):
            now_ms = int(time.time() * 1000)
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, now_ms + ahead_ms))
            ahead[ahead_ms] = sum(offset is not None for offset in found.values())
    if n := ahead[settings.event_time_max_ahead_ms]:
        text = f"{head}; {n} partitions have records over {settings.event_time_max_ahead_ms / 1000:.0f} s ahead of here"
        return Finding("clock", "warning", f"{text}: this clock is behind, or a producer's ahead", _TO_DO)
    if n := ahead[_WARN_MS]:
        text = f"{head}; {n} partitions have records over a second ahead of here"
        return Finding("clock", "warning", f"{text}: this clock is behind, or a producer's ahead", _TO_DO)
    return Finding("clock", "skipped", f"{head}; no record is ahead of this clock, which does not say much")
