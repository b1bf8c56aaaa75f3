"""User -> slot, for a whole batch without an object of a user: the dictionaries of `slots.Slots` once more, as arrays.

Open addressing by XXH3 with linear probing; a hash is never believed, the bytes of the user id are compared. Users with
longer ids than are kept here are found in the dictionaries alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from stream.compiled import xxh3
from stream.compiled.compiling import compiled, copy_bytes
from stream.events import EventBatch
from stream.sequences import Ints
from stream.slots import NO_ROOM

KEY_MOST = 48  # bytes; most are shorter than a UUID's 36
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)  # odd: no two partitions are mixed into one
_LOAD = 2  # places per slot, at least


class UserIndex:
    """An `slots.Index`."""

    def __init__(self) -> None:
        self._fit(0)

    def clear(self) -> None:
        self._slot[:] = NO_ROOM

    def grow(self, capacity: int) -> None:
        """Have room for so many slots, no fewer than before."""
        size, text, tag, partition = self._size, self._text, self._tag, self._partition
        used = self._slot[self._slot != NO_ROOM]
        self._fit(capacity)
        n = len(size)
        self._size[:n], self._text[:n], self._tag[:n], self._partition[:n] = size, text, tag, partition
        _place(self._slot, self._tag, np.sort(used))

    def add(self, partition: int, keys: Sequence[bytes], slots: Ints) -> None:
        """These users are in these slots from here on."""
        text, at = np.frombuffer(b"".join(keys), np.uint8), np.array([0, *accumulate(map(len, keys))], np.int64)
        _keep(self._tag, self._text, self._size, self._partition, partition, text, at, slots)
        _place(self._slot, self._tag, slots[self._size[slots] > 0])

    def remove(self, slots: Ints) -> None:
        """Nobody is in these slots."""
        _remove(self._slot, self._tag, slots[self._size[slots] > 0])
        self._size[slots] = 0

    def find(self, events: EventBatch) -> Ints:
        """[N] the slot of each event's user, or NO_ROOM of one who is not here."""
        found = np.empty(len(events), np.int64)
        _find(
            events.columns, events.text, self._slot, self._tag, self._text, self._size, self._partition, found
        )  # fmt: skip
        return found

    def _fit(self, capacity: int) -> None:
        places = 1 << max(4, (_LOAD * capacity - 1).bit_length())
        self._slot = np.full(places, NO_ROOM, np.int64)
        self._size = np.zeros(capacity, np.uint8)  # 0: not here
        self._text = np.zeros((capacity, KEY_MOST), np.uint8)
        self._tag = np.zeros(capacity, np.uint64)
        self._partition = np.zeros(capacity, np.int32)


@compiled
def _tag_of(text: Any, begin: int, end: int, partition: Any) -> Any:
    return xxh3.digest(text, begin, end) ^ np.uint64(partition) * _MIX


@compiled
def _keep(tags: Any, texts: Any, sizes: Any, partitions: Any, partition: int, text: Any, at: Any, slots: Any) -> None:
    for i in range(len(slots)):
        slot, size = slots[i], at[i + 1] - at[i]
        sizes[slot] = 0
        if 0 < size <= KEY_MOST:
            sizes[slot], partitions[slot] = size, partition
            tags[slot] = _tag_of(text, at[i], at[i + 1], partition)
            copy_bytes(texts[slot], 0, text, at[i], size)


@compiled
def _place(places: Any, tags: Any, slots: Any) -> None:
    mask = np.uint64(len(places) - 1)
    for slot in slots:
        at = np.int64(tags[slot] & mask)
        while places[at] != NO_ROOM:
            at = (at + 1) & np.int64(mask)
        places[at] = slot


@compiled
def _remove(places: Any, tags: Any, slots: Any) -> None:
    """Those behind move up, as far as they are not where they begin to look."""
    mask = np.int64(len(places) - 1)
    for slot in slots:
        at = np.int64(tags[slot] & np.uint64(mask))
        while places[at] != slot:
            at = (at + 1) & mask
        hole = at
        while True:
            at = (at + 1) & mask
            if places[at] == NO_ROOM:
                break
            begin = np.int64(tags[places[at]] & np.uint64(mask))
            if ((at - begin) & mask) >= ((at - hole) & mask):
                places[hole] = places[at]
                hole = at
        places[hole] = NO_ROOM


@compiled
def _find(events: Any, text: Any, places: Any, tags: Any, texts: Any, sizes: Any, partitions: Any, found: Any) -> None:
    mask = np.int64(len(places) - 1)
    for i in range(len(events)):
        event = events[i]
        begin, size = event.text_at, np.int64(event.key_size)
        found[i] = NO_ROOM
        if size > KEY_MOST:
            continue
        tag = event.user_hash ^ np.uint64(event.partition) * _MIX
        at = np.int64(tag & np.uint64(mask))
        while places[at] != NO_ROOM:
            slot = places[at]
            if tags[slot] == tag and sizes[slot] == size and partitions[slot] == event.partition:
                same = True
                for k in range(size):
                    same = same and texts[slot, k] == text[begin + k]
                if same:
                    found[i] = slot
                    break
            at = (at + 1) & mask
