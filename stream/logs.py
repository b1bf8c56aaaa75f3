"""One line per message on standard error; the chatter of libraries only when it warns, and then not all of it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

from aiokafka.errors import ProducerFenced

from stream.errors import PassingError, StalledError

_LIBRARIES = ("faust", "mode", "aiokafka")
# Without a broker, aiokafka says so up to 8,000 times a second.
_ALIKE_SECS = 10.0


class Calm(logging.Filter):
    """Of what a library says again and again, once in 10 s, with how often it was held back.

    What makes a worker begin anew or end is said by whoever does so, not as a crash with its traceback.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # when, and how many were held back since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said."""
        if record.name.partition(".")[0] not in _LIBRARIES:
            return True
        told = (*(record.args if isinstance(record.args, tuple) else ()), (record.exc_info or (None, None))[1])
        if any(isinstance(what, PassingError | StalledError) for what in told):
            return False
        alike, now = (record.name, str(record.msg)), self._clock()
        said_at, held_back = self._said.get(alike, (now - _ALIKE_SECS, 0))
        if now - said_at < _ALIKE_SECS:
            self._said[alike] = (said_at, held_back + 1)
            return False
        self._said[alike] = (now, 0)
        if held_back:
            record.msg, record.args = f"{record.getMessage()} (and {held_back} more like it)", ()
        return True


def set_up_logging(level: str) -> None:
    """For a worker."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    if level == "debug":
        return
    for noisy in _LIBRARIES:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # An error to aiokafka, and tried again at once: the first worker of a new broker always meets it.
    logging.getLogger("aiokafka.consumer.group_coordinator").addFilter(
        lambda record: "GroupCoordinatorNotAvailableError" not in record.getMessage()
    )
    # A fenced producer also fails futures that nobody waits for; that it is fenced has been said.
    logging.getLogger("asyncio").addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], ProducerFenced))
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(Calm())


def hush() -> None:
    """Let libraries and their threads say nothing more: while a worker stops for a reason that it tells, it is beside
    that."""
    for noisy in _LIBRARIES:
        logging.getLogger(noisy).setLevel(logging.CRITICAL + 1)
    threading.excepthook = lambda died: None
