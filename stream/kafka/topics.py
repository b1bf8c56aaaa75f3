"""The eight topics: made where they are missing, checked before anything starts, and the wait for a broker.

Nothing here changes or deletes a topic that exists: what is wrong with it is said, with what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from stream.errors import BrokerError, SettingsError
from stream.kafka.inquiry import Configs, read_configs
from stream.kafka.store import DELETIONS_KEPT_MS
from stream.patience import Patience
from stream.settings import Settings

# The active segment is never compacted, and a restore reads it whole. Kafka's 1 GiB would be about 1.3 million rows of
# a partition on top of those alive; 64 MiB are 80,000, read in about a second.
_CHANGELOG_SEGMENT_BYTES = 64 * 2**20

# Compaction takes away what was overwritten or deleted, but as a rule only once half of the changelog is that. With
# this bound, the older rows of a user who was erased go within a day.
_CHANGELOG_COMPACTED_MS = 86_400_000

_REQUEST_TIMEOUT_MS = 30_000  # a broker under load takes seconds to create topics
_CREATED_TIMEOUT_SECS = 30.0  # until every broker of a cluster knows a new topic
_RETRY_SECS = 0.2  # between two questions
_ATTEMPT_TIMEOUT_MS = 5_000  # of a port that accepts and then says nothing


@dataclasses.dataclass(frozen=True, slots=True)
class TopicReport:
    """What a topic is; `differences` are settings other than asked for, with which it is still right to start."""

    topic: str
    partitions: int
    replication_factor: int
    created: bool
    differences: tuple[str, ...]

    def __str__(self) -> str:
        how = "created" if self.created else "exists"
        head = f"{self.topic}: {how}, {self.partitions} partitions, {self.replication_factor} replicas"
        return "; ".join([head, *self.differences])


class Problem(NamedTuple):
    """Why it would not be right to start, and what to do about it: empty where the broker alone knows."""

    found: str
    remedy: str
    absent: bool = False  # a topic: it may be on its way

    def __str__(self) -> str:
        return "; ".join(filter(None, self[:2]))


class TopicsError(SettingsError):
    """Topics with which it would not be right to start: a problem a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """A topic as the broker describes it."""

    partitions: int
    replication_factor: int
    configs: Configs


async def ensure(settings: Settings) -> list[TopicReport]:
    """Create the topics that are missing, then check all.

    TopicsError lists every problem, before anything is created that could not be right.
    """
    async with admin_of(settings.bootstrap_servers) as admin:
        wanted = _wanted(settings)
        found = await _find(admin, wanted)
        missing = [topic for name, topic in wanted.items() if name not in found]
        _refuse([*_count_problems(settings, found, to_create=missing), *_topic_problems(settings, found)])
        created = await _create(admin, missing)
        return _checked(settings, wanted, await _find_all(admin, wanted), created)


async def check(settings: Settings) -> list[TopicReport]:
    """As `ensure`, but a missing topic is a problem too."""
    async with admin_of(settings.bootstrap_servers) as admin:
        wanted = _wanted(settings)
        return _checked(settings, wanted, await _find(admin, wanted), created=frozenset())


async def equal_partitions(bootstrap_servers: str, names: Sequence[str]) -> int:
    """The number of partitions that these topics share. SettingsError where one is missing or they differ."""
    async with admin_of(bootstrap_servers) as admin:
        there = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    found = {name: there.get(name, 0) for name in names}
    if missing := [name for name, partitions in found.items() if not partitions]:
        raise SettingsError(
            f"broker {bootstrap_servers}: expected the topics {', '.join(found)}, got none named {' or '.join(missing)}"
        )
    if len(set(found.values())) > 1:
        each = ", ".join(f"{name} has {partitions}" for name, partitions in found.items())
        raise SettingsError(f"topics: expected equal partition counts, so that a user's are in one number, got {each}")
    return next(iter(found.values()))


async def ensure_beside(settings: Settings, name: str) -> None:
    """Create a topic of that name, with the partitions, replicas and settings of the clicks topic, unless it is there.

    TopicsError where the clicks topic is missing too.
    """
    async with admin_of(settings.bootstrap_servers) as admin:
        clicks = settings.clicks_topic
        found = await _find(admin, (name, clicks))
        if name in found:
            return
        if clicks not in found:
            raise TopicsError([_missing(clicks)])
        like = found[clicks]
        configs = {config: like.configs.values[config] for config in _wanted(settings)[clicks].topic_configs}
        await _create(admin, [NewTopic(name, like.partitions, like.replication_factor, topic_configs=configs)])
        await _find_all(admin, (name,))


async def wait_for_broker(bootstrap_servers: str, *, timeout_secs: float | None, patience: Patience) -> None:
    """Return once a broker answers, which `patience` is told of. BrokerError after `timeout_secs`."""
    started = time.monotonic()
    left_ms = inf if timeout_secs is None else timeout_secs * 1000
    while reason := await _unreachable(bootstrap_servers, int(min(_ATTEMPT_TIMEOUT_MS, max(left_ms, 1)))):
        silent = f"broker {bootstrap_servers} does not answer ({reason})"
        if timeout_secs is not None:
            left_ms = (timeout_secs - (time.monotonic() - started) - _RETRY_SECS) * 1000
            if left_ms <= 0:
                raise BrokerError(f"{silent}; gave up after {timeout_secs:.0f} s")
        patience.waits(silent)
        await asyncio.sleep(_RETRY_SECS)
    patience.over(f"broker {bootstrap_servers} answers")


def _wanted(settings: Settings) -> dict[str, NewTopic]:
    retention_ms = settings.retention_hours * 3_600_000 if settings.retention_hours >= 0 else -1
    stream = {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}
    changelog = {
        "cleanup.policy": "compact",
        "segment.bytes": str(_CHANGELOG_SEGMENT_BYTES),
        "max.compaction.lag.ms": str(_CHANGELOG_COMPACTED_MS),
        "delete.retention.ms": str(DELETIONS_KEPT_MS),
    }
    kinds = dict.fromkeys((*settings.read_topics, *settings.output_topics), stream)
    kinds[settings.changelog_topic] = changelog
    kinds[settings.models_topic] = {"cleanup.policy": "compact"}
    durability = {"min.insync.replicas": str(settings.min_insync_replicas)}
    counts = dict.fromkeys(kinds, settings.partitions) | {settings.models_topic: 1}  # versions are offsets
    return {
        name: NewTopic(name, counts[name], settings.replication_factor, topic_configs=configs | durability)
        for name, configs in kinds.items()
    }


def _checked(
    settings: Settings, wanted: Mapping[str, NewTopic], found: Mapping[str, _Found], created: frozenset[str]
) -> list[TopicReport]:
    absent = [_missing(name) for name in wanted if name not in found]
    _refuse([*absent, *_count_problems(settings, found, to_create=[]), *_topic_problems(settings, found)])
    reports = []
    for name, topic in wanted.items():
        is_now, differences = found[name], tuple(_differences(topic, found[name]))
        reports.append(TopicReport(name, is_now.partitions, is_now.replication_factor, name in created, differences))
    return reports


def _missing(name: str) -> Problem:
    return Problem(f"{name}: missing", "`behaviour-stream topics` creates it", absent=True)


def _count_problems(settings: Settings, found: Mapping[str, _Found], to_create: list[NewTopic]) -> Iterator[Problem]:
    """One user's events, state and scores share a partition number; dead letters need not, models have one only."""
    counts = {topic.name: topic.num_partitions for topic in to_create} | {n: f.partitions for n, f in found.items()}
    counts.pop(settings.dead_letters_topic, None)
    of_models = counts.pop(settings.models_topic, 1)
    if len(set(counts.values())) > 1:
        new = {topic.name for topic in to_create}
        each = ", ".join(f"{n} {'would get' if n in new else 'has'} {count}" for n, count in counts.items())
        remedy = "set --partitions to what the others have, or " if new else ""
        yield Problem(
            f"partition counts must be equal, or a user's events would go to different workers: {each}",
            f"{remedy}delete and recreate those that differ (adding partitions would part users from their state)",
        )
    if of_models != 1:
        yield Problem(
            f"{settings.models_topic}: expected 1 partition, since an offset is a model's version, got {of_models}",
            "delete and recreate it",
        )


def _topic_problems(settings: Settings, found: Mapping[str, _Found]) -> Iterator[Problem]:
    for name, topic in found.items():
        policy = topic.configs.values["cleanup.policy"]
        kept = {settings.changelog_topic: "the rows of quiet users", settings.models_topic: "models in use"}
        if name in kept and policy != "compact":
            yield Problem(
                f"{name}: cleanup.policy must be compact, or {kept[name]} are deleted, is {policy}",
                f"kafka-configs --alter --topic {name} --add-config cleanup.policy=compact",
            )
        kept_ms = int(topic.configs.values["delete.retention.ms"])
        if name == settings.changelog_topic and kept_ms < DELETIONS_KEPT_MS:
            yield Problem(
                f"{name}: delete.retention.ms must be at least {DELETIONS_KEPT_MS}, or rows that were deleted come to "
                f"life again in a copy that was away for so long, is {kept_ms}",
                f"kafka-configs --alter --topic {name} --add-config delete.retention.ms={DELETIONS_KEPT_MS}",
            )
        least, replicas = int(topic.configs.values["min.insync.replicas"]), topic.replication_factor
        if least > replicas:
            yield Problem(
                f"{name}: min.insync.replicas={least} with {replicas} replicas: no record could be acknowledged",
                "lower it, or add replicas",
            )


def _differences(topic: NewTopic, found: _Found) -> Iterator[str]:
    asked = {"partitions": topic.num_partitions, "replicas": topic.replication_factor}
    there = {"partitions": found.partitions, "replicas": found.replication_factor}
    for name, value in (asked | topic.topic_configs).items():
        if (is_now := (there | dict(found.configs.values))[name]) != value:
            yield f"{name} is {is_now}, asked for {value}"
    if "max.message.bytes" in found.configs.own:
        yield f"max.message.bytes is {found.configs.values['max.message.bytes']}, asked for the broker's default"


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise TopicsError(problems)


@contextlib.asynccontextmanager
async def admin_of(bootstrap_servers: str, timeout_ms: int = _REQUEST_TIMEOUT_MS) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. BrokerError for what it raises inside, SettingsError for an address that is none."""
    try:
        collect_hosts(bootstrap_servers)
    except ValueError as error:
        raise SettingsError(f"--bootstrap-servers={bootstrap_servers}: expected host:port,...: {error}") from None
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=timeout_ms)
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(f"broker {bootstrap_servers}: {error!r}") from error
    finally:
        await admin.close()


async def _find(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, _Found]:
    """Those of these topics that are there, and known to the brokers that were asked."""
    # All topics, then ours: to ask for one by name would create it where the broker does that by itself.
    described = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    found = {}
    for name, told in (await read_configs(admin, [name for name in names if described.get(name)])).items():
        if isinstance(told, UnknownTopicOrPartitionError):
            continue  # the broker that was asked does not know it yet
        if isinstance(told, KafkaError):
            raise told
        replicas = min(len(partition["replicas"]) for partition in described[name])
        found[name] = _Found(len(described[name]), replicas, told)
    return found


async def _find_all(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, _Found]:
    """All of these topics, once the brokers know them: they have been created."""
    deadline = time.monotonic() + _CREATED_TIMEOUT_SECS
    while len(found := await _find(admin, names)) < len(names):
        if time.monotonic() > deadline:
            absent = ", ".join(name for name in names if name not in found)
            raise KafkaError(f"created, yet still not there: {absent}")
        await asyncio.sleep(_RETRY_SECS)
    return found


async def _create(admin: AIOKafkaAdminClient, missing: list[NewTopic]) -> frozenset[str]:
    """Names of those that this call created: another process may have been first, which is as good."""
    if not missing:
        return frozenset()
    errors: list[tuple[str, int, str]] = (await admin.create_topics(missing)).topic_errors
    refused = [(name, code, text) for name, code, text in errors if code not in (0, TopicAlreadyExistsError.errno)]
    if busy := [for_code(code)(f"{name}: {text}") for name, code, text in refused if for_code(code).retriable]:
        raise busy[0]
    why = {name: text or for_code(code).__name__ for name, code, text in refused}
    _refuse([Problem(f"{name}: the broker refuses to create it: {text}", "") for name, text in why.items()])
    return frozenset(name for name, code, _ in errors if not code)


async def _unreachable(bootstrap_servers: str, timeout_ms: int) -> str | None:
    """Why no broker answers, in a word; None if one does."""
    library = logging.getLogger("aiokafka")
    level = library.level
    library.setLevel(logging.CRITICAL + 1)  # it would say at every attempt what `wait_for_broker` says at intervals
    try:
        async with admin_of(bootstrap_servers, timeout_ms) as admin:
            await admin.describe_cluster()
            return None
    except BrokerError as error:
        reason = type(error.__cause__).__name__
    finally:
        library.setLevel(level)
    try:  # aiokafka only logs what the operating system said
        address = collect_hosts(bootstrap_servers)[0][:2]
        (await asyncio.to_thread(socket.create_connection, address, timeout_ms / 1000)).close()
    except OSError as error:
        reason = type(error).__name__
    return reason
