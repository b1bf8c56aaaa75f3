"""Whether a worker gets on: healthy means that commits make progress where there is lag, so an idle one is healthy."""

from __future__ import annotations

import time


class Liveness:
    """Written by the event loop; `stalled_secs` is read from the metrics thread too."""

    def __init__(self, stall_secs: float) -> None:
        self._stall_secs = stall_secs
        self.moved_at = self._progress_at = time.monotonic()
        self.lag: int | None = 0  # records in owned source partitions not yet scored; None: the broker does not tell
        self.commits = 0

    def progress(self) -> None:
        """Something was committed or restored."""
        self.moved_at = self._progress_at = time.monotonic()

    def committed(self) -> None:
        """Something was committed."""
        self.commits += 1
        self.progress()

    def observe(self, lag: int | None, *, able: bool) -> None:
        """The lag as it is now; `able` to score: a rebalance that never ends is not idleness."""
        self.lag = lag
        if lag == 0 and able:
            self._progress_at = time.monotonic()

    @property
    def stalled_secs(self) -> float:
        return time.monotonic() - self._progress_at

    @property
    def stalled(self) -> bool:
        return self.stalled_secs >= self._stall_secs
