"""What an erasure has made go, and what goes when: by the settings that the topics have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from stream.kafka.inquiry import Configs, read_configs
from stream.kafka.topics import admin_of
from stream.settings import Settings
from stream.traces.lasting import Lasting, of_deletion, of_older_rows, of_record

GONE = (
    "the user's row in the memory and on the device of their worker",
    "their row in the worker's RocksDB, and within seconds what its files had of it",
    "the value of their key in the changelog: it is a deletion now",
)


class Remains(msgspec.Struct, frozen=True):
    """Something of the user that is still there, and until when at the latest."""

    what: str
    where: str
    lasting: Lasting


class Receipt(msgspec.Struct, frozen=True):
    """What became of a request."""

    user_id: str
    time_ms: int  # of the receipt
    granted: bool
    waiting: Sequence[int]  # partitions in which it is not granted yet
    gone: Sequence[str]
    remains: Sequence[Remains]


def receipt(
    settings: Settings, user: str, time_ms: int, waiting: Sequence[int], configs: Mapping[str, Mapping[str, str]]
) -> Receipt:
    """`configs` by topic: with what was written up to now, it goes by these."""
    return Receipt(
        user, time_ms, not waiting, waiting, () if waiting else GONE, list(_remains(settings, time_ms, configs))
    )


def _remains(settings: Settings, time_ms: int, configs: Mapping[str, Mapping[str, str]]) -> Iterator[Remains]:
    for topic in settings.source_topics:
        yield Remains("events of theirs", topic, of_record(configs[topic], time_ms))
    for topic in (settings.purchase_intent_topic, settings.anomaly_scores_topic):
        yield Remains("scores of these", topic, of_record(configs[topic], time_ms))
    letters = settings.dead_letters_topic
    yield Remains("records of theirs that were no events", letters, of_record(configs[letters], time_ms))
    requests = settings.erasures_topic
    yield Remains("this request: their id", requests, of_record(configs[requests], time_ms))
    changelog = settings.changelog_topic
    yield Remains("older values of their row", changelog, of_older_rows(configs[changelog], time_ms))
    yield Remains("the deletion: their id", changelog, of_deletion(configs[changelog], time_ms))
    yield Remains(
        "their row, in copies of the changelog",
        "disks of workers that stand by for the partition, or had it before",
        Lasting(None, "a worker that runs deletes it within about a day, one that is stopped when it is started again"),
    )


async def topic_configs(settings: Settings) -> dict[str, Mapping[str, str]]:
    """The settings of all topics. What the broker refuses is raised."""
    names = (*settings.read_topics, *settings.output_topics, settings.changelog_topic)
    async with admin_of(settings.bootstrap_servers) as admin:
        told = await read_configs(admin, names)
    found: dict[str, Mapping[str, str]] = {}
    for name, configs in told.items():
        if not isinstance(configs, Configs):
            raise configs
        found[name] = configs.values
    return found
