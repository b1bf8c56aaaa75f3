"""The local copy of the changelog: one RocksDB per partition, each with the changelog offset up to which it is a copy.

Its offset may lag behind the changelog, never lead it: rows are written after the transaction that published them, and
the offset after the rows. What a crash takes from it, the next start reads again from the changelog, so that it keeps
no log of its own.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, cast

from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from stream.errors import PassingError, SettingsError, StateError
from stream.kafka import disk
from stream.rows import PARTITION_KEY, PartitionRow

logger = logging.getLogger(__name__)

# Local only, and no user's key: 0xfe is in no UTF-8 text. All users' keys come before it.
_LOCAL = b"\xfe"
_OFFSET_KEY = _LOCAL + b"changelog-offset"
_COMPACTED_KEY = _LOCAL + b"compacted"
# What was deleted or overwritten leaves RocksDB's files after so long, if it is not compacted before.
_REWRITTEN_SECS = 86_400
# So many keys are compacted one by one, a quarter of a second each; more of them all at once.
_COMPACTED_SINGLY = 8
# A partition's write buffer, where there are few of them: all together have half of the memory.
_WRITE_BUFFER_BYTES = 64 << 20
_BLOCK_BYTES = 4 << 10  # a read takes a block: two or three rows
_FILTER_BITS = 10  # of a row: one in a hundred users never seen is looked for on the disk
# A copy older than this is made anew: what was deleted since, its changelog may no longer say. It does for
# `delete.retention.ms`, which is a day at least: `topics` sees to it.
DELETIONS_KEPT_MS = 86_400_000
_LASTS_SECS = 12 * 3600.0
# How long a copy is kept of a partition that has gone elsewhere: it may come back, as after a restart of the other.
_KEPT_SECS = 600.0
_FOLDER = re.compile(r"users-(\d+)\.rocksdb")
# Rows of one call: it keeps the interpreter for as long as it takes, which is half a millisecond then.
ROWS_AT_ONCE = 256
# RocksDB's words for a folder that another handle has; "block" and a folder's name have a "lock" in them too.
_HELD = re.compile(r"While lock file|lock hold by current process")


class RowStore:
    """Rows by (partition, key), on this machine's disk."""

    def __init__(self, folder: Path, *, memory_bytes: int = 512 << 20) -> None:
        """`memory_bytes`, of all partitions: blocks that were read, their indices and filters, and writes in memory."""
        self._folder = folder
        self._memory = _Memory(memory_bytes)
        self._open: dict[int, Rdict] = {}
        self._compacting: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)  # what compacts is not closed
        self._stopping: set[int] = set()  # partitions whose compaction is to end
        self._left: dict[int, float] = {}  # on the disk and not open, since when

    def own(self, partitions: Iterable[int]) -> None:
        """Open these partitions and close all others."""
        wanted = set(partitions)
        for partition in self._open.keys() - wanted:
            self._close(partition)
            with suppress(FileNotFoundError):
                os.utime(self._path(partition))  # up to now it has had what was deleted
        for partition in sorted(wanted - self._open.keys()):
            self._open[partition] = self._opened(partition)
        now = time.monotonic()
        self._left = {p: self._left.get(p, now) for p in self._on_disk() - wanted}

    def take_left(self, secs: float = _KEPT_SECS) -> list[Path]:
        """Copies of partitions that nobody has asked for in so long, for the caller to delete: out of the way by now.

        Others go on with those partitions, and what they delete would stay here for ever.
        """
        before = time.monotonic() - secs
        gone = list(self._folder.glob("users-*.gone"))  # whoever was to delete them has been killed
        for partition in [p for p, since in self._left.items() if since <= before]:
            del self._left[partition]
            path = self._path(partition)
            gone.append(path.rename(path.with_name(f"{path.name}-{time.time_ns()}.gone")))
        return gone

    def fetch(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """The row of each key, or None."""
        return cast(list[bytes | None], self._read(partition, lambda db: db.get(list(keys))))

    def scan(self, partition: int, after: bytes | None, n: int) -> list[tuple[bytes, bytes]]:
        """The next n rows of users whose key is greater than `after` (None: from the first), in the order of keys.

        Each call sees the rows as they are then: 2 us a row.
        """
        rows = self._read(partition, lambda db: list(islice(db.items(from_key=after or b""), n + 1)))
        return [row for row in rows if row[0] != after and row[0] < _LOCAL][:n]

    def compact(self, partition: int, keys: Collection[bytes]) -> bool:
        """Make what was deleted or overwritten under some keys go from the disk; and the keys that have no row.

        False where the copy was closed meanwhile, or before. Takes a quarter of a second for a key, without the
        interpreter. What the file system has set free may still be on the medium.
        """
        everything = CompactOptions()
        everything.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        singly = len(keys) <= _COMPACTED_SINGLY
        ranges = [(key, key) for key in keys] if singly else [(min(keys), max(keys))]
        with self._compacting[partition]:
            if partition not in self._open:
                return False
            db = self._db(partition)
            try:
                for first, last in ranges:
                    db.flush()
                    db.compact_range(first, last + b"\0", everything)
                # The list of files still says that one began or ended with a key. Each change writes it anew.
                db.put(_COMPACTED_KEY, b"")
                db.flush()
            except Exception as error:
                if partition in self._stopping:
                    return False
                raise PassingError(f"{self._path(partition)}: cannot be compacted ({error})") from None
        for log in self._path(partition).glob("LOG*"):  # it says what was compacted
            log.unlink(missing_ok=True)
        return True

    def partition_row(self, partition: int) -> PartitionRow | None:
        """What is known of the partition itself; None before its first checkpoint."""
        value = self._read(partition, lambda db: db.get(PARTITION_KEY))
        try:
            return None if value is None else PartitionRow.from_bytes(value)
        except StateError as error:
            raise StateError(f"partition {partition}: {error}") from None

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

    def is_behind(self, partition: int) -> bool:
        """Whether a write would wait for the disk."""
        return disk.is_behind(self._db(partition))

    def changelog_offset(self, partition: int) -> int | None:
        """The changelog offset that the partition reaches up to; None: it is empty, and all is to be replayed."""
        value = self._read(partition, lambda db: db.get(_OFFSET_KEY))
        return None if value is None else int.from_bytes(value, "big")

    def close(self) -> None:
        self.own(())

    def forget(self, partition: int) -> None:
        """Delete the copy of a partition, and open an empty one."""
        self._close(partition)
        shutil.rmtree(self._path(partition), ignore_errors=True)
        self._open[partition] = self._opened(partition)

    def _close(self, partition: int) -> None:
        db, compacting = self._open.pop(partition), self._compacting[partition]
        if compacting.locked():
            self._stopping.add(partition)
            disk.stop(db, self._path(partition))
        with compacting:
            disk.close(db, self._path(partition), stopped=partition in self._stopping)
            self._stopping.discard(partition)

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

    def _on_disk(self) -> set[int]:
        found = (_FOLDER.fullmatch(path.name) for path in self._folder.glob("users-*.rocksdb"))
        return {int(name[1]) for name in found if name}

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
            if (age := _age_secs(path)) > _LASTS_SECS:
                logger.warning("%s: %.0f h old; it is made anew from the changelog", path, age / 3600)
                shutil.rmtree(path, ignore_errors=True)
            return self._memory.open(path)
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
            return self._memory.open(path)


def _age_secs(path: Path) -> float:
    """Since it was last written, or closed; 0 where there is none."""
    times = [found.stat().st_mtime for found in (path, *path.glob("*"))] if path.exists() else []
    return time.time() - max(times) if times else 0.0


class _Memory:
    """What all partitions share, and how each is opened with it."""

    def __init__(self, size: int) -> None:
        self._blocks = Cache(size)
        # Writes count as blocks, which make room for them.
        self._writes = WriteBufferManager.new_write_buffer_manager_with_cache(size // 2, False, self._blocks)

    def open(self, path: Path) -> Rdict:
        db = Rdict(str(path), self._options())
        db.set_write_options(disk.without_waiting())
        db.set_options({"ttl": str(_REWRITTEN_SECS)})
        return db

    def _options(self) -> Options:
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._blocks)
        blocks.set_block_size(_BLOCK_BYTES)
        blocks.set_bloom_filter(_FILTER_BITS, False)
        blocks.set_cache_index_and_filter_blocks(True)  # else their memory grows with the users ever seen
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        disk.let_nobody_wait(options)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._writes)
        options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
        options.set_compression_type(DBCompressionType.none())
        options.set_bottommost_compression_type(DBCompressionType.lz4())  # nearly all rows are there, a third smaller
        options.set_max_manifest_file_size(1)  # written anew at each change: a few kB, and no key that is gone stays
        options.set_keep_log_file_num(1)
        return options
