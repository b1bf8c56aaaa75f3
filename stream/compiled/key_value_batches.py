"""Keys and values -> the bytes of record batches: what aiokafka makes of them, record by record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.compiled import varints
from stream.compiled.compiling import compiled
from stream.compiled.score_batches import record, record_size, runs
from stream.record_batches import HEADER_BYTES, RecordRun

_AROUND_MOST = 32
_NOTHING = b""


def batches(records: Sequence[tuple[bytes, bytes | None]], max_bytes: int) -> list[RecordRun]:
    """A record of each, in order; none of a batch of more than `max_bytes`, but where one record is larger."""
    keys, key_at = _joined(key for key, _ in records)
    values, value_at = _joined(value or _NOTHING for _, value in records)
    null = np.array([value is None for _, value in records], np.bool_)
    out = np.empty(len(keys) + len(values) + _AROUND_MOST * len(records), np.uint8)
    ends = np.empty((len(records), 2), np.int64)
    return runs(out, ends[: _fill(keys, key_at, values, value_at, null, max_bytes, out, ends)])


def _joined(pieces: Iterable[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    pieces = list(pieces)
    return np.frombuffer(b"".join(pieces), np.uint8), np.array([0, *accumulate(map(len, pieces))], np.int64)


@compiled
def _fill(keys: Any, key_at: Any, values: Any, value_at: Any, null: Any, max_bytes: int, out: Any, ends: Any) -> int:
    batches, count, begin, at = 0, 0, 0, 0
    for i in range(len(null)):
        key_size, value_size = key_at[i + 1] - key_at[i], -1 if null[i] else value_at[i + 1] - value_at[i]
        size = record_size(count, key_size, value_size)
        if count and HEADER_BYTES + at - begin + size + varints.size(size) > max_bytes:
            ends[batches, 0], ends[batches, 1] = at, count
            batches, begin, count = batches + 1, at, 0
        at = record(out, at, count, keys, key_at[i], key_size, values, value_at[i], value_size)
        count += 1
    if count:
        ends[batches, 0], ends[batches, 1] = at, count
        batches += 1
    return batches
