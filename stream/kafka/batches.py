"""Records -> the closed batches that a producer sends as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import google_crc32c

from stream.record_batches import CHECKED_FROM, RecordRun, write_checksum, write_header

# Well below the broker's largest message (1 MiB by default), and large enough that its cost is shared by hundreds of
# records.
BATCH_BYTES = 512 << 10

_NO_HEADERS: list[Any] = []  # the builder takes nothing but a list


class BatchMaker(Protocol):
    """Makes a batch of the kind that it sends: inside a transaction, or outside."""

    def create_batch(self) -> Any: ...


class Batches:
    """Fills batches of one topic partition, one after the other.

    Records go straight to the builder inside aiokafka's: its own `append` costs three times as much.
    """

    __slots__ = ("_append", "_closed", "_count", "_open", "_producer", "_timestamp_ms")

    def __init__(self, producer: BatchMaker, timestamp_ms: int) -> None:
        self._producer, self._timestamp_ms = producer, timestamp_ms
        self._closed: list[Any] = []
        self._start()

    def append(self, key: bytes | None, value: bytes | None) -> None:
        """Add a record. One that is larger than a batch may be gets a batch of its own, for the broker to judge."""
        if self._append(self._count, self._timestamp_ms, key, value, _NO_HEADERS) is None:
            self._close()
            self._start()
            self._append(self._count, self._timestamp_ms, key, value, _NO_HEADERS)
        self._count += 1

    def close(self) -> Sequence[Any]:
        """The batches, in order, for `send_batch`; the last has at least one record if any was appended."""
        self._close()
        return self._closed

    def _start(self) -> None:
        self._open = self._producer.create_batch()
        self._append, self._count = self._open._builder.append, 0

    def _close(self) -> None:
        self._open._relative_offset = self._count
        self._open.close()
        self._closed.append(self._open)


class PreparedBatch:
    """A batch whose records are written already, as aiokafka's accumulator and sender ask for one."""

    def __init__(self, run: RecordRun, timestamp_ms: int, *, transactional: bool) -> None:
        self._run, self._timestamp_ms, self._transactional = run, timestamp_ms, transactional
        self._producer = (-1, -1, 0)
        self._built = False

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytearray:
        data = self._run.data
        if not self._built:
            write_header(self._run, self._timestamp_ms, transactional=self._transactional, producer=self._producer)
            write_checksum(data, google_crc32c.value(bytes(memoryview(data)[CHECKED_FROM:])))
            self._built = True
        return data

    def size(self) -> int:
        """Bytes."""
        return len(self._run.data)

    def record_count(self) -> int:
        return self._run.records

    def closed(self) -> bool:
        """Nothing can be added."""
        return True

    def close(self) -> None:
        """It is."""
