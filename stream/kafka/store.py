"""The local copy of the changelog: one RocksDB per partition, each with the changelog offset up to which it is a copy.

Its offset may lag behind the changelog, never lead it: rows are written after the transaction that published them, and
the offset after the rows. What a crash takes from it, the next start reads again from the changelog, so that it keeps
no log of its own.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from rocksdict import Options, Rdict, WriteBatch

from stream.errors import PassingError, SettingsError, StateError
from stream.kafka import disk
from stream.rows import PARTITION_KEY, PartitionRow

logger = logging.getLogger(__name__)

# Local only, and no user's key: 0xfe is in no UTF-8 text.
_OFFSET_KEY = b"\xfechangelog-offset"
# A partition's write buffer; with tens of partitions the 64 MiB that RocksDB takes by default would be gigabytes.
_WRITE_BUFFER_BYTES = 16 << 20
# Rows of one call: it keeps the interpreter for as long as it takes, which is half a millisecond then.
ROWS_AT_ONCE = 256
# RocksDB's words for a folder that another handle has; "block" and a folder's name have a "lock" in them too.
_HELD = re.compile(r"While lock file|lock hold by current process")


class RowStore:
    """Rows by (partition, key), on this machine's disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, Rdict] = {}

    def own(self, partitions: Iterable[int]) -> None:
        """Open these partitions and close all others."""
        wanted = set(partitions)
        for partition in self._open.keys() - wanted:
            disk.close(self._open.pop(partition), self._path(partition))
        for partition in sorted(wanted - self._open.keys()):
            self._open[partition] = self._opened(partition)

    def fetch(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """The row of each key, or None."""
        return cast(list[bytes | None], self._read(partition, list(keys)))

    def partition_row(self, partition: int) -> PartitionRow | None:
        """What is known of the partition itself; None before its first checkpoint."""
        value = self._read(partition, PARTITION_KEY)
        return None if value is None else PartitionRow.from_bytes(value)

    @staticmethod
    def new_write() -> WriteBatch:
        """An empty write, to be filled with `put` and `delete`; applied all or nothing."""
        return WriteBatch(raw_mode=True)

    def apply(self, partition: int, writes: Iterable[WriteBatch], changelog_offset: int) -> None:
        """Apply writes, then the changelog offset that they reach up to. PassingError where the disk is full."""
        db, path = self._db(partition), self._path(partition)
        reached = self.new_write()
        reached.put(_OFFSET_KEY, changelog_offset.to_bytes(8, "big"))
        for write in (*writes, reached):
            disk.write(db, path, write)

    def write(self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], changelog_offset: int) -> None:
        """Put rows (None: delete), then the changelog offset that they reach up to."""
        write = self.new_write()
        for key, row in rows:
            if row is None:
                write.delete(key)
            else:
                write.put(key, row)
        self.apply(partition, [write], changelog_offset)

    def changelog_offset(self, partition: int) -> int | None:
        """The changelog offset that the partition reaches up to; None: it is empty, and all is to be replayed."""
        value = self._read(partition, _OFFSET_KEY)
        return None if value is None else int.from_bytes(value, "big")

    def close(self) -> None:
        self.own(())

    def wipe(self) -> None:
        """Delete every local copy; the changelog brings them back."""
        self.close()
        for path in self._folder.glob("users-*.rocksdb"):  # the folder may hold what is not ours
            shutil.rmtree(path, ignore_errors=True)

    def _read(self, partition: int, key: Any) -> Any:
        db = self._db(partition)
        try:
            return db.get(key)
        except Exception as error:
            path = self._path(partition)
            disk.close(self._open.pop(partition), path)
            shutil.rmtree(path, ignore_errors=True)
            raise StateError(f"{path}: damaged ({error}); removed, the next start makes it anew") from None

    def _path(self, partition: int) -> Path:
        return self._folder / f"users-{partition}.rocksdb"

    def _db(self, partition: int) -> Rdict:
        if partition not in self._open:
            raise StateError(f"partition {partition}: its local copy is not open, so this worker does not own it")
        return self._open[partition]

    def _opened(self, partition: int) -> Rdict:
        path = self._path(partition)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _open_at(path)
        except OSError as error:
            if disk.is_full(error):
                raise PassingError(f"{path}: cannot be made ({error.strerror})") from None
            raise SettingsError(f"{path}: cannot be made ({error.strerror}); set --data-dir") from None
        except Exception as error:
            if _HELD.search(str(error)):
                raise SettingsError(
                    f"{path}: another process has it open; each worker needs a --data-dir of its own"
                ) from None
            # A copy is worth nothing that cannot be read: the changelog makes another.
            if disk.is_full(error):
                raise PassingError(f"{path}: cannot be opened ({error})") from None
            logger.warning("%s: cannot be read (%s); it is made anew from the changelog", path, error)
            shutil.rmtree(path, ignore_errors=True)
            return _open_at(path)


def _open_at(path: Path) -> Rdict:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    disk.let_nobody_wait(options)
    db = Rdict(str(path), options)
    db.set_write_options(disk.without_waiting())
    return db
