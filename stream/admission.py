"""Which events of a batch are applied now: neither those that came before, nor those that have to wait.

    held       its row has it already: a replay brings it again
    repeated   its id is that of one of the user's last R events: sent twice
    deferred   its user has had their share of the batch, was silent for so long that they begin anew, or finds no room
    admitted   the rest

Each is decided by the events and the rows alone, so that however the input is cut, the same events are applied. Where
one of a user's events waits, all later ones of theirs wait too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream import sequences
from stream.decode import TIME_MAX_MS
from stream.events import EventBatch
from stream.sequences import Ints, Packing
from stream.slots import NO_ROOM
from stream.table import Table

Bools = NDArray[np.bool_]
Hashes = NDArray[np.uint64]

# Odd, so that no two users are mixed into one (2^64 / golden ratio).
MIX = np.uint64(0x9E37_79B9_7F4A_7C15)


class Repeated(NamedTuple):
    """N events, and their users' slots."""

    events: EventBatch
    slots: Ints


class Admission(NamedTuple):
    """What becomes of a batch's events."""

    events: EventBatch  # [N] to be applied, in their order
    packing: Packing  # of these
    deferred: EventBatch  # to be brought again, before any later event of their users
    held: int  # so many are passed over
    repeated: Repeated  # passed over too; their offsets are for the table to remember
    crowded: bool  # some wait for room, which only a checkpoint can make
    begun_anew: int  # so many users had been silent for too long


# (hashes [S, R] of the ids that rows hold, those [N] of events, their packing) -> [N] whether an event may be a repeat
Suspects = Callable[[Hashes, Hashes, Packing], Bools]


def suspects(held: Hashes, hashes: Hashes, packing: Packing) -> Bools:
    """[N] arrival order, whether the event's user has another of the same hash, in the row or in the batch."""
    users = packing.to_arrival(packing.user)
    found = (held[packing.users[users]] == hashes[:, None]).any(axis=1)
    mixed = hashes ^ (users.astype(np.uint64) * MIX)
    in_order = np.sort(mixed)
    if (in_order[1:] == in_order[:-1]).any():
        _, first, place = np.unique(mixed, return_index=True, return_inverse=True)
        found |= first[place] != np.arange(len(mixed))
    return np.asarray(found)


def admit(
    table: Table, events: EventBatch, *, max_steps: int, expiry_ms: int | None, suspects: Suspects = suspects
) -> Admission:
    """Decide on each event; a user who was silent for longer than `expiry_ms` (None: never) begins anew in the table.

    At most `max_steps` events of a user are admitted.
    """
    slots = table.slots_of(events)
    crowded = bool((slots == NO_ROOM).any())
    news = ~table.applied(slots, events["source"], events["offset"])
    held = len(events) - int(np.count_nonzero(news))
    if held:
        events, slots = events.take(news), slots[news]
    packing = sequences.pack(slots)
    deferred, begun_anew = events.take(slice(0)), 0
    waits = slots == NO_ROOM
    if len(packing.batch_sizes) > max_steps:
        waits |= packing.to_arrival(packing.rank >= max_steps)
    if expiry_ms is not None:
        silent, begun_anew = _silent(table, events, packing, expiry_ms)
        waits |= silent
    if waits.any():
        deferred = events.take(waits)
        events, slots = events.take(~waits), slots[~waits]
        packing = sequences.pack(slots)
    repeats = _repeats(table, events, slots, packing, suspects)
    repeated = Repeated(events.take(repeats), slots[repeats])
    if len(repeated.slots):
        events, slots = events.take(~repeats), slots[~repeats]
        packing = sequences.pack(slots)
    return Admission(events, packing, deferred, held, repeated, crowded, begun_anew)


def repeats_of(hashes: Sequence[int], recent: Sequence[int], sequence: int) -> list[bool]:
    """Of each of a user's events, by the hashes of their ids, whether it repeats one of the last `sequence` applied.

    `recent` are the hashes of those applied before, the latest last.
    """
    held = deque(recent, maxlen=sequence)
    found = []
    for event in hashes:
        repeats = event in held
        if not repeats:
            held.append(event)
        found.append(repeats)
    return found


def _silent(table: Table, events: EventBatch, packing: Packing, expiry_ms: int) -> tuple[Bools, int]:
    """[N] the events that may come after too long a silence within the batch, and what follows them.

    Users who were silent for too long before it begin anew: so many.

    Silence is measured up to the running maximum of event time in the event's topic partition, which no later event of
    it can be behind: what has expired by it stays so, and may be deleted (`expiry`) before the next event comes.
    """
    nobody = np.zeros(len(events), np.bool_)
    if not len(events):
        return nobody, 0
    last_ms = table.last_time_ms(packing.users)  # of NO_ROOM that of anybody: it waits whatever is said here
    known = last_ms >= 0
    earliest_ms = min(events["time_ms"].min(), last_ms.min(where=known, initial=TIME_MAX_MS))
    if events["order_ms"].max() - earliest_ms <= expiry_ms:  # nearly always
        return nobody, 0
    order_ms, time_ms = events["order_ms"][packing.arrival], events["time_ms"][packing.arrival]
    first = slice(0, len(packing.users))  # of each user, in packed order
    begun_ms = np.where(known, last_ms, time_ms[first])
    anew = known & (order_ms[first] - last_ms > expiry_ms) & (packing.users != NO_ROOM)
    table.begin_anew(packing.users[anew])
    begun_ms[anew] = time_ms[first][anew]
    # Not measured from the event before, which may turn out a repeat: rather one that waits for nothing.
    far = (order_ms - begun_ms[packing.user] > expiry_ms) & (packing.rank > 0)
    if not far.any():
        return nobody, int(anew.sum())
    from_rank = np.full(len(packing.users), len(events))
    np.minimum.at(from_rank, packing.user[far], packing.rank[far])
    return packing.to_arrival(packing.rank >= from_rank[packing.user]), int(anew.sum())


def _repeats(table: Table, events: EventBatch, slots: Ints, packing: Packing, suspects: Suspects) -> Bools:
    """[N] the events whose id is that of one of their user's last R."""
    hashes: Hashes = events["event_hash"]
    repeats = np.zeros(len(hashes), np.bool_)
    if not len(hashes):
        return repeats
    suspect = suspects(table.event_hashes_held, hashes, packing)
    if not suspect.any():  # nearly always
        return repeats
    user_of = packing.to_arrival(packing.user)
    for user in np.unique(user_of[suspect]).tolist():
        theirs = np.flatnonzero(user_of == user)
        before = table.event_hashes(int(packing.users[user]))
        repeats[theirs] = repeats_of(hashes[theirs].tolist(), before, table.sequence)
    return repeats
