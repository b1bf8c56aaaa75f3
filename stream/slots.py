"""Who is in which slot of the table, whose row is not durable yet, and who goes where room is needed.

Those asked for least recently go, but never one whose row changed: the row in the store is of an earlier time, and only
a checkpoint may write it. A store that was ahead of its checkpoint would make a replay pass over events that were never
published.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from stream.events import EventBatch
from stream.sequences import Ints

# Room for so many users at first: memory is not taken before it is written. Then it doubles, which moves everybody.
_FIRST_SLOTS = 65_536
# The slot of a user for whom there is no room until a checkpoint.
NO_ROOM = -1
# The partition of a slot that is free.
NOBODY = -1
# So many go at once, where one has to: finding out who takes as long for one as for all of them.
_EVICTED_AT_ONCE = 1_024

# What of a slot is not durable yet; 0: nothing.
_CHANGED, _IN_CHECKPOINT = np.uint8(1), np.uint8(2)


class Changes(NamedTuple):
    """What a checkpoint of a partition has to make durable."""

    slots: Ints  # [U] whose row changed
    deleted: frozenset[bytes]  # users whose row is to be deleted


_NOTHING = Changes(np.empty(0, np.int64), frozenset())


class Index(Protocol):
    """The same users and slots once more, in a form in which whole batches are found sooner."""

    def find(self, events: EventBatch) -> Ints:
        """[N] the slot of each event's user, or NO_ROOM where that is not known here."""

    def add(self, partition: int, keys: Sequence[bytes], slots: Ints) -> None:
        """These users are in these slots from here on."""

    def remove(self, slots: Ints) -> None:
        """Nobody is in these slots."""

    def grow(self, capacity: int) -> None:
        """Have room for so many slots."""

    def clear(self) -> None:
        """Forget everybody."""


class Slots:
    """At most `max_users` slots, each of one user of one partition."""

    def __init__(self, max_users: int | None, index: Index | None = None) -> None:
        self._max_users, self._fast = max_users, index
        self._index: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
        self._free: list[int] = []
        self.keys = np.empty(0, object)  # [S] bytes
        self.partition = np.empty(0, np.int32)  # [S] NOBODY where a slot is free
        self._undurable = np.empty(0, np.uint8)  # [S]
        self._asked = np.empty(0, np.int64)  # [S] the batch in which each was last asked for
        self._batch = 0
        self._changed: defaultdict[int, list[Ints]] = defaultdict(list)  # by partition, a batch each
        self._deleted: defaultdict[int, set[bytes]] = defaultdict(set)
        self._in_checkpoint: dict[int, Changes] = {}

    def __len__(self) -> int:
        return len(self.keys) - len(self._free)

    @property
    def capacity(self) -> int:
        """S."""
        return len(self.keys)

    @property
    def crowded(self) -> bool:
        """Whether so many wait for a checkpoint that there will soon be no room."""
        return self._max_users is not None and bool(2 * np.count_nonzero(self._undurable) > self._max_users)

    def next_batch(self) -> None:
        """Whoever is asked for from here on stays until the next call."""
        self._batch += 1

    def find(self, partition: int, keys: Sequence[bytes]) -> Ints:
        """[N] the slot of each user, or NO_ROOM of one who has none."""
        index = self._index[partition]
        slots = np.array([index.get(key, NO_ROOM) for key in keys], np.int64)
        self._asked[slots[slots != NO_ROOM]] = self._batch
        return slots

    def find_all(self, events: EventBatch) -> Ints:
        """[N] the slot of each event's user, or NO_ROOM of one who has none."""
        slots = np.full(len(events), NO_ROOM) if self._fast is None else self._fast.find(events)
        self._asked[slots[slots != NO_ROOM]] = self._batch
        absent = np.flatnonzero(slots == NO_ROOM)
        if len(absent):
            others = events.take(absent)
            keys, partitions = others.key, others["partition"]
            for partition in np.unique(partitions).tolist():
                at = np.flatnonzero(partitions == partition)
                slots[absent[at]] = self.find(partition, keys[at].tolist())
        return slots

    def seat(self, partition: int, keys: Sequence[bytes]) -> Ints:
        """Slots for the first of these distinct users who have none, as far as there is room."""
        slots = self._allot(len(keys))
        keys = keys[: len(slots)]
        self.partition[slots] = partition
        self.keys[slots] = keys
        self._asked[slots] = self._batch
        self._index[partition].update(zip(keys, slots.tolist(), strict=True))
        if self._fast is not None:
            self._fast.add(partition, keys, slots)
        return slots

    def change(self, slots: Ints) -> None:
        """Note that the rows of these distinct slots are other than those in the store."""
        self._undurable[slots] |= _CHANGED
        partitions = self.partition[slots]
        for partition in np.unique(partitions).tolist():
            self._changed[partition].append(slots[partitions == partition])

    def forget(self, partition: int, keys: Iterable[bytes]) -> Ints:
        """Let go of users for ever -> the slots that they had. Their deletion is for the next checkpoint."""
        keys = list(keys)
        self._deleted[partition].update(keys)
        index = self._index[partition]
        slots = np.array([index[key] for key in keys if key in index], np.int64)
        self._release(slots)
        return slots

    def of(self, partition: int, key: bytes) -> int:
        """The slot of a user, or NO_ROOM; who asks so does not keep the user here."""
        return self._index[partition].get(key, NO_ROOM)

    def is_durable(self, partition: int, key: bytes) -> bool:
        """Whether the store has the user's row as it is now."""
        slot = self.of(partition, key)
        return not self.is_deleted(partition, key) and (slot == NO_ROOM or not self._undurable[slot])

    def is_deleted(self, partition: int, key: bytes) -> bool:
        """Whether the user's row in the store, if there is one, is about to be deleted."""
        return key in self._deleted[partition] or key in self._in_checkpoint.get(partition, _NOTHING).deleted

    def take_changes(self, partition: int) -> Changes:
        """What changed since the last call; `durable` says that it is written."""
        slots = np.unique(np.concatenate([np.empty(0, np.int64), *self._changed.pop(partition, ())]))
        mine = (self._undurable[slots] & _CHANGED > 0) & (self.partition[slots] == partition)  # not forgotten since
        slots = slots[mine]
        self._undurable[slots] = _IN_CHECKPOINT
        deleted = self._deleted.pop(partition, set()).difference(self.keys[slots].tolist())
        self._in_checkpoint[partition] = changes = Changes(slots, frozenset(deleted))
        return changes

    def durable(self, partition: int) -> None:
        """What `take_changes` gave last of the partition is in the store."""
        slots = self._in_checkpoint.pop(partition, _NOTHING).slots
        self._undurable[slots] &= ~_IN_CHECKPOINT

    def clear(self) -> None:
        self._free = list(range(len(self.keys)))
        if self._fast is not None:
            self._fast.clear()
        self.keys[:] = None
        self.partition[:] = NOBODY
        self._undurable[:] = 0
        for by_partition in (self._index, self._changed, self._deleted, self._in_checkpoint):
            by_partition.clear()

    def _allot(self, n: int) -> Ints:
        """n slots, or as many as there is room for."""
        missing = n - len(self._free)
        if missing > 0:
            more = max(_FIRST_SLOTS, missing, len(self.keys))
            self._grow(more if self._max_users is None else min(more, self._max_users - len(self.keys)))
        if n > len(self._free):
            self._release(self._least_recent(max(n - len(self._free), _EVICTED_AT_ONCE)))
        first = max(0, len(self._free) - n)
        slots = np.array(self._free[first:], np.int64)
        del self._free[first:]
        return slots

    def _least_recent(self, n: int) -> Ints:
        """Up to n slots of users whose row is in the store as it is here, and who are not of this batch."""
        leaves = (self._undurable == 0) & (self._asked < self._batch)
        leaves[self._free] = False
        slots = np.flatnonzero(leaves)
        return slots if len(slots) <= n else slots[np.argpartition(self._asked[slots], n)[:n]]

    def _release(self, slots: Ints) -> None:
        for partition, key in zip(self.partition[slots].tolist(), self.keys[slots].tolist(), strict=True):
            del self._index[partition][key]
        if self._fast is not None:
            self._fast.remove(slots)
        self.keys[slots] = None
        self.partition[slots] = NOBODY
        self._undurable[slots] = 0
        self._free.extend(slots.tolist())

    def _grow(self, more: int) -> None:
        if more > 0:
            had = len(self.keys)
            self.keys = np.concatenate([self.keys, np.empty(more, object)])
            self.partition = np.concatenate([self.partition, np.full(more, NOBODY, np.int32)])
            self._undurable = np.concatenate([self._undurable, np.zeros(more, np.uint8)])
            self._asked = np.concatenate([self._asked, np.zeros(more, np.int64)])
            self._free.extend(range(had + more - 1, had - 1, -1))
            if self._fast is not None:
                self._fast.grow(had + more)
