"""From when events happen to when they are sent: some late, some twice, some overtaken by the next ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from random import Random

from stream.shop_event import ShopEvent
from stream.simulator.scenario import Disorder

_LATE_SPREAD = 1.2
_LATE_MAX_MS = 6 * 3_600_000
_REPEATED_AFTER_MS = 20_000
_SWAPPED_AFTER_MS = 1_500  # two pages of one user that close are of one moment


def disordered(events: Iterable[ShopEvent], rng: Random, numbers: Disorder) -> Iterator[ShopEvent]:
    """The events as they are sent, by `sent_ms`; what a repeated one holds is the same, byte for byte.

    `events` come by `sent_ms`, which is their event time still. Memory holds what is under way.
    """
    late, repeated = numbers.late_share, numbers.late_share + numbers.repeated_share
    swapped = repeated + numbers.swapped_share
    under_way: list[tuple[int, int, ShopEvent]] = []  # sent, tie, event
    number = 0
    for event in events:
        while under_way and under_way[0][0] <= event.sent_ms:
            yield heappop(under_way)[2]
        fate = rng.random()
        if fate >= swapped:
            yield event
            continue
        number += 1
        label = event.label
        if fate < late:
            delay_ms = 1000 * numbers.late_secs_median * math.exp(_LATE_SPREAD * rng.gauss(0, 1))
            sent_ms = event.sent_ms + int(min(delay_ms, _LATE_MAX_MS))
        elif fate < repeated:
            yield event
            label = None  # one tells of both
            sent_ms = event.sent_ms + 1 + int(rng.random() * _REPEATED_AFTER_MS)
        else:
            sent_ms = event.sent_ms + 1 + int(rng.random() * _SWAPPED_AFTER_MS)
        heappush(under_way, (sent_ms, number, event._replace(sent_ms=sent_ms, label=label)))
    while under_way:
        yield heappop(under_way)[2]
