"""Who comes when: the packed order in which a batch's events go through the LSTM.

Step t holds the t-th event of every user who has so many, the busiest users first; that is the layout of
`torch.nn.utils.rnn.PackedSequence`, made here from slots alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Packing:
    """The packed order of N events of U users in T steps; the i-th packed event is `arrival[i]` in arrival order."""

    users: Ints  # [U] slots, the busiest first
    counts: Ints  # [U] events of each, descending
    batch_sizes: Ints  # [T] users that have a t-th event
    arrival: Ints  # [N] packed -> arrival order
    user: Ints  # [N] packed -> place in `users`
    rank: Ints  # [N] packed -> step
    before: Ints  # [N] packed -> its user's event before, as a place in [the U states before the batch, the N events]

    def to_arrival(self, packed: NDArray[_T]) -> NDArray[_T]:
        """A packed column [N, ...] in arrival order."""
        column = np.empty_like(packed)
        column[self.arrival] = packed
        return column

    def steps(self) -> Iterator[slice]:
        """The packed events of each step; the n of one are those of the first n users, in that order."""
        start = 0
        for size in self.batch_sizes.tolist():
            yield slice(start, start + size)
            start += size


def pack(slots: Ints) -> Packing:
    """The packing of events whose users' slots are given in arrival order; a user's events keep that order."""
    by_slot = np.argsort(slots, kind="stable")
    slot = slots[by_slot]
    starts = np.flatnonzero(np.r_[True, slot[1:] != slot[:-1]]) if len(slot) else np.empty(0, np.int64)
    count = np.diff(np.r_[starts, len(slot)])
    rank = np.arange(len(slot)) - np.repeat(starts, count)

    busiest_first = np.argsort(-count, kind="stable")
    place = np.empty_like(busiest_first)
    place[busiest_first] = np.arange(len(busiest_first))
    user = np.repeat(place, count)

    batch_sizes = np.bincount(rank)
    step_start = np.cumsum(batch_sizes) - batch_sizes
    # Users of a step are those with more than `rank` events: the first of `users`, so a user's place is the same in
    # each.
    packed = step_start[rank] + user

    arrival, packed_user, packed_rank, before = (np.empty(len(slot), np.int64) for _ in range(4))
    arrival[packed] = by_slot
    packed_user[packed] = user
    packed_rank[packed] = rank
    before[packed] = np.where(rank == 0, user, len(starts) + packed - _size_before(batch_sizes, rank))
    return Packing(
        slot[starts][busiest_first], count[busiest_first], batch_sizes, arrival, packed_user, packed_rank, before
    )


def _size_before(batch_sizes: Ints, rank: Ints) -> Ints:
    # From one step to the next a user moves by the size of the step left behind.
    return batch_sizes[np.maximum(rank - 1, 0)]


def running_max(values: Ints, packing: Packing, initial: Ints) -> Ints:
    """[N] packed: the maximum of `values` over a user's events before each, starting from `initial` [U].

    A loop over the T steps (about 2 us each): a batch has few, by `batch_max_steps`.
    """
    before = np.empty_like(values)
    high = initial.copy()
    for step in packing.steps():
        so_far = high[: step.stop - step.start]
        before[step] = so_far
        np.maximum(so_far, values[step], out=so_far)
    return before
