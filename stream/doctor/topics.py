"""The eight topics: what they are, how safe they keep records, and whether their partitions are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream.doctor.cluster import Cluster
from stream.doctor.finding import Finding, plural
from stream.doctor.limits import cpus
from stream.kafka import topics as topics_module
from stream.kafka.topics import Problem, TopicsError
from stream.settings import Settings

_NAMED = 3  # topics or partitions by name; of more, their number


async def check_topics(settings: Settings, cluster: Cluster) -> list[Finding]:
    """What `behaviour-stream topics --check` says, and what differs from the settings."""
    try:
        reports = await topics_module.check(settings)
    except TopicsError as error:
        return list(_refused(error.problems))
    partitions = next(report.partitions for report in reports if report.topic == settings.clicks_topic)
    there = f"all {len(reports)} are there, with {plural(partitions, 'partition')}"
    same = f"{there}; {settings.changelog_topic} is compacted"
    different = sorted({difference for report in reports for difference in report.differences})
    if not different:
        return [Finding("topics", "ok", same)]
    to_do = "where the topics are right, set these settings to what they have"
    return [Finding("topics", "ok", same), Finding("topics", "warning", "; ".join(different), to_do)]


def _refused(problems: Sequence[Problem]) -> Iterator[Finding]:
    """Those with the same thing to do are one finding."""
    by_remedy: dict[str, list[str]] = {}
    for problem in problems:
        by_remedy.setdefault(problem.remedy, []).append(problem.found)
    for remedy, several in by_remedy.items():
        yield Finding("topics", "error", "; ".join(several), remedy)


async def check_durability(settings: Settings, cluster: Cluster) -> list[Finding]:
    """Replicas and min.insync.replicas against the number of brokers."""
    if not cluster.topics:
        return [Finding("durability", "skipped", "no topic is there")]
    single, brittle, loose = [], [], []
    for name, topic in cluster.topics.items():
        replicas = min(len(partition.replicas) for partition in topic.partitions)
        least = int(cluster.configs.get(name, {}).get("min.insync.replicas", 1))
        if replicas == 1:
            single.append(name)
        elif least >= replicas:
            brittle.append(name)
        elif least == 1:
            loose.append(name)
    if single and cluster.brokers == 1:
        return [Finding("durability", "ok", "one broker, so one copy of everything: what it loses is lost")]
    findings = []
    if single:
        found = f"one copy on {cluster.brokers} brokers: {_listed(single)}; the loss of a broker is the loss of records"
        findings.append(Finding("durability", "warning", found, "kafka-reassign-partitions adds replicas"))
    if brittle:
        found = f"min.insync.replicas is all replicas: {_listed(brittle)}; while a broker is down, nothing is written"
        findings.append(Finding("durability", "warning", found, "set it to one less, or add a replica"))
    if loose:
        found = f"min.insync.replicas is 1: {_listed(loose)}; what one broker alone has acknowledged can be lost"
        findings.append(Finding("durability", "warning", found, "set it to 2 where there are 3 replicas"))
    return findings or [Finding("durability", "ok", "the loss of a broker stops nothing and loses nothing")]


async def check_partitions(settings: Settings, cluster: Cluster) -> list[Finding]:
    """Leaders, replicas in sync, and how many workers there is work for."""
    if not cluster.topics:
        return [Finding("partitions", "skipped", "no topic is there")]
    every = [(name, partition) for name, topic in cluster.topics.items() for partition in topic.partitions]
    offline = [f"{name}[{partition.number}]" for name, partition in every if partition.leader < 0]
    behind, stopped = [], []
    for name, partition in every:
        least = int(cluster.configs.get(name, {}).get("min.insync.replicas", 1))
        if partition.leader >= 0 and len(partition.in_sync) < least:
            stopped.append(f"{name}[{partition.number}]")
        elif partition.leader >= 0 and len(partition.in_sync) < len(partition.replicas):
            behind.append(f"{name}[{partition.number}]")
    findings = []
    if offline:
        to_do = "start the brokers that have them"
        findings.append(Finding("partitions", "error", f"without a leader: {_listed(offline)}", to_do))
    if stopped:
        found = f"fewer replicas in sync than min.insync.replicas, so nothing can be written: {_listed(stopped)}"
        findings.append(Finding("partitions", "error", found, "start the brokers that have the others"))
    if behind:
        found = f"not all replicas in sync: {_listed(behind)}"
        findings.append(Finding("partitions", "warning", found, "look at the brokers that have the others"))
    shared = [len(cluster.topics[name].partitions) for name in settings.source_topics if name in cluster.topics]
    here = cpus()
    if shared and min(shared) < here:
        found = f"{plural(min(shared), 'partition')} to share: of {plural(here, 'CPU')} here, only as many can score"
        to_do = "leave it, or make topics with more partitions before users have state"
        findings.append(Finding("partitions", "warning", found, to_do))
    whole = f"all {len(every)} have a leader, and all their replicas in sync; "
    share = f"{min(shared, default=0)} to share among workers, {plural(here, 'CPU')} here"
    return findings or [Finding("partitions", "ok", whole + share)]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
