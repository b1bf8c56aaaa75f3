"""Runs: the events of every user, one user after the other, each in the order in which serving applies them.

In memory where that is small, else in memory-mapped files without a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream import structured
from stream.rows import RAW_EVENT
from stream.sequences import Ints
from stream.training.fraud_labels import UNKNOWN
from stream.training.user_blocks import temporary_file, write

Bools = NDArray[np.bool_]
Hashes = NDArray[np.uint64]

# Columns of so many bytes together lie in files: a sixth of what a small machine has.
MEMORY_BYTES = 256 << 20
# Events that are looked at together, so that what is computed on the way stays small.
BLOCK_EVENTS = 1 << 19

# The columns of N events.
COLUMNS: Mapping[str, np.dtype[Any]] = {
    "raw": RAW_EVENT,
    "session": np.dtype("u8"),
    "fraud": np.dtype("i1"),
    "kind": np.dtype("u1"),
    "repeat": np.dtype("?"),
}


@dataclass(frozen=True, slots=True)
class Runs:
    """N raw events of U users."""

    raw: NDArray[np.void]  # [N] `rows.RAW_EVENT`
    session: Hashes  # [N] hash of the session id; 0: none
    fraud: NDArray[np.int8]  # [N] -1 unknown, 0 no, 1 yes
    kind: NDArray[np.uint8]  # [N] of fraud, its place in `kinds`; 0: none is told
    repeat: Bools  # [N] an event with this id came before: it is applied again, but nothing happened again
    counts: Ints  # [U] events of each user, 1 or more
    user: Hashes  # [U] hash of shop and user id, ascending within what was gathered together
    end_ms: Ints  # [U] the user was watched up to then (epoch ms, not included)
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def owner(self) -> Ints:
        """[N] the place of each event's user in `counts`."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @classmethod
    def plain(cls, raw: NDArray[np.void], counts: Ints, *, end_ms: int) -> Self:
        """Runs of which nothing is known beside the raw events; a user's hash is their place."""
        n = len(raw)
        return cls(
            raw=raw,
            session=np.zeros(n, np.uint64),
            fraud=np.full(n, UNKNOWN, np.int8),
            kind=np.zeros(n, np.uint8),
            repeat=np.zeros(n, np.bool_),
            counts=counts,
            user=np.arange(len(counts), dtype=np.uint64),
            end_ms=np.full(len(counts), end_ms, np.int64),
            kinds=("",),
        )

    @classmethod
    def concat(cls, runs: Sequence[Runs]) -> Runs:
        """The users of one after those of the other, in memory; never taken for the same, whatever their ids."""
        kinds = list(dict.fromkeys(kind for r in runs for kind in r.kinds)) or [""]
        codes = [np.array([kinds.index(kind) for kind in r.kinds], np.uint8)[r.kind] for r in runs]
        recoded = [replace(r, kind=code) for r, code in zip(runs, codes, strict=True)]
        columns = {f.name: _joined([getattr(r, f.name) for r in recoded]) for f in fields(cls) if f.name != "kinds"}
        return cls(**columns, kinds=tuple(kinds))

    def blocks(self, events: int = BLOCK_EVENTS) -> Iterator[tuple[slice, Runs]]:
        """Runs of whole users, about so many events each, and where their events are in this one; views, no copies."""
        ends = np.cumsum(self.counts)
        first = 0
        while first < len(self.counts):
            start = int(ends[first] - self.counts[first])
            end = max(first + 1, int(np.searchsorted(ends, start + events, side="right")))
            where = slice(start, int(ends[end - 1]))
            yield where, self._view(where, slice(first, end))
            first = end

    def before(self, time_ms: int, *, folder: Path | None = None) -> Runs:
        """What had happened before that time, watched up to then: what a split in time may train on.

        By event time: what happened before it and was late is among it.
        """
        kept = np.empty(len(self), np.bool_)
        for where, block in self.blocks():
            kept[where] = block.raw["time_ms"] < time_ms
        runs = self.select(kept, folder=folder)
        return replace(runs, end_ms=np.minimum(runs.end_ms, time_ms))

    def of_users(self, users: Bools, *, folder: Path | None = None) -> Runs:
        """Those of the users of a mask [U]."""
        return self.select(np.repeat(users, self.counts), folder=folder)

    def select(self, events: Bools, *, folder: Path | None = None) -> Runs:
        """The events of a mask [N], a copy; users without any are left out."""
        columns = Columns(int(np.count_nonzero(events)), folder=folder)
        of_users = [np.empty(0, np.int64)]
        for where, block in self.blocks():
            kept = events[where]
            columns.append({name: taken(getattr(block, name), kept) for name in COLUMNS})
            of_users.append(np.add.reduceat(kept, np.cumsum(block.counts) - block.counts, dtype=np.int64))
        counts = np.concatenate(of_users)
        some = counts > 0
        return Runs(
            **columns.finish(), counts=counts[some], user=self.user[some], end_ms=self.end_ms[some], kinds=self.kinds
        )

    def _view(self, events: slice, users: slice) -> Runs:
        return Runs(
            **{name: getattr(self, name)[events] for name in COLUMNS},
            counts=self.counts[users],
            user=self.user[users],
            end_ms=self.end_ms[users],
            kinds=self.kinds,
        )


def taken(column: NDArray[Any], index: Any) -> NDArray[Any]:
    """`column[index]`, the fast way where its elements are structs."""
    return structured.take(column, index) if column.dtype.names else column[index]


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return structured.concat(columns) if columns[0].dtype.names else np.concatenate(columns)


class Columns:
    """The columns of at most N events while they are made."""

    def __init__(self, events: int, *, folder: Path | None, memory_bytes: int = MEMORY_BYTES) -> None:
        size = events * sum(dtype.itemsize for dtype in COLUMNS.values())
        self._folder = folder
        self._files = {name: temporary_file(folder) for name in COLUMNS} if size > memory_bytes else None
        self._pieces: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
        self._events = 0

    def append(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._events += len(columns["raw"])
        for name in COLUMNS:
            if self._files is None:
                self._pieces[name].append(columns[name])
            else:
                write(self._files[name], columns[name], self._folder)

    def finish(self) -> dict[str, Any]:
        """Each column by its name."""
        finished: dict[str, Any] = {}
        for name, dtype in COLUMNS.items():
            if self._files is None:
                finished[name] = _joined([np.empty(0, dtype), *self._pieces[name]])
            elif self._events:
                with self._files[name] as file:
                    file.flush()
                    finished[name] = np.memmap(file, dtype, mode="r", shape=(self._events,))
            else:
                finished[name] = np.empty(0, dtype)
        return finished
