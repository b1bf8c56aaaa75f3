"""Whether a worker hangs: the broker answers, records wait where it has committed, and for long nothing has moved.

All three, or it is left alone: an idle one has nothing that waits, one whose broker is away has nothing to move. Time
in which the broker did not answer does not count, nor does what this process has slept through. What is to be done
about a consumer that hangs for good (aiokafka #1154, Faust #175, #629, #640) is to end it; whoever started it starts it
again.
"""

from __future__ import annotations

from collections.abc import Mapping

# By topic partition, the committed offset at which a record waits.
Waiting = Mapping[tuple[str, int], int]

_AGAIN_SECS = 5.0  # until what waits is looked at a second time: it may just have come
_IDLE_PARTS = 10  # of the limit: while nothing waits, it is looked at so often


class Watchdog:
    """Told what is seen, it says when to look, and whether to end."""

    def __init__(self, limit_secs: float) -> None:
        """`limit_secs` 0: never."""
        self._limit_secs = limit_secs
        self._forget()

    def _forget(self) -> None:
        self._still_secs = 0.0
        self._look_at_secs = self._limit_secs
        self._waited: Waiting = {}

    def passes(self, secs: float, *, moved: bool, answers: bool) -> bool:
        """So much time has passed, in which something moved or the broker did not answer -> whether to look."""
        if moved or not answers:
            self._forget()
            return False
        self._still_secs += secs
        return self._limit_secs > 0 and self._still_secs >= self._look_at_secs

    def hangs(self, waiting: Waiting) -> str | None:
        """What waits now -> why to end, or None: only what has waited at the last look, at the same offset, tells."""
        still = {place: offset for place, offset in waiting.items() if self._waited.get(place) == offset}
        again_secs = _AGAIN_SECS if waiting else max(_AGAIN_SECS, self._limit_secs / _IDLE_PARTS)
        self._waited, self._look_at_secs = waiting, self._still_secs + again_secs
        if not still:
            return None
        (topic, partition), offset = next(iter(sorted(still.items())))
        others = f" and of {len(still) - 1} other topic partitions" if len(still) > 1 else ""
        return (
            f"the broker answers, and nothing was committed for {self._still_secs:.0f} s, though the record at offset "
            f"{offset} of {topic}[{partition}]{others} waits"
        )
