"""What a broker tells of itself, of topics and of our rights, by requests that change nothing of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    InvalidTransactionTimeout,
    KafkaError,
    NoError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    TxnOffsetCommitRequest,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream.kafka.wire import NO_UUID, DescribeGroup, DescribeTopics, ProduceAndBeToldErrors

T = TypeVar("T")

# What a worker sends, and from which version on it can: transactions and record batches came with 0.11.
_NEEDED: Sequence[tuple[type[Request[Any]], int]] = (
    (ProduceRequest, 3),
    (FetchRequest, 4),
    (OffsetRequest, 2),
    (MetadataRequest, 1),
    (FindCoordinatorRequest, 1),
    *((request, 0) for request in (OffsetFetchRequest, JoinGroupRequest, SyncGroupRequest, HeartbeatRequest)),
    *((request, 0) for request in (LeaveGroupRequest, InitProducerIdRequest, AddPartitionsToTxnRequest)),
    *((request, 0) for request in (AddOffsetsToTxnRequest, TxnOffsetCommitRequest, EndTxnRequest)),
)  # fmt: skip

_GROUP, _TRANSACTION = 0, 1  # kinds of coordinators
_SETTLE_SECS, _RETRY_SECS = 5.0, 0.2  # a broker makes its topic of groups when it is first asked for one
_TOPIC_CONFIG = 1  # config_source of a setting that is the topic's own (DescribeConfigs)
_NEVER_MS = 2**50  # a timestamp that no broker's limit takes: 35,000 years on

_NOBODY = b"\xfedoctor"  # in no UTF-8 text, so no user's key


class Operation(IntEnum):
    """The number of a right is its bit in `operations`."""

    READ = 3
    WRITE = 4
    DESCRIBE_CONFIGS = 10


def allows(operations: int, operation: Operation) -> bool:
    """Whether these rights have that one in them."""
    return bool(operations >> operation & 1)


@dataclass(frozen=True, slots=True)
class Partition:
    """`leader` is -1 where there is none."""

    number: int
    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that is there; `operations` are our rights; `id` is empty where the broker tells none."""

    partitions: tuple[Partition, ...]
    operations: int
    id: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group; `operations` as of a topic."""

    members: int
    operations: int


class Configs(NamedTuple):
    """The settings of a topic, and the names of those that are set on the topic itself."""

    values: Mapping[str, str]
    own: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The broker's clock is ahead of ours by something between these (ms, negative: it is behind)."""

    least_ms: int
    most_ms: int


async def missing_requests(client: AIOKafkaClient, node: int) -> list[str]:
    """What a worker sends and this broker does not take, in versions that the client has."""
    answer = await client.send(node, ApiVersionRequest())
    there = {key: (least, most) for key, least, most in answer.api_versions}
    missing = []
    for request, since in _NEEDED:
        least, most = there.get(request.API_KEY, (0, -1))
        if not any(max(least, since) <= version.API_VERSION <= most for version in request._CLASSES):
            missing.append(request.__name__.removesuffix("Request"))
    return missing


async def describe_topics(client: AIOKafkaClient, names: Iterable[str]) -> dict[str, Topic]:
    """Those of these topics that are there and that we may see."""
    answer = await client.send(_any_node(client), DescribeTopics(list(names)))
    found = {}
    for topic in answer.to_object()["topics"]:
        if topic["error_code"] == NoError.errno or topic["partitions"]:
            partitions = sorted(topic["partitions"], key=lambda partition: int(partition["partition"]))
            found[topic["topic"]] = Topic(
                tuple(
                    Partition(p["partition"], p["leader"], tuple(p["replicas"]), tuple(p["isr"])) for p in partitions
                ),
                topic["operations"],
                topic.get("topic_id", "").replace(NO_UUID, ""),
            )
    return found


async def read_configs(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, Configs | KafkaError]:
    """The settings of each of these topics, or why the broker does not tell them."""
    if not names:
        return {}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    told: dict[str, Configs | KafkaError] = {}
    for resource in (resource for answer in answers for resource in answer.to_object()["resources"]):
        name, code, entries = resource["resource_name"], resource["error_code"], resource["config_entries"]
        if code:
            told[name] = for_code(code)(f"{name}: {resource['error_message']}")
            continue
        told[name] = Configs(
            {entry["config_names"]: entry["config_value"] for entry in entries},
            frozenset(entry["config_names"] for entry in entries if entry.get("config_source") == _TOPIC_CONFIG),
        )
    return told


async def describe_group(client: AIOKafkaClient, name: str) -> Group:
    """A group, also one that has never been: it has no members then. KafkaError where it is refused."""

    async def ask() -> Group:
        coordinator = await client.coordinator_lookup(_GROUP, name)
        answer = await client.send(coordinator, DescribeGroup(name))
        (group,) = answer.to_object()["groups"]
        if group["error_code"]:
            raise for_code(group["error_code"])()
        return Group(len(group["members"]), group["authorized_operations"])

    return await _settled(ask)


async def committed_offsets(client: AIOKafkaClient, group: str) -> dict[tuple[str, int], int]:
    """All offsets that the group has committed."""

    async def ask() -> dict[tuple[str, int], int]:
        coordinator = await client.coordinator_lookup(_GROUP, group)
        answer = await client.send(coordinator, OffsetFetchRequest(group, None))
        if answer.error_code:
            raise for_code(answer.error_code)()
        return {
            (topic, partition): offset
            for topic, partitions in answer.topics
            for partition, offset, _, code in partitions
            if not code and offset >= 0
        }

    return await _settled(ask)


async def may_use_transactional_id(client: AIOKafkaClient, transactional_id: str) -> bool:
    """Whether we may write under this id.

    Asked with a timeout of 0 ms, which Kafka refuses after it has looked at the rights and before it looks at the id:
    whoever has it is not fenced, and an id that never was does not come to be.
    """

    async def ask() -> bool:
        coordinator = await client.coordinator_lookup(_TRANSACTION, transactional_id)
        answer = await client.send(coordinator, InitProducerIdRequest(transactional_id, 0))
        error = for_code(answer.error_code)
        if error is InvalidTransactionTimeout:
            return True
        raise error(f"{transactional_id}: expected a refusal of the timeout of 0 ms")

    try:
        return await _settled(ask)
    except TransactionalIdAuthorizationFailed:
        return False


async def read_clock(
    client: AIOKafkaClient, topic: str, partition: int, leader: int, after_max_ms: int
) -> ClockReading:
    """The broker's clock, from a batch of which it says which records it refuses.

    The topic must keep timestamps as they are sent, and refuse those more than `after_max_ms` ahead of the broker's
    clock. The batch has timestamps around that limit: which of them are refused tells where the limit is, and so the
    clock. Its first timestamp is 1970's: taken alone, it tells that the broker is far behind. A topic may refuse those
    too that are old, so the limit is above the highest that is taken. KafkaError where none is, which tells nothing.

    Nothing is written, since the last record is far beyond any limit, and one that is refused has the whole batch
    refused. A broker that took it all the same would have deletions of a key that no user has.
    """

    async def ask() -> ClockReading:
        batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
        before_ms = _now_ms()
        limit_ms = before_ms + after_max_ms  # were its clock ours
        times_ms = (0, *(limit_ms + ahead_ms for ahead_ms in _AHEAD_MS), before_ms + _NEVER_MS)
        for number, time_ms in enumerate(times_ms):
            batch.append(number, time_ms, _NOBODY, None, [])
        answer = await client.send(leader, ProduceAndBeToldErrors(topic, partition, bytes(batch.build())))
        took_ms = _now_ms() - before_ms
        ((_, ((_, code, _, _, _, errors, _),)),) = answer.topics
        if not code:
            raise KafkaError(f"it took timestamps that it was to refuse, as deletions of the key {_NOBODY!r}")
        refused = {number for number, _ in errors}
        if len(times_ms) - 1 not in refused:
            raise for_code(code)()
        taken = [time_ms for number, time_ms in enumerate(times_ms) if number not in refused]
        if not taken:
            raise KafkaError("it refuses every timestamp")
        highest_ms = max(taken)  # those that are refused below it are too old for the topic
        above_ms = min(time_ms for time_ms in times_ms if time_ms > highest_ms)
        # Its clock stood there at some moment between our question and its answer.
        return ClockReading(highest_ms - took_ms - limit_ms, above_ms - limit_ms)

    return await _settled(ask)


# By 10 ms near nothing, by 50 to two seconds, then by a tenth of each to 13 days.
_STEPS_MS = (*range(0, 200, 10), *range(200, 2_000, 50), *(int(2_000 * 1.1**n) for n in range(140)))
_AHEAD_MS = tuple(sorted({sign * step for step in _STEPS_MS for sign in (-1, 1)}))


def _now_ms() -> int:
    return int(time.time() * 1000)


async def _settled(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Ask again, for a while, where the answer is that the broker is still making or loading what was asked for."""
    deadline = time.monotonic() + _SETTLE_SECS
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
        await asyncio.sleep(_RETRY_SECS)


def _any_node(client: AIOKafkaClient) -> int:
    return int(client.get_random_node())
