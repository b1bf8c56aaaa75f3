"""A process that becomes a fresh one of itself: the same pid, command line and environment, nothing in memory.

What it had open is closed by that (sockets, locks, RocksDB), what it had not committed is done again, as after any
other end. Which beginning of the process it is goes from one to the next in an environment variable, the only thing
that neither a full disk nor an absent broker can take away.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import NoReturn, Self

from stream.errors import PassingError

logger = logging.getLogger(__name__)

_VARIABLE = "_BEHAVIOUR_STREAM_BEGINNING"
# So many in a row that came to nothing, over about three minutes: waiting is done elsewhere, so that is no outage.
_FRUITLESS_MAX = 10
_FIRST_PAUSE_SECS, _PAUSE_MAX_SECS = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Beginning:
    """The how manieth of this process it is, and how many before it, in a row, came to nothing."""

    number: int = 0  # 0: by whoever started it
    fruitless: int = 0

    @classmethod
    def of_this_process(cls) -> Self:
        """What the former beginning left; the first, where another process left it."""
        pid, _, numbers = os.environ.get(_VARIABLE, "").partition(":")
        return cls(*map(int, numbers.split(":"))) if pid == str(os.getpid()) else cls()

    def next(self, *, fruitful: bool) -> Beginning:
        """The one after it; `fruitful`: this one has committed something, or ran for long."""
        return Beginning(self.number + 1, 0 if fruitful else self.fruitless + 1)

    @property
    def hopeless(self) -> bool:
        return self.fruitless >= _FRUITLESS_MAX

    @property
    def pause_secs(self) -> float:
        """How long to wait before it, so that what fails at once does not spin."""
        return min(_PAUSE_MAX_SECS, _FIRST_PAUSE_SECS * 2.0 ** (self.fruitless - 1)) if self.fruitless else 0.0


def begin(next_one: Beginning, error: PassingError) -> NoReturn:
    """Begin anew. Raises the error where that was tried too often. May be called from any thread."""
    if next_one.hopeless:
        raise PassingError(f"{error}; began anew {next_one.fruitless - 1} times, each time in vain: ending") from error
    logger.warning("%s; beginning anew, what was not committed is done again", error)
    os.environ[_VARIABLE] = f"{os.getpid()}:{next_one.number}:{next_one.fruitless}"
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
