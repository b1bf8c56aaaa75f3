"""Reductions within groups of neighbouring rows. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.behaviour import NONE, Bools, Floats, Ints


class Grouped:
    """Reductions of N rows to G groups of neighbouring rows. A reduction passes over NaN; of nothing it is NaN."""

    def __init__(self, starts: Ints, length: int) -> None:
        self._starts = starts
        self._sizes = np.diff(np.append(starts, length))
        self.count: Floats = self._sizes.astype(float)  # [G] rows
        self.group: Ints = np.repeat(np.arange(len(starts)), self._sizes)  # [N]
        self.place: Ints = np.arange(length) - starts[self.group]  # [N] within the group, from 0

    def sum(self, of: NDArray[Any]) -> Floats:
        return np.asarray(np.add.reduceat(of, self._starts, dtype=np.float64))

    def max(self, of: Floats) -> Floats:
        return np.asarray(np.fmax.reduceat(of, self._starts))

    def min(self, of: Floats) -> Floats:
        return np.asarray(np.fmin.reduceat(of, self._starts))

    def first(self, of: Floats) -> Floats:
        return of[self._starts]

    def last(self, of: Floats) -> Floats:
        return of[self._starts + self._sizes - 1]

    def mean(self, of: Floats) -> Floats:
        some = ~np.isnan(of)
        return per(self.sum(np.where(some, of, 0.0)), self.sum(some))

    def spread(self, of: Floats) -> Floats:
        """[G] standard deviation; NaN with fewer than two values."""
        variance = self.mean((of - self.mean(of)[self.group]) ** 2)
        return np.where(self.sum(~np.isnan(of)) > 1, np.sqrt(variance), np.nan)

    def median(self, of: Floats) -> Floats:
        """[G] the lower of the two in the middle."""
        ordered = of[np.lexsort((of, self.group))]  # NaN last in its group
        some = self.sum(~np.isnan(of)).astype(np.int64)
        return np.where(some > 0, ordered[self._starts + np.maximum(some - 1, 0) // 2], np.nan)

    def distinct(self, codes: Ints) -> Floats:
        """[G] how many codes occur, NONE not counted."""
        named = codes != NONE
        width = int(codes.max(initial=0)) + 1
        pairs = np.unique(self.group[named] * width + codes[named])
        return np.bincount(pairs // width, minlength=len(self._starts)).astype(float)

    def gaps(self, secs: Floats) -> Floats:
        """[N] time since the group's row before; NaN for its first."""
        gaps = np.diff(secs, prepend=np.nan)
        gaps[self._starts] = np.nan
        return gaps

    def gaps_of(self, secs: Floats, chosen: Bools) -> Floats:
        """[N] at chosen rows the time since the group's chosen row before; NaN elsewhere and for its first."""
        rows = np.flatnonzero(chosen)
        gaps = np.full(len(secs), np.nan)
        gaps[rows[1:]] = np.where(np.diff(self.group[rows]) == 0, np.diff(secs[rows]), np.nan)
        return gaps

    def busiest(self, time_ms: Ints, window_ms: int) -> Floats:
        """[G] the most rows within any `window_ms`."""
        axis = self.group * (np.ptp(time_ms) + window_ms + 1) + time_ms
        within = np.arange(1, len(axis) + 1) - np.searchsorted(axis, axis - window_ms, "right")
        return self.max(within.astype(float))


def per(of: Floats, by: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    return np.where(by > 0, of / np.maximum(by, 1e-9), np.nan)


def starts_of(group: Ints) -> Ints:
    """[G] where each group begins, in groups one after the other."""
    return np.flatnonzero(np.append(True, np.diff(group) != 0)[: len(group)])
