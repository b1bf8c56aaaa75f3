"""Waiting that is said: at once, every 10 s while it lasts, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

SAY_SECS = 10.0


class Patience:
    """What is waited for. Written by one thread, `waiting_for` may be read by others."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._since = self._said_at = -inf
        self._what: str | None = None

    def waits(self, what: str) -> None:
        """Say it, unless that was done less than 10 s ago; another reason does not begin the wait anew."""
        now = self._clock()
        if self._what is None:
            self._since, self._said_at = now, -inf
        self._what = what
        if now - self._said_at >= SAY_SECS:
            self._said_at = now
            self._say(f"{what}; waiting, {now - self._since:.0f} s so far")

    def over(self, what: str) -> None:
        """Say that it is over, if anything was waited for."""
        if self._what is not None:
            self._say(f"{what}, after {self.secs:.0f} s")
            self._what = None

    @property
    def secs(self) -> float:
        """How long it has been; 0 where nothing is waited for."""
        return 0.0 if self._what is None else self._clock() - self._since

    @property
    def waiting_for(self) -> str | None:
        """What is waited for, and for how long."""
        return None if self._what is None else f"{self._what}, {self.secs:.0f} s so far"
