"""The changelog as it is read: partitions of it by a consumer of their own, which belongs to no group.

Faust can restore and follow a changelog too, and did so here at first. It reads it through the consumer of the sources,
whose flow it resumes after the standbys' - and that empties every queue, with rows in it that their copy then never
gets; it swallows what goes wrong with a row; and it waits for the offset of the marker that ends a transaction, which
no record ever has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.settings import Settings

# Of a partition, and of all of a fetch. Large: each round trip costs the broker and this process some milliseconds,
# whatever it brings.
_PARTITION_FETCH_BYTES = 4 << 20
_FETCH_BYTES = 32 << 20
_POLL_MS = 500


class Bounds(NamedTuple):
    """Offsets of a partition: its first record, and what follows its last one that is committed."""

    begin: int
    end: int


class Run(NamedTuple):
    """Records that follow one another, and the offset from which reading goes on: control records have offsets too."""

    records: list[Any]
    next_offset: int


class ChangelogReader:
    """Reads partitions from given offsets on. KafkaError where the broker does not answer for long."""

    def __init__(self, settings: Settings, partitions: Iterable[int], *, patient: bool) -> None:
        """`patient`: the broker collects for half a second before it answers; else it sends what it has."""
        self._tps = {p: TopicPartition(settings.changelog_topic, p) for p in partitions}
        self._at: dict[int, int] = {}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            isolation_level="read_committed",  # rows of a fenced worker must not be restored
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_POLL_MS,
            fetch_min_bytes=_PARTITION_FETCH_BYTES if patient else 1,
        )

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        self._consumer.assign(list(self._tps.values()))
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._consumer.stop()

    async def bounds(self) -> dict[int, Bounds]:
        """Where each partition begins and ends now."""
        tps = list(self._tps.values())
        begins, ends = await self._consumer.beginning_offsets(tps), await self._consumer.end_offsets(tps)
        return {p: Bounds(begins[tp], ends[tp]) for p, tp in self._tps.items()}

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Read each partition from this offset on."""
        self._at = dict(offsets)
        for partition, offset in offsets.items():
            self._consumer.seek(self._tps[partition], offset)

    async def read(self) -> dict[int, Run]:
        """What has come next, by partition; waits half a second at most."""
        records = await self._consumer.getmany(timeout_ms=_POLL_MS)
        runs: dict[int, Run] = {}
        for partition, tp in self._tps.items():
            position = await self._consumer.position(tp)
            if position != self._at[partition]:
                self._at[partition] = position
                runs[partition] = Run(records.get(tp, []), position)
        return runs

    def lag(self) -> dict[int, int]:
        """Records of each partition not yet read, as far as it was fetched."""
        ends = {p: self._consumer.last_stable_offset(tp) or 0 for p, tp in self._tps.items()}
        return {p: max(0, end - self._at[p]) for p, end in ends.items()}
