"""Published beside offline: the largest difference of each figure, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from stream.events import EventBatch
from stream.parity.published import Doubles
from stream.sequences import Ints

TOLERANCE = 1e-4  # what float32 in another order of the same sums may cost, and half a digit of rounding


class Largest(msgspec.Struct, frozen=True):
    """The event of which a figure differs most."""

    figure: str
    difference: float
    published: float
    offline: float
    above: int  # so many events differ by more than TOLERANCE
    topic: str  # the event's own record
    partition: int
    offset: int
    user: str
    event: int  # it was the user's n-th


def largest(
    published: Mapping[str, Doubles],
    offline: Mapping[str, Doubles],
    events: EventBatch,
    events_seen: Ints,
    topics: Sequence[str],
) -> list[Largest]:
    """Of each figure that is published or made: columns [N] of the same events, 1 or more, of the source topics."""
    found = []
    for name, said in published.items():
        made = offline[name]
        if np.isnan(said).all() and np.isnan(made).all():  # no such head
            continue
        apart = np.abs(said - made)
        apart[np.isnan(apart)] = np.inf  # one of the two says nothing
        at = int(apart.argmax())
        found.append(
            Largest(
                figure=name,
                difference=float(apart[at]),
                published=float(said[at]),
                offline=float(made[at]),
                above=int((apart > TOLERANCE).sum()),
                topic=topics[events["source"][at]],
                partition=int(events["partition"][at]),
                offset=int(events["offset"][at]),
                user=events.key[at].decode(),
                event=int(events_seen[at]),
            )
        )
    return found
