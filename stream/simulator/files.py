"""Shop events into a file of JSON lines, as they are sent; the labels of those that have one, into another."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Self, cast

from stream.errors import BehaviourStreamError
from stream.shop_event import ShopEvent

_SLICE_EVENTS = 4096  # between two questions whether to go on
_GZIP_LEVEL = 1  # four times as fast as the default of 9, for a file a fifth larger


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
    with _Lines(path) as lines, _Lines(labels) if labels else contextlib.nullcontext() as labelled:
        for event in events:
            lines.write(event.value)
            if labelled is not None and event.label is not None:
                labelled.write(event.label)
            written += 1
            if written % _SLICE_EVENTS == 0 and not go_on(written):
                break
    return written


class _Lines:
    """A file that is written line by line, whose name is in every error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Closed by `__exit__`
            self._file = _gzip(path) if path.suffix == ".gz" else path.open("wb")
        except OSError as error:
            raise self._failed(error) from error

    def write(self, line: bytes) -> None:
        try:
            self._file.write(line + b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._file.close()
        except OSError as failed:
            if error[0] is None:  # else it is the consequence of what is told already
                raise self._failed(failed) from failed

    def _failed(self, error: OSError) -> BehaviourStreamError:
        return BehaviourStreamError(f"{self._path}: cannot be written: {error.strerror or error}")


def _gzip(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "wb", _GZIP_LEVEL))
