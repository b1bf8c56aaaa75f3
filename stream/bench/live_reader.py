"""A subscriber that notes when it has which score."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Self

from stream.bench.bed import partitions_of, reader
from stream.bench.seen import Seen
from stream.settings import Settings

_POLL_MS = 100  # also how soon it ends


class LiveReader:
    """Reads anomaly scores as they are committed, on a thread of its own, between `with` and its end."""

    def __init__(self, settings: Settings, wanted: bool) -> None:
        """Not `wanted`, it reads nothing."""
        self._settings, self._wanted = settings, wanted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()), daemon=True)
        self.seen = Seen()

    def __enter__(self) -> Self:
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._wanted:
            self._thread.join()

    async def _read(self) -> None:
        async with reader(self._settings) as consumer:
            consumer.assign(partitions_of(self._settings, self._settings.anomaly_scores_topic))
            await consumer.seek_to_beginning()
            while not self._stop.is_set():
                polled = await consumer.getmany(timeout_ms=_POLL_MS)
                now_ms = time.time_ns() // 1_000_000
                for records in polled.values():
                    for record in records:
                        self.seen.note(record.value, now_ms)
