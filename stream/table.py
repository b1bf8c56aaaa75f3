"""The user table: per user a slot in columnar arrays, with the rolling sequence, what is remembered of all events,
the offsets applied and the carry.

The changelog is the truth, a store its local copy, and this a write-back cache of at most so many users: one not in
memory is fetched from the store when an event comes, in one call per batch; what changed stays until a checkpoint has
made it durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stream import rows as row_format
from stream import structured
from stream.carries import Carries, CarrySizes
from stream.errors import StateError
from stream.events import SOURCES, EventBatch
from stream.rows import NOT_HELD_MS, RAW_EVENT, ChangedRows, Rows, Sizes, UnreadableRowError
from stream.sequences import Ints, Packing
from stream.slots import NO_ROOM, NOBODY, Index, Slots

# (partition, keys) -> the stored row of each key, or None. Called on the scoring thread.
FetchRows = Callable[[int, Sequence[bytes]], Sequence[bytes | None]]

# Slots that are looked at at once for users without a carry: 0.1 ms.
_LOOKED_AT = 8_192


def raw_events(events: EventBatch) -> NDArray[np.void]:
    """[N] the columns of a batch that a rolling sequence keeps."""
    raw = np.empty(len(events), RAW_EVENT)
    for name in RAW_EVENT.names or ():
        raw[name] = events[name]
    return raw


class Table:
    """Rows of the users in memory. One thread at a time."""

    def __init__(
        self,
        sizes: Sizes,
        *,
        model: int,
        device: torch.device,
        fetch_rows: FetchRows,
        max_users: int | None = None,
        index: Index | None = None,
    ) -> None:
        """`model` marks every carry made here; a row with another mark is `stale` until rebuilt.

        At most `max_users` are in memory; None: all that were seen. With an `index` they are found sooner.
        """
        self._sizes = sizes
        self._fetch_rows = fetch_rows
        self._slots = Slots(max_users, index)
        self._generations: dict[int, Ints] = {}  # by partition, [3] of its sources; without those that are all 0
        # One structured array for all but the carry, which lives on the device.
        self._rows = np.zeros(0, row_format.state_dtype(sizes.sequence))
        self._carries = Carries(CarrySizes(*sizes[1:]), model, device)
        self._looked_at = 0  # slots before it, of users whose carry is to be made anew

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def sequence(self) -> int:
        """R, of the rolling sequences."""
        return self._sizes.sequence

    @property
    def crowded(self) -> bool:
        """Whether so many rows wait for a checkpoint that there will soon be no room for others."""
        return self._slots.crowded

    def own(self, partition: int, generations: Sequence[int]) -> None:
        """Of which generation each source topic of a partition is: a row's offsets of a former one count for none."""
        if any(generations):
            self._generations[partition] = np.array(generations, np.int64)

    def slots_of(self, events: EventBatch) -> Ints:
        """[N] the slot of each event's user, or NO_ROOM; one not in memory is fetched, a new one gets a blank row."""
        self._slots.next_batch()
        slots = self._slots.find_all(events)
        absent = np.flatnonzero(slots == NO_ROOM)
        if len(absent):
            others = events.take(absent)
            slots[absent] = self._brought(others["partition"], others.key)
        return slots

    def slots(self, partition: NDArray[np.int32], keys: NDArray[np.object_]) -> Ints:
        """As `slots_of`, of users."""
        self._slots.next_batch()
        return self._brought(partition, keys)

    def _brought(self, partition: NDArray[np.int32], keys: NDArray[np.object_]) -> Ints:
        slots = np.empty(len(keys), np.int64)
        places = {p: np.flatnonzero(partition == p) for p in np.unique(partition).tolist()}
        for p, at in places.items():
            slots[at] = self._slots.find(p, keys[at].tolist())
        for p, at in places.items():
            absent = at[slots[at] == NO_ROOM]
            if len(absent):
                wanted = keys[absent].tolist()
                self._bring(p, list(dict.fromkeys(wanted)))
                slots[absent] = self._slots.find(p, wanted)
        return slots

    def applied(self, slots: Ints, source: NDArray[np.uint8], offset: Ints) -> NDArray[np.bool_]:
        """[N] whether a row already holds the event: a replay brings it again."""
        if not self._slots.capacity:
            return np.zeros(len(slots), np.bool_)
        held = (offset <= self._rows["offsets"][slots, source]) & (slots != NO_ROOM)
        if self._generations:
            held &= self._rows["generations"][slots, source] >= self._generation(slots, source)
        return np.asarray(held)

    @property
    def event_hashes_held(self) -> NDArray[np.uint64]:
        """[S, R] the hashes of the ids in all rolling sequences."""
        hashes: NDArray[np.uint64] = self._rows["raw"]["event_hash"]
        return hashes

    def event_hashes(self, slot: int) -> list[int]:
        """The hashes of the ids in a rolling sequence, the latest last."""
        _, raw = self.sequences(np.array([slot]))
        return [int(event) for event in raw["event_hash"]]

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

    def use(self, model: int, carry: CarrySizes, marks: Mapping[int, int] | None = None) -> None:
        """Take carries by another model: those that are here are stale, the rest of the rows stays.

        `marks`: by partition, where it is another than `model`.
        """
        self._sizes = Sizes(self._sizes.sequence, *carry)
        self._looked_at = 0
        if self._carries.use(carry, model, marks or {}):
            for name, size in carry._asdict().items():
                self._rows[name] = size
            self._rows["model"] = 0

    def stale(self, slots: Ints) -> Ints:
        """Those with events but no carry by this model."""
        return np.asarray(slots[self._is_stale(slots)])

    def next_stale(self, n: int) -> Ints:
        """Up to n of all slots that are stale, each once since `use`; none once all were looked at."""
        found: list[Ints] = []
        while n > 0 and self._looked_at < len(self._rows):
            slots = np.arange(self._looked_at, min(self._looked_at + _LOOKED_AT, len(self._rows)))
            stale = self.stale(slots)[:n]
            self._looked_at = int(stale[-1] if len(stale) == n else slots[-1]) + 1
            n -= len(stale)
            found.append(stale)
        return np.concatenate([np.empty(0, np.int64), *found])

    def stale_users(self) -> int:
        """So many are in memory: 10 ms for 500,000 users."""
        return int(np.count_nonzero(self._is_stale(np.arange(len(self._rows)))))

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
        return self._carries.gather(slots)

    def scatter(self, slots: Ints, carry: torch.Tensor) -> None:
        """Put back [U, P, L, H] what `gather` gave, moved on."""
        self._carries.scatter(slots, carry)
        self._rows["model"][slots] = self._carries.marks(self._slots.partition[slots])

    def changed(self, slots: Ints) -> None:
        """Note that these distinct slots are for the next checkpoint, though no event was applied."""
        self._slots.change(slots)

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
        self._apply_offsets(slot, events["source"][packing.arrival], events["offset"][packing.arrival])
        self._rows["events_seen"][packing.users] += packing.counts
        self._slots.change(packing.users)

    def pass_over(self, slots: Ints, source: NDArray[np.uint8], offset: Ints) -> None:
        """Take N events for applied that change nothing: a replay must not look at them anew."""
        news = ~self.applied(slots, source, offset)  # else a later one of the user's was applied with it
        self._apply_offsets(slots[news], source[news], offset[news])
        self._slots.change(np.unique(slots[news]))

    def begin_anew(self, slots: Ints) -> None:
        """Forget what these users did, as if they were never seen; but not which offsets were applied."""
        blank = row_format.new_rows(len(slots), self._sizes)
        for name in ("offsets", "generations"):
            blank[name] = self._rows[name][slots]
        self._write(slots, blank)
        self._slots.change(slots)

    def forget(self, partition: int, keys: Iterable[bytes]) -> None:
        """Delete the rows of these users: here and on the device at once, elsewhere with the next checkpoint."""
        slots = self._slots.forget(partition, keys)
        self._write(slots, row_format.new_rows(len(slots), self._sizes))

    def holds(self, partition: int, key: bytes) -> bool:
        """Whether the user is in memory."""
        return self._slots.of(partition, key) != NO_ROOM

    def is_durable(self, partition: int, key: bytes) -> bool:
        """Whether the store has the user's row as it is now."""
        return self._slots.is_durable(partition, key)

    def header(self, partition: int, key: bytes) -> Rows:
        """[1] of HEADER: what the user's row says of itself, in memory or in the store; [0] where there is none."""
        if self.holds(partition, key):
            return self._rows[list(row_format.HEADER.names or ())][[self._slots.of(partition, key)]]
        if self._slots.is_deleted(partition, key):
            return row_format.headers([])
        return row_format.headers([row for row in self._fetch_rows(partition, [key]) if row is not None])

    def generations(self, partition: int) -> Ints:
        """[3] of its source topics."""
        return self._generations.get(partition, np.zeros(len(SOURCES), np.int64))

    def rows(self, slots: Ints) -> Rows:
        """The rows of these slots as they would be persisted."""
        rows = np.empty(len(slots), row_format.row_dtype(self._sizes))
        structured.as_bytes(rows)[:, : self._rows.dtype.itemsize] = structured.as_bytes(self._rows)[slots]
        rows["carry"] = self.gather(slots).cpu().numpy()
        return rows

    def take_changed(self, partition: int) -> ChangedRows:
        """A copy of what changed in the partition since the last call; `durable` says that it is written."""
        slots, deleted = self._slots.take_changes(partition)
        return ChangedRows(self._slots.keys[slots], self.rows(slots), sorted(deleted))

    def durable(self, partition: int) -> None:
        """What `take_changed` gave last of the partition is in the store, where it can be fetched again."""
        self._slots.durable(partition)

    def clear(self) -> None:
        """Forget all that is in memory, changed or not: it comes again from the store and the topics."""
        self._slots.clear()
        self._generations.clear()

    def _bring(self, partition: int, keys: list[bytes]) -> None:
        """Give slots to users not in memory, as far as there is room, with their stored row if there is one."""
        slots = self._slots.seat(partition, keys)
        self._fit()
        rows = row_format.new_rows(len(slots), self._sizes)
        stored = [
            (i, row)
            for i, (key, row) in enumerate(zip(keys, self._fetch_rows(partition, keys[: len(slots)]), strict=False))
            if row is not None and not self._slots.is_deleted(partition, key)
        ]
        if stored:
            try:
                rows[[i for i, _ in stored]] = row_format.unpack([row for _, row in stored], self._sizes)
            except UnreadableRowError as error:
                key = keys[stored[error.at][0]]
                raise StateError(f"partition {partition}, key {key!r}: {error}") from None
        self._write(slots, rows)

    def _write(self, slots: Ints, rows: Rows) -> None:
        structured.as_bytes(self._rows)[slots] = structured.as_bytes(rows)[:, : self._rows.dtype.itemsize]
        self._carries.scatter(slots, torch.from_numpy(rows["carry"].copy()))

    def _apply_offsets(self, slots: Ints, source: NDArray[np.uint8], offset: Ints) -> None:
        self._rows["offsets"][slots, source] = offset
        if self._generations:
            self._rows["generations"][slots, source] = self._generation(slots, source)

    def _generation(self, slots: Ints, source: NDArray[np.uint8]) -> Ints:
        """[N] of each source topic in the partition of each slot."""
        generation, partition = np.zeros(len(slots), np.int64), self._slots.partition[slots]
        for p, of_sources in self._generations.items():
            generation = np.where(partition == p, of_sources[source], generation)
        return generation

    def _is_stale(self, slots: Ints) -> NDArray[np.bool_]:
        """[U] whether there are events and no carry by this model."""
        rows, partition = self._rows, self._slots.partition[slots]
        foreign = rows["model"][slots] != self._carries.marks(partition)
        return np.asarray(foreign & (rows["events_seen"][slots] > 0) & (partition != NOBODY))

    def _fit(self) -> None:
        """Room for as many rows as there are slots."""
        had, more = len(self._rows), self._slots.capacity - len(self._rows)
        if more:
            rows = np.zeros(had + more, self._rows.dtype)  # not joined with the former: that would write all of it
            structured.put(rows, slice(had), self._rows)
            self._rows = rows
            self._carries.fit(self._slots.capacity)
