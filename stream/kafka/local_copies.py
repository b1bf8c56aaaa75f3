"""The local copies of the changelog, kept up to date: those of owned partitions before anything is applied to them,
those of standbys for as long as another worker owns them.

A restore begins where the local copy ends, and at the beginning where there is none. It ends where the changelog ended
when it began: the former owner is fenced by then, so that nothing is added but by this worker.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError

from stream.errors import StateError
from stream.kafka import faults
from stream.kafka.changelog import Bounds, ChangelogReader, Run
from stream.kafka.store import ROWS_AT_ONCE, RowStore
from stream.restoring import Restoring
from stream.rows import refuse_unknown
from stream.settings import Settings

logger = logging.getLogger(__name__)

_RETRY_SECS, _BEHIND_SECS = 1.0, 0.005
_SAY_RETRY_SECS = 10.0
_SAY_SECS = 5.0
# Rows of a write, while nobody scores: a fifth of a restore's time less than at the few of a checkpoint.
_RESTORED_AT_ONCE = 1024
# A restore of so few records is over before anybody could read that it has begun.
_SAID_FROM_RECORDS = 10_000


class LocalCopies:
    """What this worker has of the changelog on its disk. All of it on the event loop."""

    def __init__(
        self,
        settings: Settings,
        store: RowStore,
        restoring: Restoring,
        *,
        on_restored: Callable[[set[int]], Awaitable[None]],
        on_progress: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """`on_restored` gets the owned partitions once their rows are here, `fail` why that could not be."""
        self._settings, self._store, self._restoring = settings, store, restoring
        self._on_restored, self._on_progress, self._fail = on_restored, on_progress, fail
        self._task: asyncio.Task[None] | None = None
        self._restored = asyncio.Event()
        self._closed = False
        self.standby_lag: dict[int, int] = {}  # records by partition that is followed

    async def take(self, owned: set[int], standby: set[int]) -> None:
        """Restore these partitions, whose former owners are fenced, then follow those of others."""
        await self.release()
        if self._closed:
            return  # an assignment that came while the worker was told to stop
        self._store.own(owned | standby)
        self._task = asyncio.create_task(self._bring_up(owned, standby))

    async def release(self) -> None:
        """Leave the copies as they are: what is assigned is about to change."""
        self._restored.clear()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._task = None
        self._restoring.end()
        self.standby_lag = {}

    async def close(self) -> None:
        """Leave the copies as they are, for good."""
        self._closed = True
        await self.release()

    async def tidy(self) -> None:
        """Delete what is left of partitions that went elsewhere long ago."""
        for path in self._store.take_left():
            logger.info("%s: deleted; its partition has been elsewhere for long", path)
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def restored(self) -> None:
        """Returns when all that is owned is restored: after the next assignment, if one is on its way."""
        await self._restored.wait()

    async def _bring_up(self, owned: set[int], standby: set[int]) -> None:
        try:
            if owned:
                await self._persistently("restoring", lambda: self._restore(owned))
            await self._on_restored(owned)
            self._restored.set()
        except Exception as error:
            self._fail(error)
            return
        if standby:
            try:
                await self._persistently("standing by", lambda: self._follow(standby))
            except StateError as error:  # whoever takes one of them over will fail by it, or make it anew
                logger.error("no longer standing by: %s", error)  # noqa: TRY400 - it says where
            except Exception as error:  # the disk is full, say: that is this worker's too
                self._fail(error)

    async def _persistently(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do it, and again where the broker fails, until it is done: it begins where it has come to."""
        say_at = 0.0
        while True:
            try:
                return await work()
            except KafkaError as error:
                if faults.is_refusal(error):
                    raise faults.told(error, f"{what} failed") from error
                if (now := time.monotonic()) >= say_at:
                    say_at = now + _SAY_RETRY_SECS
                    logger.warning("%s: the broker does not answer, or refuses (%r); trying again", what, error)
                await asyncio.sleep(_RETRY_SECS)

    # -- owned partitions ----------------------------------------------------------------------------------------------

    async def _restore(self, partitions: set[int]) -> None:
        restoring = self._restoring
        async with ChangelogReader(self._settings, partitions, patient=False) as reader:
            bounds = await reader.bounds()
            at = {p: self._begin(p, bounds[p]) for p in partitions}
            restoring.begin({p: bounds[p].end - at[p] for p in partitions})
            self._on_progress()
            if restoring.records_left >= _SAID_FROM_RECORDS:
                logger.info(
                    "restoring partitions %s: %s records of the changelog to read",
                    sorted(partitions), f"{restoring.records_left:,}",
                )  # fmt: skip
            reader.begin(at)
            say_at = time.monotonic() + _SAY_SECS
            while restoring.records_left:
                for partition, run in (await reader.read()).items():
                    await self._apply(partition, run, at_once=_RESTORED_AT_ONCE)
                    restoring.advance(partition, max(0, bounds[partition].end - run.next_offset), len(run.records))
                    self._on_progress()
                if time.monotonic() >= say_at:
                    say_at += _SAY_SECS
                    self._say()
        if restoring.rows:
            logger.info(
                "restored %s rows of partitions %s in %.1f s, %s rows/s",
                f"{restoring.rows:,}", sorted(partitions), restoring.secs, f"{restoring.rows_per_sec:,.0f}",
            )  # fmt: skip
        restoring.end()

    def _say(self) -> None:
        restoring, secs_left = self._restoring, self._restoring.secs_left
        logger.info(
            "restoring: %s records left, %s rows/s, %s",
            f"{restoring.records_left:,}", f"{restoring.rows_per_sec:,.0f}",
            "no end in sight" if secs_left is None else f"about {secs_left:.0f} s to go",
        )  # fmt: skip

    # -- standbys ------------------------------------------------------------------------------------------------------

    async def _follow(self, partitions: Collection[int]) -> None:
        """Copy what their owners write, for ever. Scoring comes first: it rests for as long as it has worked."""
        async with ChangelogReader(self._settings, partitions, patient=True) as reader:
            bounds = await reader.bounds()
            reader.begin({p: self._begin(p, bounds[p]) for p in partitions})
            while True:
                runs = await reader.read()
                self.standby_lag = reader.lag()
                for partition, run in runs.items():
                    await self._apply(partition, run, at_once=ROWS_AT_ONCE, rest=1.0)

    # -- both ----------------------------------------------------------------------------------------------------------

    def _begin(self, partition: int, bounds: Bounds) -> int:
        """The first offset that the local copy does not have. A copy of what no longer is, is removed."""
        has = self._store.changelog_offset(partition)
        at = bounds.begin if has is None else has + 1
        if at > bounds.end:
            logger.warning(
                "partition %d: its local copy reaches up to offset %d, but %s ends at %d: it is of another one, and is "
                "made anew", partition, at - 1, self._settings.changelog_topic, bounds.end,
            )  # fmt: skip
            self._store.forget(partition)
            return bounds.begin
        return max(at, bounds.begin)

    async def _apply(self, partition: int, run: Run, *, at_once: int, rest: float = 0.0) -> None:
        """Write records to the local copy, and then how far it reaches. Others have their turn in between."""
        records = run.records
        for first in range(0, len(records), at_once):
            started = time.monotonic()
            chunk = records[first : first + at_once]
            while self._store.is_behind(partition):  # noqa: ASYNC110 - the disk tells nobody when it has caught up
                await asyncio.sleep(_BEHIND_SECS)
            self._store.write(partition, _known(partition, chunk), chunk[-1].offset)
            await asyncio.sleep(rest * (time.monotonic() - started))
        self._store.write(partition, (), run.next_offset - 1)


def _known(partition: int, records: Iterable[Any]) -> Iterable[tuple[bytes, bytes | None]]:
    """Key and row of each; StateError at one of a format that this version cannot read."""
    for record in records:
        if record.value is not None:
            try:
                refuse_unknown(record.key, record.value)
            except StateError as error:
                raise StateError(
                    f"changelog, partition {partition}@{record.offset}, key {record.key!r}: {error}"
                ) from None
        yield record.key, record.value
