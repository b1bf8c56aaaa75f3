"""Announces a model, or the one before again, and tells which partitions have taken it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from stream.changing import announcement
from stream.changing.announcement import Announcement
from stream.changing.offered import Announced
from stream.errors import BehaviourStreamError, SettingsError
from stream.kafka import models_topic
from stream.kafka.partition_rows import read_partition_rows
from stream.rows import PartitionRow
from stream.settings import Settings

_LOOK_SECS = 0.5


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `model use` and `model back` print with --json."""

    version: int
    model: str
    model_hash: str
    announced: bool  # false: it is the latest already
    file: str | None = None  # which every worker must have, where the weights do not fit into a record
    partitions: int | None = None  # that have taken it up, of so many; known where that was waited for
    of_partitions: int | None = None


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the model."""

    version: int  # 0: what a worker was started with
    model: str
    model_hash: str
    announced_ms: int | None
    file: str | None
    partitions: list[int]  # that are scored by it


class ListedPartition(msgspec.Struct, frozen=True, kw_only=True):
    """By which model a partition is scored, and since when."""

    partition: int
    version: int | None  # None: nothing was ever scored of it
    model: str | None
    model_hash: str | None
    offsets: dict[str, int]  # by source topic, the first that it scores; a topic that is not here from its first


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What `model list` prints with --json."""

    models: list[ListedModel]  # the latest first
    partitions: list[ListedPartition]


async def use(settings: Settings, wanted: str) -> Result:
    """Announce a shipped model's name, or a .safetensors file. SettingsError where a worker would refuse it."""
    return await _announce(settings, announcement.of_file(wanted, _now_ms()), await _known(settings))


async def back(settings: Settings) -> Result:
    """Announce the model before the latest again: of those announced, or else the one of --model.

    What workers refuse counts for nothing, as long as it is refused here too.
    """
    known = await _known(settings)
    usable = _usable(known)
    if (latest := next(usable, None)) is None:
        raise SettingsError("nothing was announced that can be used, so there is nothing to go back from")
    former = next((before for before in usable if before.sha256 != latest.sha256), None)
    before = (
        announcement.of_file(settings.model, _now_ms()) if former is None else announcement.again(former, _now_ms())
    )
    if before.sha256 == latest.sha256:
        raise SettingsError(
            f"{latest.name} is the only model that was announced, and --model names it too; expected the one that "
            "workers had before as --model"
        )
    return await _announce(settings, before, known)


async def taken_up(settings: Settings, result: Result, *, timeout_secs: float, say: Callable[[str], None]) -> Result:
    """Once all partitions are scored by it, or by a later one; `say` tells how many are. BehaviourStreamError if that
    takes longer."""
    deadline, said = time.monotonic() + timeout_secs, -1
    while True:
        rows = await read_partition_rows(settings)
        done = sum(
            row is not None and bool(row.cuts) and row.cuts[-1].version >= result.version for row in rows.values()
        )
        if done != said:
            say(f"{done} of {len(rows)} partitions are scored by version {result.version}")
            said = done
        if done == len(rows):
            return msgspec.structs.replace(result, partitions=done, of_partitions=len(rows))
        if time.monotonic() > deadline:
            raise BehaviourStreamError(
                f"version {result.version}: expected {len(rows)} partitions to be scored by it within "
                f"{timeout_secs:.0f} s, {done} are; what holds the others is in their workers' logs"
            )
        await asyncio.sleep(_LOOK_SECS)


async def listing(settings: Settings) -> Listing:
    """What is on the models topic, and what the partitions' rows say."""
    known, rows = await _known(settings), await read_partition_rows(settings)
    partitions = [_of_partition(settings, number, row) for number, row in sorted(rows.items())]
    at: dict[int, list[int]] = {}
    for partition in partitions:
        if partition.version is not None:
            at.setdefault(partition.version, []).append(partition.partition)
    models = [
        ListedModel(
            version=version,
            model=of.name,
            model_hash=of.sha256[:12],
            announced_ms=of.announced_ms,
            file=of.file,
            partitions=at.pop(version, []),
        )
        for version, of in known.items()
    ]
    # What rows name beside: models that workers were started with, and what compaction has taken from the topic.
    beside = {
        (of.version, of.model or "", of.model_hash or ""): at[of.version]
        for of in partitions
        if of.version is not None and of.version in at
    }
    models += [
        ListedModel(version=version, model=model, model_hash=of, announced_ms=None, file=None, partitions=numbers)
        for (version, model, of), numbers in beside.items()
    ]
    return Listing(models=sorted(models, key=lambda model: -model.version), partitions=partitions)


def _usable(known: Mapping[int, Announcement]) -> Iterator[Announcement]:
    """The latest first."""
    for version in sorted(known, reverse=True):
        try:
            known[version].to_model(f"version {version}")
        except SettingsError:
            continue
        yield known[version]


async def _known(settings: Settings) -> dict[int, Announcement]:
    """By version, those that this version of the code can read."""
    return dict(_readable(await models_topic.read_all(settings)))


def _readable(records: list[Announced]) -> list[tuple[int, Announcement]]:
    found = []
    for version, value in records:
        try:
            found.append((version, announcement.from_bytes(value, f"version {version}")))
        except SettingsError:  # workers refuse it too
            continue
    return found


async def _announce(settings: Settings, new: Announcement, known: Mapping[int, Announcement]) -> Result:
    for version, of in known.items():
        if of.sha256 == new.sha256 and msgspec.json.decode(of.card) != msgspec.json.decode(new.card):
            raise SettingsError(
                f"{new.name}: expected other weights than those of version {version}, got the same with another card; "
                "scores of both would have the same ids"
            )
    version = max(known, default=0)
    announced = not known or known[version].sha256 != new.sha256
    if announced:
        version = await models_topic.announce(settings, new.sha256, new.to_bytes())
    return Result(version=version, model=new.name, model_hash=new.sha256[:12], announced=announced, file=new.file)


def _of_partition(settings: Settings, number: int, row: PartitionRow | None) -> ListedPartition:
    if row is None or not row.cuts:
        return ListedPartition(partition=number, version=None, model=None, model_hash=None, offsets={})
    cut, topics = row.cuts[-1], settings.source_topics
    return ListedPartition(
        partition=number,
        version=cut.version,
        model=cut.name,
        model_hash=cut.sha256[:12],
        offsets={topics[source]: offset for source, offset in cut.offsets.items()},
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
