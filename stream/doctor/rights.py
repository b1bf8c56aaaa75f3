"""Whether the broker lets a worker do what it does. Only asked, never tried."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.errors import GroupAuthorizationFailedError

from stream.doctor.cluster import Cluster
from stream.doctor.finding import Finding, plural
from stream.kafka import inquiry
from stream.kafka.inquiry import Operation, allows
from stream.settings import Settings


async def check_rights(settings: Settings, cluster: Cluster) -> list[Finding]:
    """Topics, group and transactional ids."""
    missing = [*_of_topics(settings, cluster), *await _of_group(settings, cluster)]
    ids = _ids_to_ask_for(settings, cluster)
    refused = [name for name in ids if not await inquiry.may_use_transactional_id(cluster.client, name)]
    missing += [f"WRITE on transactional id {name}" for name in refused]
    if missing:
        to_do = f"kafka-acls --add --allow-principal ... grants them; ids and group begin with {settings.app_id}"
        return [Finding("rights", "error", f"the broker refuses this client: {', '.join(missing)}", to_do)]
    if not cluster.topics:
        return [Finding("rights", "skipped", "no topic is there to ask about")]
    found = f"the broker lets this client use {plural(len(cluster.topics), 'topic')}, group {settings.app_id}"
    found += f", transactional ids {' and '.join(ids)}" if ids else ""
    return [Finding("rights", "ok", f"{found}; ids in between, and quotas, cannot be seen")]


def _of_topics(settings: Settings, cluster: Cluster) -> list[str]:
    needs: dict[str, Sequence[Operation]] = dict.fromkeys(settings.read_topics, (Operation.READ,))
    needs |= dict.fromkeys(settings.output_topics, (Operation.WRITE,))
    needs[settings.models_topic] = (Operation.READ,)
    needs[settings.changelog_topic] = (Operation.READ, Operation.WRITE)
    missing = []
    for name, operations in needs.items():
        if name in cluster.topics:
            rights = cluster.topics[name].operations
            # A worker checks the topics' settings before it starts.
            wanted = (*operations, Operation.DESCRIBE_CONFIGS)
            missing += [f"{operation.name} on {name}" for operation in wanted if not allows(rights, operation)]
    return missing


async def _of_group(settings: Settings, cluster: Cluster) -> list[str]:
    try:
        group = await inquiry.describe_group(cluster.client, settings.app_id)
    except GroupAuthorizationFailedError:
        return [f"DESCRIBE and READ on group {settings.app_id}"]
    return [] if allows(group.operations, Operation.READ) else [f"READ on group {settings.app_id}"]


def _ids_to_ask_for(settings: Settings, cluster: Cluster) -> list[str]:
    """The first and the last: rights are given to a prefix, or to ids up to some number."""
    if settings.changelog_topic not in cluster.topics:
        return []
    last = len(cluster.topics[settings.changelog_topic].partitions) - 1
    return [f"{settings.app_id}-p{number}" for number in sorted({0, last})]
