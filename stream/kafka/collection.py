"""The user table as a Faust collection: changelog in frames, local copy in RocksDB, recovery by Faust.

Faust decides which partitions are whose and when the changelog is read; this only says what each of those means here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from faust.tables.base import Collection
from faust.types import TP

from stream.errors import PassingError, StateError
from stream.kafka.store import RowStore

# Frames of the changelog that recovery collects before it applies them; a frame is a whole poll.
_RECOVERY_BUFFER_FRAMES = 4


class UserTable(Collection):
    """Faust's view of the rows. Nothing is read or written through it by key."""

    logger = logging.getLogger("faust.table")

    def __init__(
        self,
        app: Any,
        *,
        name: str,
        changelog_topic: Any,
        source_topics: Iterable[str],
        store: RowStore,
        on_assigned: Callable[[set[int]], Awaitable[None]],
        on_recovered: Callable[[set[int]], Awaitable[None]],
        on_restoring: Callable[[], None],
    ) -> None:
        """`on_assigned` gets the owned partitions before recovery, `on_recovered` after it, `on_restoring` in it."""
        super().__init__(
            app,
            name=name,
            changelog_topic=changelog_topic,
            key_type=bytes,
            value_type=bytes,
            recovery_buffer_size=_RECOVERY_BUFFER_FRAMES,
        )
        self._source_topics = frozenset(source_topics)
        self._rows = store
        self._assigned = on_assigned
        self._recovered = on_recovered
        self._restoring = on_restoring

    async def on_start(self) -> None:
        """Nothing: stock opens a store and declares the changelog; `topics` has made and checked it."""

    async def on_stop(self) -> None:
        self._rows.close()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Take ownership of what is assigned. Runs inside the assignment, without heartbeats: it must be short."""
        changelog = self.changelog_topic_name
        owned = {tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == changelog}
        for topic in self._source_topics:
            here = {tp.partition for tp in assigned if tp.topic == topic}
            if owned and not here:  # Faust leaves out a topic that it does not find
                raise PassingError(f"{topic}: gone, or not known yet to the broker that was asked")
            if here != owned:
                raise StateError(
                    f"assignment: this worker has partitions {sorted(owned)} of {changelog}, but {sorted(here)} of "
                    f"{topic}; a user's events and row must be on one worker"
                )
        standby = {tp.partition for tp in assigned if tp.topic == changelog} - owned
        self._rows.own(owned | standby)
        await self._assigned(owned)

    def persisted_offset(self, tp: TP) -> int | None:
        """Where recovery starts reading the changelog."""
        return self._rows.changelog_offset(tp.partition)

    async def need_active_standby_for(self, tp: TP) -> bool:
        return self.persisted_offset(tp) is None

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Write recovered frames to the local copy."""
        self._restoring()
        for event in batch:
            for tp, records in event.message.value:
                self._rows.write(tp.partition, ((r.key, r.value) for r in records), records[-1].offset)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        # Faust swallows what is raised here, and would go on without the state.
        try:
            await self._recovered({tp.partition for tp in active_tps})
        except Exception as error:
            await self.crash(error)
            raise

    def reset_state(self) -> None:
        self._rows.wipe()

    # What a collection must have, and nothing here uses.

    def _has_key(self, key: Any) -> bool:
        raise NotImplementedError

    def _get_key(self, key: Any) -> Any:
        raise NotImplementedError

    def _set_key(self, key: Any, value: Any) -> None:
        raise NotImplementedError

    def _del_key(self, key: Any) -> None:
        raise NotImplementedError

    def using_window(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def hopping(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def tumbling(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def as_ansitable(self, *args: Any, **kwargs: Any) -> str:
        raise NotImplementedError

    def _relative_key(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError
