"""The local copy of the changelog: one RocksDB per partition, each with the changelog offset up to which it is a copy.

Its offset may lag behind the changelog, never lead it: rows are written after the transaction that published them, and
the offset after the rows. What a crash takes from it, the next start reads again from the changelog, so that it keeps
no log of its own.

A copy must not be further behind than the changelog remembers deletions: rows that were deleted meanwhile would come to
life again. One that may be is removed, and made anew.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

from rocksdict import BottommostLevelCompaction, CompactOptions, Options, Rdict, WriteBatch, WriteOptions

from stream.errors import SettingsError, StateError
from stream.rows import PARTITION_KEY, PartitionRow

logger = logging.getLogger(__name__)

# Local only, and no user's key: 0xfe is in no UTF-8 text. All users' keys come before it.
_LOCAL = b"\xfe"
_OFFSET_KEY = _LOCAL + b"changelog-offset"
_COMPACTED_KEY = _LOCAL + b"compacted"
_AS_OF_KEY = _LOCAL + b"as-of-ms"
# The changelog's `delete.retention.ms` is a day at least (`topics` sees to it). An hour is for clocks that differ.
DELETIONS_KEPT_MS = 86_400_000
_BEHIND_MAX_MS = DELETIONS_KEPT_MS - 3_600_000
# What was deleted or overwritten leaves RocksDB's files after so long, if it is not compacted before.
_REWRITTEN_SECS = 86_400
# So many keys are compacted one by one, a quarter of a second each; more of them all at once.
_COMPACTED_SINGLY = 8
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
        self._closing = threading.Lock()  # a handle that compacts cannot be closed

    def own(self, partitions: Iterable[int]) -> None:
        """Open these partitions and close all others."""
        wanted = set(partitions)
        for partition in self._open.keys() - wanted:
            self._close(partition)
        for partition in sorted(wanted - self._open.keys()):
            self._open[partition] = self._opened(partition)

    def fetch(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """The row of each key, or None."""
        return cast(list[bytes | None], self._read(partition, lambda db: db.get(list(keys))))

    def scan(self, partition: int, after: bytes | None, n: int) -> list[tuple[bytes, bytes]]:
        """The next n rows of users whose key is greater than `after` (None: from the first), in the order of keys.

        Each call sees the rows as they are then: 2 us a row.
        """
        rows = self._read(partition, lambda db: list(islice(db.items(from_key=after or b""), n + 1)))
        return [row for row in rows if row[0] != after and row[0] < _LOCAL][:n]

    def compact(self, partition: int, keys: Collection[bytes]) -> None:
        """Make what was deleted or overwritten under some keys go from the disk; and the keys that have no row.

        Takes a quarter of a second for a key, without the interpreter. What the file system has set free may still be
        on the medium.
        """
        everything = CompactOptions()
        everything.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        singly = len(keys) <= _COMPACTED_SINGLY
        ranges = [(key, key) for key in keys] if singly else [(min(keys), max(keys))]
        with self._closing:
            db = self._db(partition)
            try:
                for first, last in ranges:
                    db.flush()
                    db.compact_range(first, last + b"\0", everything)
                # The list of files still says that one began or ended with a key. Each change writes it anew.
                db.put(_COMPACTED_KEY, b"")
                db.flush()
            except Exception as error:
                raise StateError(f"{self._path(partition)}: cannot be compacted ({error})") from None
        for log in self._path(partition).glob("LOG*"):  # it says what was compacted
            log.unlink(missing_ok=True)

    def partition_row(self, partition: int) -> PartitionRow | None:
        """What is known of the partition itself; None before its first checkpoint."""
        value = self._read(partition, lambda db: db.get(PARTITION_KEY))
        return None if value is None else PartitionRow.from_bytes(value)

    @staticmethod
    def new_write() -> WriteBatch:
        """An empty write, to be filled with `put` and `delete`; applied all or nothing."""
        return WriteBatch(raw_mode=True)

    def apply(
        self, partition: int, writes: Iterable[WriteBatch], changelog_offset: int, as_of_ms: int | None = None
    ) -> None:
        """Apply writes, then the changelog offset that they reach up to, and the time of the record there.

        StateError where the disk is full, say.
        """
        db = self._db(partition)
        try:
            # Of an empty copy, the time when its reading began: what is read is deleted no sooner than it was there.
            begun = db.get(_AS_OF_KEY) or _now_ms().to_bytes(8, "big")
            for write in writes:
                db.write(write)
            db.put(_AS_OF_KEY, max(begun, (as_of_ms or 0).to_bytes(8, "big")))
            db.put(_OFFSET_KEY, changelog_offset.to_bytes(8, "big"))
        except Exception as error:
            raise StateError(f"{self._path(partition)}: cannot be written ({error})") from None

    def write(
        self,
        partition: int,
        rows: Iterable[tuple[bytes, bytes | None]],
        changelog_offset: int,
        as_of_ms: int | None = None,
    ) -> None:
        """Put rows (None: delete), then what `apply` puts."""
        write = self.new_write()
        for key, row in rows:
            if row is None:
                write.delete(key)
            else:
                write.put(key, row)
        self.apply(partition, [write], changelog_offset, as_of_ms)

    def changelog_offset(self, partition: int) -> int | None:
        """The changelog offset that the partition reaches up to; None: it is empty, and all is to be replayed."""
        value = self._read(partition, lambda db: db.get(_OFFSET_KEY))
        return None if value is None else int.from_bytes(value, "big")

    def close(self) -> None:
        self.own(())

    def wipe(self) -> None:
        """Delete every local copy; the changelog brings them back."""
        self.close()
        for path in self._folder.glob("users-*.rocksdb"):  # the folder may hold what is not ours
            shutil.rmtree(path, ignore_errors=True)

    def forget(self, partition: int) -> None:
        """Delete the copy of a partition, and open an empty one."""
        self._close(partition)
        shutil.rmtree(self._path(partition), ignore_errors=True)
        self._open[partition] = self._opened(partition)

    def remove_left_behind(self) -> None:
        """Delete the copies of partitions that are others' by now, once they are too far behind to be gone on from."""
        for path in set(self._folder.glob("users-*.rocksdb")).difference(map(self._path, self._open)):
            written_ms = max((file.stat().st_mtime * 1000 for file in path.glob("*")), default=0.0)
            if _now_ms() - written_ms > _BEHIND_MAX_MS:
                shutil.rmtree(path, ignore_errors=True)
                logger.info("%s: removed, it is too old to be gone on from", path)

    def _close(self, partition: int) -> None:
        with self._closing:
            self._open.pop(partition).close()

    def _read(self, partition: int, ask: Callable[[Rdict], Any]) -> Any:
        """What a partition's copy answers; where it is found to be damaged, it is removed, and that raised."""
        db = self._db(partition)
        try:
            return ask(db)
        except Exception as error:
            path = self._path(partition)
            self._close(partition)
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
            db = _open_at(path)
            if _remembers_deletions(db):
                return db
            db.close()
            reason = "it may be older than the deletions that the changelog remembers"
        except OSError as error:
            raise SettingsError(f"{path}: cannot be made ({error.strerror}); set --data-dir") from None
        except Exception as error:
            if _HELD.search(str(error)):
                raise SettingsError(
                    f"{path}: another process has it open; each worker needs a --data-dir of its own"
                ) from None
            reason = f"cannot be read ({error})"
        # A copy is worth nothing that cannot be read or trusted: the changelog makes another.
        logger.warning("%s: %s; it is made anew from the changelog", path, reason)
        shutil.rmtree(path, ignore_errors=True)
        return _open_at(path)


def _open_at(path: Path) -> Rdict:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_manifest_file_size(1)  # written anew at each change: a few kB, and no key that is gone stays in it
    options.set_keep_log_file_num(1)
    without_log = WriteOptions()
    without_log.disable_wal = True  # type: ignore[method-assign, assignment]  # a property, whatever its stub says
    db = Rdict(str(path), options)
    db.set_write_options(without_log)
    db.set_options({"ttl": str(_REWRITTEN_SECS)})
    return db


def _remembers_deletions(db: Rdict) -> bool:
    """Whether the changelog still has every deletion that a copy has not, or the copy is empty."""
    try:
        offset, as_of = db.get(_OFFSET_KEY), db.get(_AS_OF_KEY)
    except Exception:
        db.close()  # else nobody else could open it
        raise
    return offset is None or (as_of is not None and _now_ms() - int.from_bytes(as_of, "big") <= _BEHIND_MAX_MS)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
