"""Writing to RocksDB without ever waiting inside of it.

Where it is behind with its files it makes a writer wait, with the interpreter in hand: nothing else of the process
runs, not even a signal's handler; on a full disk it waits for ever, in silence (seen). So it is told to refuse instead,
and is waited for out here; what makes writers wait, other than memory not yet written out, is turned off.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict, WriteBatch, WriteOptions

from stream.errors import PassingError

logger = logging.getLogger(__name__)

# Buffers that may wait to be written out when a write begins, which may add one; with one more it would be refused.
_BUFFERS_WAITING_MAX = 1
_BUFFERS = 3
_BEHIND = ("num-immutable-mem-table", "background-errors")
_NEVER = 1 << 30  # files, or bytes
_SLOW_SECS, _ASK_SECS = 30.0, 0.005


def without_waiting() -> WriteOptions:
    """How to write: refused where it would have to wait, and without a log, since the changelog is one."""
    how: Any = WriteOptions()  # these are properties, whatever its stub says
    how.disable_wal = how.no_slowdown = True
    return how  # type: ignore[no-any-return]


def let_nobody_wait(options: Options) -> None:
    """Turn off what slows writers down: files that wait to be merged cost a read a little, and nobody a stop."""
    options.set_max_write_buffer_number(_BUFFERS)
    options.set_level_zero_slowdown_writes_trigger(_NEVER)
    options.set_level_zero_stop_writes_trigger(_NEVER)
    options.set_soft_pending_compaction_bytes_limit(0)
    options.set_hard_pending_compaction_bytes_limit(0)


def write(db: Rdict, path: Path, batch: WriteBatch) -> None:
    """Write a batch, once there is room for it. PassingError where the disk is full, or too slow for long."""
    try:
        deadline = time.monotonic() + _SLOW_SECS
        while is_behind(db) and time.monotonic() < deadline:
            time.sleep(_ASK_SECS)
        db.write(batch)
    except Exception as error:
        raise PassingError(f"{path}: cannot be written ({error})") from None


def is_behind(db: Rdict) -> bool:
    """Whether a write would wait: more is to be written out, and none of it has failed, which the next write says."""
    waiting, failed = (int(db.property_int_value(f"rocksdb.{name}") or 0) for name in _BEHIND)
    return waiting > _BUFFERS_WAITING_MAX and not failed


def is_full(error: Exception) -> bool:
    """Whether an error, of RocksDB or of the operating system, is of a disk that has no room."""
    code = error.errno if isinstance(error, OSError) else None
    return code in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


def stop(db: Rdict, path: Path) -> None:
    """Write everything out, and have what is being compacted end; only closing can follow."""
    with _told(path):
        db.flush()
    db.cancel_all_background(False)


def close(db: Rdict, path: Path, *, stopped: bool = False) -> None:
    """Close it. What a full disk keeps from being written out is lost with it, and with it the offset that says so."""
    with contextlib.suppress(Exception) if stopped else _told(path):  # one that was stopped only says that it was
        db.close()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logger.warning("%s: closed without its latest rows (%s); the changelog brings them back", path, error)
