"""The events of one topic partition, encoded before their time comes, and which of them are due by now."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from functools import cache

import numpy as np
from numpy.typing import NDArray

from stream.record_batches import HEADER_BYTES, RecordRun

# Well below what a broker takes (1 MiB), and hundreds of records.
_BATCH_BYTES = 256 << 10
_NO_ATTRIBUTES, _NO_HEADERS = b"\0", b"\0"


@cache
def varint(number: int) -> bytes:
    """As `record_batches.varint` reads it. Kept: a batch has hundreds, of thousands that there are."""
    zigzag, written = number << 1 if number >= 0 else (-number << 1) - 1, bytearray()
    while zigzag >= 128:
        written.append(zigzag & 127 | 128)
        zigzag >>= 7
    return bytes(written) + bytes([zigzag])


class Lane:
    """Events in the order in which they are due; nothing of it is sent here."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []  # of a record, what does not depend on its batch
        self._due = array("d")  # seconds after the start
        self._behind = array("d")  # seconds, of those that were noticed
        self._offsets = array("q")  # of those that were acknowledged
        self._intended_ms: list[int] = []  # since 1970, rounded down
        self._taken = 0

    def append(self, due_secs: float, key: bytes, value: bytes) -> None:
        """An event that is not due before those that are here."""
        self._bodies.append(b"".join((varint(len(key)), key, varint(len(value)), value, _NO_HEADERS)))
        self._due.append(due_secs)

    def begin(self, start_ms: float) -> None:
        """The schedule begins then, in ms since 1970: from it records get their timestamps."""
        self._intended_ms = np.floor(start_ms + 1000 * np.array(self._due)).astype(np.int64).tolist()

    @property
    def left(self) -> bool:
        """Whether events have not been taken yet."""
        return self._taken < len(self._due)

    def notice(self, now_secs: float) -> None:
        """All that is due by now is: how long after its time, is how far the load is behind its schedule."""
        begin = len(self._behind)
        end = bisect_right(self._due, now_secs, begin)
        self._behind.extend(now_secs - due for due in self._due[begin:end])

    def take(self) -> tuple[RecordRun, int] | None:
        """A batch of the first that were noticed and not taken, and its first timestamp."""
        begin, end = self._taken, len(self._behind)
        if begin == end:
            return None
        records, size, first_ms = [bytes(HEADER_BYTES)], HEADER_BYTES, self._intended_ms[begin]
        for at in range(begin, end):
            head = _NO_ATTRIBUTES + varint(self._intended_ms[at] - first_ms) + varint(at - begin)
            body = self._bodies[at]
            length = varint(len(head) + len(body))
            size += len(length) + len(head) + len(body)
            if size > _BATCH_BYTES and at > begin:
                end = at
                break
            records += (length, head, body)
        self._taken = end
        return RecordRun(bytearray(b"".join(records)), end - begin), first_ms

    def acknowledged(self, base_offset: int, records: int) -> None:
        """The batch that was taken next after those before is on the topic, from this offset on."""
        self._offsets.extend(range(base_offset, base_offset + records))

    def columns(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """[N] of the acknowledged events: when they were due, how far behind the load was, and where they lie."""
        n = len(self._offsets)
        return np.array(self._due[:n]), np.array(self._behind[:n]), np.array(self._offsets, np.int64)
