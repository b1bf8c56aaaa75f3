"""Whether this process stood still for so long that its partitions may be another's.

A worker that was stopped past its session (SIGSTOP, a machine that slept) goes on where it was. Its rows and offsets
are fenced; what it sends outside of a transaction is not, and would follow the new owner's: an older order of events
behind a newer one.
"""

from __future__ import annotations

import asyncio
import time

# Of a session: so long since the last beat. Its last heartbeat may have been a tenth of a session earlier.
_SHARE = 0.8
_BEATS = 40  # in a session
# The clock that goes on while a machine sleeps, where there is one.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_secs() -> float:
    """Of a clock that never stands still."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Begins anew with each `renew`, and is over for good once nothing ran for most of a session."""

    def __init__(self, session_secs: float) -> None:
        self._most_secs, self._every_secs = _SHARE * session_secs, session_secs / _BEATS
        self._beat_secs, self._over = now_secs(), False
        self._beating: asyncio.Task[None] | None = None

    def renew(self) -> None:
        """The group has just said what is ours."""
        self._beat_secs, self._over = now_secs(), False
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())

    def is_over(self) -> bool:
        """To be asked before anything is sent that nobody fences."""
        now = now_secs()
        self._over = self._over or now - self._beat_secs > self._most_secs
        self._beat_secs = now
        return self._over

    async def end(self) -> None:
        """Let go."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            self._beating = None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._every_secs)
            self.is_over()  # whoever wakes first, this or a sender, has noticed
