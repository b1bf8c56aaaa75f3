"""The user table: per user a slot in columnar arrays, with the rolling sequence, what is remembered of all events,
the offsets applied and the carry.

The changelog is the truth, a store its local copy, and this a write-back cache: a user not in memory is fetched from
the store when an event comes, in one call per batch; what changed is kept in mind until a checkpoint takes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stream import rows as row_format
from stream import structured
from stream.events import SOURCES, EventBatch
from stream.rows import NOT_HELD_MS, RAW_EVENT, Rows, Sizes
from stream.sequences import Ints, Packing

# (partition, keys) -> the stored row of each key, or None. Called on the scoring thread.
FetchRows = Callable[[int, Sequence[bytes]], Sequence[bytes | None]]

# Room for so many users at first: memory is not taken before it is written. Then it doubles, which moves everybody.
_FIRST_SLOTS = 65_536


def raw_events(events: EventBatch) -> NDArray[np.void]:
    """[N] the columns of a batch that a rolling sequence keeps."""
    raw = np.empty(len(events), RAW_EVENT)
    for name in RAW_EVENT.names or ():
        raw[name] = events[name]
    return raw


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """U rows as they are to be persisted."""

    keys: NDArray[np.object_]  # [U] bytes
    rows: Rows  # [U]

    def __len__(self) -> int:
        return len(self.rows)

    def to_bytes(self) -> list[tuple[bytes, bytes]]:
        """(key, row) of each; about 2 us a row, which nobody should have to wait for."""
        return list(zip(self.keys.tolist(), row_format.to_bytes(self.rows), strict=True))


class Table:
    """Rows of the users in memory. One thread at a time."""

    def __init__(self, sizes: Sizes, *, model: int, device: torch.device, fetch_rows: FetchRows) -> None:
        """`model` names the maker of every carry made here; a row with another's is `stale` until rebuilt."""
        self._sizes = sizes
        self._model = model
        self._fetch_rows = fetch_rows
        self._index: dict[int, dict[bytes, int]] = {}
        self._free: list[int] = []
        self._keys = np.empty(0, object)
        self._partition = np.empty(0, np.int32)
        self._changed: defaultdict[int, list[Ints]] = defaultdict(list)  # slots by partition, a batch each
        self._generations: dict[int, NDArray[np.uint32]] = {}  # of each source, by partition
        # One structured array for all but the carry, which lives on the device.
        self._rows = np.zeros(0, row_format.state_dtype(sizes.sequence))
        self._carry = torch.zeros((0, *sizes[1:]), dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return len(self._keys) - len(self._free)

    def own(self, partition: int, generations: tuple[int, int, int]) -> None:
        """Take events of these generations of the sources: what a row knows of an older one's offsets is nothing."""
        self._generations[partition] = np.array(generations, np.uint32)

    def slots(self, partition: NDArray[np.int32], keys: NDArray[np.object_]) -> Ints:
        """[N] the slot of each user; one not in memory is fetched, one never seen gets a blank row."""
        slots = np.empty(len(keys), np.int64)
        for p in np.unique(partition).tolist():
            at = np.flatnonzero(partition == p)
            slots[at] = self._slots_of(p, keys[at].tolist())
        return slots

    def applied(self, slots: Ints, source: NDArray[np.uint8], offset: Ints) -> NDArray[np.bool_]:
        """[N] whether a row already holds the event: a replay brings it again."""
        known = self._rows["generations"][slots, source] >= self._generation(slots, source)
        return np.asarray(known & (offset <= self._rows["offsets"][slots, source]))

    def events_seen(self, slots: Ints) -> Ints:
        return np.asarray(self._rows["events_seen"][slots])

    def last_time_ms(self, slots: Ints) -> Ints:
        """[U] the latest event time applied; -1 for a user never seen."""
        return np.asarray(self._rows["last_time_ms"][slots])

    def recent(self, slots: Ints, n: int) -> NDArray[np.void]:
        """[U, n] the events applied last, raw, the latest at the end; zeros where there were fewer.

        Those that the row never held have the time NOT_HELD_MS.
        """
        sequence = self._sizes.sequence
        if n > sequence:
            raise ValueError(f"rolling sequence: expected at least the {n} events that are looked at, got {sequence}")
        # Of a user with fewer events, the places of the others are as a new row has them.
        number = self.events_seen(slots)[:, None] + np.arange(-n, 0)
        return structured.take(self._rows["raw"], (slots[:, None], number % sequence))

    def memory(self, slots: Ints) -> NDArray[np.void]:
        """[U] what is remembered of all events of each user (`rows.MEMORY`), a copy; zeros for one never seen."""
        return structured.take(self._rows["memory"], slots)

    def remember(self, slots: Ints, memory: NDArray[np.void]) -> None:
        """Put back [U] what `memory` gave, moved on."""
        structured.put(self._rows["memory"], slots, memory)

    def stale(self, slots: Ints) -> Ints:
        """Those with events but no carry by this model."""
        foreign = (self._rows["model"][slots] != self._model) & (self._rows["events_seen"][slots] > 0)
        return np.asarray(slots[foreign])

    def sequences(self, slots: Ints) -> tuple[Ints, NDArray[np.void]]:
        """(slot of each, raw events): the rolling sequences of distinct users, each oldest first, as far as held."""
        sequence = self._sizes.sequence
        seen = self.events_seen(slots)
        length = np.minimum(seen, sequence)
        owner = np.repeat(slots, length)
        age = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
        raw = structured.take(self._rows["raw"], (owner, (np.repeat(seen - length, length) + age) % sequence))
        held = raw["time_ms"] != NOT_HELD_MS
        return owner[held], structured.take(raw, held)

    def gather(self, slots: Ints) -> torch.Tensor:
        """[U, P, L, H] the carry of each user; zeros for one never seen."""
        return self._carry[torch.from_numpy(slots).to(self._carry.device)]

    def scatter(self, slots: Ints, carry: torch.Tensor) -> None:
        """Put back [U, P, L, H] what `gather` gave, moved on."""
        self._carry[torch.from_numpy(slots).to(self._carry.device)] = carry
        self._rows["model"][slots] = self._model

    def append(self, packing: Packing, raw: NDArray[np.void], events: EventBatch, high_ms: Ints) -> None:
        """Apply a batch: raw events (packed order) to the sequences, times, counts and offsets (arrival order).

        `high_ms` [N] packed: the latest event time of the user up to and with the event.
        """
        sequence = self._sizes.sequence
        slot = packing.users[packing.user]
        number = self._rows["events_seen"][slot] + packing.rank
        kept = packing.rank >= packing.counts[packing.user] - sequence  # of more than R events, the last R
        structured.put(self._rows["raw"], (slot[kept], number[kept] % sequence), structured.take(raw, kept))
        # Packed order is step by step, so the last of several writes to a slot is that of its last event.
        self._rows["last_time_ms"][slot] = high_ms
        source = events["source"][packing.arrival]
        self._rows["offsets"][slot, source] = events["offset"][packing.arrival]
        self._rows["generations"][slot, source] = self._generation(slot, source)
        self._rows["events_seen"][packing.users] += packing.counts
        for partition in np.unique(self._partition[packing.users]).tolist():
            self._changed[partition].append(packing.users[self._partition[packing.users] == partition])

    def rows(self, slots: Ints) -> Rows:
        """The rows of these slots as they would be persisted."""
        rows = np.empty(len(slots), row_format.row_dtype(self._sizes))
        structured.as_bytes(rows)[:, : self._rows.dtype.itemsize] = structured.as_bytes(self._rows)[slots]
        rows["carry"] = self.gather(slots).cpu().numpy()
        return rows

    def take_changed(self, partition: int) -> ChangedRows:
        """A copy of every row of the partition that changed since the last call."""
        slots = np.unique(np.concatenate([np.empty(0, np.int64), *self._changed.pop(partition, ())]))
        return ChangedRows(self._keys[slots], self.rows(slots))

    def clear(self) -> None:
        """Forget all that is in memory, changed or not: it comes again from the store and the topics."""
        self._index.clear()
        self._free = list(range(len(self._keys)))
        self._keys[:] = None
        self._changed.clear()
        self._generations.clear()

    def _generation(self, slots: Ints, source: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """[N] the one that the source of each user's partition is in."""
        partitions, at = np.unique(self._partition[slots], return_inverse=True)
        none = np.zeros(len(SOURCES), np.uint32)
        return np.array([self._generations.get(p, none) for p in partitions.tolist()] or [none])[at, source]

    def _slots_of(self, partition: int, keys: list[bytes]) -> list[int]:
        index = self._index.setdefault(partition, {})
        slots = [index.get(key, -1) for key in keys]
        if -1 in slots:
            self._bring(partition, list(dict.fromkeys(key for key in keys if key not in index)))
            slots = [index[key] for key in keys]
        return slots

    def _bring(self, partition: int, keys: list[bytes]) -> None:
        """Give slots to users not in memory, with their stored row if there is one."""
        slots = self._allot(len(keys))
        rows = row_format.new_rows(len(keys), self._sizes)
        stored = [(i, row) for i, row in enumerate(self._fetch_rows(partition, keys)) if row is not None]
        if stored:
            rows[[i for i, _ in stored]] = row_format.unpack([row for _, row in stored], self._sizes)
        structured.as_bytes(self._rows)[slots] = structured.as_bytes(rows)[:, : self._rows.dtype.itemsize]
        self._carry[torch.from_numpy(slots).to(self._carry.device)] = torch.from_numpy(rows["carry"].copy()).to(
            self._carry.device
        )
        self._partition[slots] = partition
        self._keys[slots] = keys
        self._index[partition].update(zip(keys, slots.tolist(), strict=True))

    def _allot(self, n: int) -> Ints:
        if n > len(self._free):
            self._grow(max(_FIRST_SLOTS, len(self._keys), n - len(self._free)))
        slots = self._free[-n:]
        del self._free[-n:]
        return np.array(slots, np.int64)

    def _grow(self, more: int) -> None:
        had = len(self._keys)
        self._keys = np.concatenate([self._keys, np.empty(more, object)])
        self._partition = np.concatenate([self._partition, np.zeros(more, np.int32)])
        rows = np.zeros(had + more, self._rows.dtype)  # not joined with the former ones: that would write all of it
        structured.put(rows, slice(had), self._rows)
        self._rows = rows
        self._carry = torch.cat([self._carry, self._carry.new_zeros((more, *self._sizes[1:]))])
        self._free.extend(range(had + more - 1, had - 1, -1))
