"""How far a restore has come, and how long it will take: told from the records of the changelog that are left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

# The pace is that of the last so many seconds, looked at so often.
_WINDOW_SECS = 10.0
_SAMPLE_SECS = 0.25


class Restoring:
    """The restore that goes on, if one does. Written by the event loop, read from the metrics thread too.

    Records are counted by their offsets: of a compacted changelog there are fewer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._began = 0.0
        self.active = False
        self.rows = 0  # put into the local copies by this restore
        self.left: dict[int, int] = {}  # records, by partition

    def begin(self, left: Mapping[int, int]) -> None:
        """A restore of these partitions begins, with so many records to read of each."""
        self.left, self.rows, self._began = dict(left), 0, self._clock()
        self._samples = deque([(self._began, self.records_left)])
        self.active = True

    def advance(self, partition: int, left: int, rows: int) -> None:
        """So many more rows of a partition are restored, and so many records left."""
        self.left[partition] = left
        self.rows += rows
        now = self._clock()
        if now - self._samples[-1][0] >= _SAMPLE_SECS:
            self._samples.append((now, self.records_left))
            while now - self._samples[0][0] > _WINDOW_SECS and len(self._samples) > 2:
                self._samples.popleft()

    def end(self) -> None:
        """Nothing is left; or it is given up, since what is assigned has changed."""
        self.active = False
        self.left = {}

    @property
    def records_left(self) -> int:
        return sum(list(self.left.values()))

    @property
    def secs(self) -> float:
        """Since the restore began."""
        return self._clock() - self._began

    @property
    def rows_per_sec(self) -> float:
        return self.rows / max(self.secs, 1e-9)

    @property
    def secs_left(self) -> float | None:
        """Until its end, at the pace of late; None while that is not known, 0 where nothing is restored."""
        if not self.active:
            return 0.0
        (since, had), *_ = samples = list(self._samples)
        now, have = samples[-1]
        return self.records_left * (now - since) / (had - have) if had > have else None

    def facts(self) -> dict[str, Any]:
        """What /healthz says of it."""
        secs_left = self.secs_left
        return {
            "restoring": self.active,
            "restore_records_left": self.records_left,
            "restore_secs_left": None if secs_left is None else round(secs_left, 1),
        }
