"""Shop events into a file of JSON lines, as they are sent; the labels of those that have one, into another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from stream.lines import Lines
from stream.shop_event import ShopEvent

_SLICE_EVENTS = 4096  # between two questions whether to go on


def write(
    events: Iterable[ShopEvent],
    path: Path,
    labels: Path | None = None,
    go_on: Callable[[int], bool] = lambda events: True,
) -> int:
    """Write events, and the labels of those that have one -> how many events.

    A name that ends in .gz is compressed. `go_on` is asked every 4,096 events, with how many there are; what is written
    is whole when it says no. BehaviourStreamError naming the file when it cannot be written, as on a full disk.
    """
    written = 0
    with Lines(path) as lines, Lines(labels) if labels else contextlib.nullcontext() as labelled:
        for event in events:
            lines.write(event.value)
            if labelled is not None and event.label is not None:
                labelled.write(event.label)
            written += 1
            if written % _SLICE_EVENTS == 0 and not go_on(written):
                break
    return written
