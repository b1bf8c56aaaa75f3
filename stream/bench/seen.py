"""When a score of each event was first there, of millions of them."""

from __future__ import annotations

from array import array
from collections import defaultdict
from itertools import repeat
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

_NEVER = 0


class Place(NamedTuple):
    """Where an event lies."""

    topic: str
    partition: int
    offset: int


class _Score(msgspec.Struct):
    id: str


_decode = msgspec.json.Decoder(_Score).decode


def place(score: bytes) -> Place:
    """Of the event that a score record is of."""
    topic, partition, offset, _ = _decode(score).id.rsplit("-", 3)
    return Place(topic, int(partition), int(offset))


class Seen:
    """By place; 8 bytes an event."""

    def __init__(self) -> None:
        self._ms: defaultdict[tuple[str, int], array[int]] = defaultdict(lambda: array("q"))

    def note(self, score: bytes, at_ms: int) -> None:
        """A score record is there; only the first of an event counts."""
        topic, partition, offset = place(score)
        times = self._ms[topic, partition]
        if offset >= len(times):
            times.extend(repeat(_NEVER, offset + 1 - len(times)))
        if times[offset] == _NEVER:
            times[offset] = at_ms

    def at(self, topic: str, partition: int, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """[N] ms since 1970 of each of these events; NaN of one without a score."""
        times = np.array(self._ms.get((topic, partition), array("q")), np.float64)
        times[times == _NEVER] = np.nan
        found = np.full(len(offsets), np.nan)
        there = offsets < len(times)
        found[there] = times[offsets[there]]
        return found
