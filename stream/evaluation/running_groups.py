"""Running figures within groups of rows: of what came up to each row, never of what comes after. Pure."""

from __future__ import annotations

import numpy as np

from stream import sequences
from stream.evaluation.behaviour import Bools, Floats, Ints


class RunningGroups:
    """Running figures within groups of N rows that keep their order, whether or not a group's rows are neighbours."""

    def __init__(self, group: Ints) -> None:
        rows = np.arange(len(group))
        self._order = np.argsort(group, kind="stable")
        self._place = np.empty(len(group), np.int64)
        self._place[self._order] = rows
        new = np.append(True, np.diff(group[self._order]) != 0)[: len(group)]
        self._start = np.maximum.accumulate(np.where(new, rows, 0))  # [N] in group order
        self.first: Bools = new[self._place]
        self.start: Ints = self._order[self._start][self._place]  # [N] the place of the first row of each one's group
        self.rank: Ints = (rows - self._start)[self._place]  # [N] rows of the group before this one

    def so_far(self, counted: Bools) -> Floats:
        """[N] how many of the group's rows up to and with this one are counted."""
        return self.sum(counted.astype(float))

    def sum(self, of: Floats) -> Floats:
        """[N] sum of what is not NaN up to and with this row."""
        total = np.cumsum(np.where(np.isnan(of), 0.0, of)[self._order])
        before = np.append(0.0, total)[self._start]  # of all groups up to this one's first row
        sums: Floats = (total - before)[self._place]
        return sums

    def mean(self, of: Floats) -> Floats:
        """[N] mean of what is not NaN up to and with this row; NaN where there is nothing."""
        count = self.so_far(~np.isnan(of))
        return np.where(count > 0, self.sum(of) / np.maximum(count, 1), np.nan)

    def max(self, of: Floats) -> Floats:
        """[N] the highest of what is not NaN up to and with this row; NaN where there is nothing."""
        values = of[self._order]
        some = ~np.isnan(values)
        levels, level = np.unique(values[some], return_inverse=True)
        # Ranks of values, each group's above those of all groups before it: one running maximum serves all
        floor = self._start * (len(levels) + 1)
        high = floor.copy()
        high[some] += level + 1
        found = np.maximum.accumulate(high) - floor
        return np.where(found > 0, np.append(np.nan, levels)[found], np.nan)[self._place]

    def previous(self, of: Floats, back: int = 1) -> Floats:
        """[N] the value of the group's row `back` rows before; NaN where there are fewer."""
        values = of[self._order]
        before = np.full(len(of), np.nan)
        before[back:] = values[: max(len(of) - back, 0)]
        before[np.arange(len(of)) - self._start < back] = np.nan
        return before[self._place]

    def step(self, of: Floats) -> Floats:
        """[N] this row's value less that of the group's row before; NaN for the first."""
        return of - self.previous(of)

    def since_last(self, counted: Bools, of: Floats) -> Floats:
        """[N] this row's value less that of the group's last counted row, itself included; NaN before there is one."""
        values, places = of[self._order], np.arange(len(of))
        last = np.maximum.accumulate(np.where(counted[self._order], places, -1))
        return np.where(last >= self._start, values - values[last], np.nan)[self._place]


def decayed_counts(user: Ints, gap_secs: Floats, kind: Ints, kinds: int, half_lives_secs: Floats) -> Floats:
    """[N, D, kinds] how often each kind came to a user up to and with each row, an older one counting for less.

    By half for each of D half-lives that passed. `gap_secs` [N] is the time since the user's row before; 0 for the
    first. A loop over the events of the busiest user, about 20 us each.
    """
    packing = sequences.pack(user)
    kept = np.exp2(-gap_secs[packing.arrival][:, None] / half_lives_secs)
    came = kind[packing.arrival]
    counts = np.empty((len(user), len(half_lives_secs), kinds))
    now = np.zeros((len(packing.users), len(half_lives_secs), kinds))
    start = 0
    for size in packing.batch_sizes.tolist():
        step = slice(start, start + size)
        now[:size] *= kept[step][:, :, None]
        now[np.arange(size), :, came[step]] += 1.0
        counts[step] = now[:size]
        start += size
    return packing.to_arrival(counts)
