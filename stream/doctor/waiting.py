"""Records that wait to be scored: how many, who is there to score them, and whether retention takes them first."""

from __future__ import annotations

import time
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.doctor.cluster import Cluster
from stream.doctor.finding import Finding, plural
from stream.kafka import inquiry
from stream.settings import Settings

_HOUR_MS = 3_600_000
_READ_SECS = 3.0  # for the oldest waiting record of each partition
_RETENTION_LEFT = 0.25  # of it: less is soon, for a worker that has stood still so long


async def check_waiting(settings: Settings, cluster: Cluster) -> list[Finding]:
    """The group's lag, and its oldest records against their topics' retention."""
    sources = {tp: ends for tp, ends in cluster.ends.items() if tp[0] in settings.source_topics}
    if not sources:
        return [Finding("waiting", "skipped", "no source topic can be read")]
    group = await inquiry.describe_group(cluster.client, settings.app_id)
    committed = await inquiry.committed_offsets(cluster.client, settings.app_id)
    waiting, lost = {}, 0
    for tp, (first, end) in sources.items():
        at = committed.get(tp, first)
        lost += max(0, first - at)
        if max(at, first) < end:
            waiting[TopicPartition(*tp)] = max(at, first)
    records = sum(sources[tp.topic, tp.partition][1] - at for tp, at in waiting.items())
    workers = plural(group.members, "worker") if group.members else "no worker"
    findings = [Finding("waiting", "ok", f"{plural(records, 'record')} to score; {workers} in {settings.app_id}")]
    if lost:
        found = f"up to {plural(lost, 'record')} were deleted before they were scored"
        to_do = "they are gone; start a worker before retention takes more, or raise retention.ms"
        findings.append(Finding("waiting", "warning", found, to_do))
    return [*findings, *_against_retention(cluster, await _times(settings, waiting))]


async def _times(settings: Settings, waiting: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """The timestamp (ms) of the record at each of these offsets, as far as they come in time."""
    if not waiting:
        return {}
    found: dict[TopicPartition, int] = {}
    # A fetch brings a whole batch, however small its limit: one of each partition is enough.
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, max_partition_fetch_bytes=1)
    async with consumer:
        consumer.assign(list(waiting))
        for tp, offset in waiting.items():
            consumer.seek(tp, offset)
        deadline = time.monotonic() + _READ_SECS
        while left := [tp for tp in waiting if tp not in found]:
            if (secs := deadline - time.monotonic()) <= 0:
                break
            for tp, records in (await consumer.getmany(*left, timeout_ms=int(secs * 1000))).items():
                found[tp] = records[0].timestamp
    return found


def _against_retention(cluster: Cluster, times: Mapping[TopicPartition, int]) -> list[Finding]:
    now_ms = int(time.time() * 1000)
    soonest: dict[str, float] = {}  # topic -> hours until its oldest waiting record may be deleted
    for tp, timestamp in times.items():
        config = cluster.configs.get(tp.topic, {})
        retention_ms = int(config.get("retention.ms", -1))
        if config.get("cleanup.policy") == "delete" and retention_ms >= 0:
            left_ms = timestamp + retention_ms - now_ms
            if left_ms < _RETENTION_LEFT * retention_ms:
                soonest[tp.topic] = min(soonest.get(tp.topic, left_ms / _HOUR_MS), left_ms / _HOUR_MS)
    if not soonest:
        return []
    each = ", ".join(
        f"{topic} in {hours:.1f} h" if hours > 0 else f"{topic} at any time" for topic, hours in soonest.items()
    )
    topic = next(iter(soonest))
    to_do = f"score them before, or keep them: kafka-configs --alter --topic {topic} --add-config retention.ms=-1"
    return [
        Finding("waiting", "warning", f"retention goes by record times, and deletes waiting records: {each}", to_do)
    ]
