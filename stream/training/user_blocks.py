"""Entries of events, grouped by their user's hash in bounded memory.

What is added is kept in blocks; where there is more than one, they lie in a temporary file without a name, each in the
order of a part of the hash, so that all entries of a range of hashes are one slice of each block.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from stream import structured
from stream.errors import SettingsError

# Ranges of hashes that a block tells apart: as many times its size can be grouped in its memory.
_CELL_BITS = 12
_CELLS = 1 << _CELL_BITS

Entries = NDArray[np.void]


def temporary_file(folder: Path | None) -> IO[bytes]:
    """A file that is gone when nobody has it open or mapped, however the process ends."""
    try:
        return tempfile.TemporaryFile(prefix="behaviour-stream-", dir=folder)
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise SettingsError(f"{where}: expected a folder for temporary files, got: {error.strerror}") from None


class UserBlocks:
    """Entries of a structured `dtype` with a column `user` (u8, any bit as likely 0 as 1)."""

    def __init__(self, dtype: np.dtype[np.void], *, folder: Path | None, block_bytes: int) -> None:
        """Twice `block_bytes` are in memory at most, and what a single user's entries take."""
        self._dtype, self._folder = dtype, folder
        self._block_entries = max(1, block_bytes // dtype.itemsize)
        self._added: list[Entries] = []
        self._waiting = 0
        self._file: IO[bytes] | None = None
        self._blocks: list[NDArray[np.int64]] = []  # of each in the file: where each cell begins, and the end
        self._written = 0

    def __len__(self) -> int:
        return self._written + self._waiting

    def add(self, entries: Entries) -> None:
        self._added.append(entries)
        self._waiting += len(entries)
        if self._waiting >= self._block_entries:
            self._write()

    def groups(self) -> Iterator[Entries]:
        """Entries of whole users, by the user's hash, each user's as they were added; to be gone through once."""
        if self._file is None:
            if self._waiting:
                yield _by_user(self._taken())
            return
        if self._waiting:
            self._write()
        sizes = np.sum([np.diff(block) for block in self._blocks], axis=0)
        for first, end in _ranges(sizes, self._block_entries):
            yield _by_user(structured.concat([self._read(block[first], block[end]) for block in self._blocks]))
        self._file.close()

    def _taken(self) -> Entries:
        entries = structured.concat(self._added)
        self._added, self._waiting = [], 0
        return entries

    def _write(self) -> None:
        if self._file is None:
            self._file = temporary_file(self._folder)
        entries = self._taken()
        cell = (entries["user"] >> (64 - _CELL_BITS)).astype(np.uint16)
        starts = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=_CELLS))]) + self._written
        write(self._file, structured.take(entries, np.argsort(cell, kind="stable")), self._folder)
        self._blocks.append(starts)
        self._written += len(entries)

    def _read(self, first: int, end: int) -> Entries:
        assert self._file is not None
        self._file.seek(int(first) * self._dtype.itemsize)
        return np.frombuffer(self._file.read(int(end - first) * self._dtype.itemsize), self._dtype)


def write(file: IO[bytes], entries: NDArray[np.generic], folder: Path | None) -> None:
    """Append an array; SettingsError where there is no room."""
    try:
        file.write(entries.tobytes())
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise SettingsError(
            f"{where}: expected room for temporary files, got: {error.strerror}; --temp-dir takes another folder"
        ) from None


def _by_user(entries: Entries) -> Entries:
    return structured.take(entries, np.argsort(entries["user"], kind="stable"))


def _ranges(sizes: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """(first, end) of cells that are next to each other and hold about as much as that together."""
    first, held = 0, 0
    for cell, size in enumerate(sizes.tolist()):
        if held and held + size > most:
            yield first, cell
            first, held = cell, 0
        held += size
    if held:
        yield first, len(sizes)
