"""A file of recorded shop behaviour: what is in it, and its events by event time, any number of times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from heapq import nsmallest
from operator import attrgetter
from pathlib import Path

from stream.errors import SettingsError
from stream.replay.detect import open_rows
from stream.replay.formats import Format
from stream.replay.shop_map import ShopMap
from stream.replay.tally import Refuse, Rows, Tally, events, uncounted
from stream.replay.time_order import RUN_BYTES, Say, by_time
from stream.shop_event import ShopEvent

_LOOKED_EVERY = 1 << 14  # events


def _silent(_: str) -> None:
    pass


def _ignored(_: int) -> None:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """A file's events; iterating gives them by event time, those of the same time in the order of the file."""

    path: Path
    format: str
    tally: Tally
    _rows: Rows
    _ordered: Iterable[ShopEvent] | None  # None: the file is in order, and is read again each time
    _stamp: tuple[int, int]

    @property
    def events(self) -> int:
        """How many there are."""
        return self.tally.events

    def __iter__(self) -> Iterator[ShopEvent]:
        return self._again() if self._ordered is None else iter(self._ordered)

    def _again(self) -> Iterator[ShopEvent]:
        self._expect_unchanged()
        yield from uncounted(self._rows)
        self._expect_unchanged()  # at a recording's speed the pass may have lasted days

    def _expect_unchanged(self) -> None:
        if _stamp(self.path) != self._stamp:
            raise SettingsError(f"{self.path}: expected the file that was read, got another: it has changed meanwhile")


def open_recording(
    path: Path,
    format_name: Format | None = None,
    shop_map: ShopMap | None = None,
    *,
    refuse: Refuse | None = None,
    folder: Path | None = None,
    say: Say = _silent,
    run_bytes: int = RUN_BYTES,
    ids: str | None = None,
    looked: Callable[[int], None] = _ignored,
) -> Recording:
    """Read a file once, count what is in it, and put its events in order.

    Without format and map, by the shape that the file has. `refuse` is told of each row that is refused. A file that
    neither fits in memory (`run_bytes`) nor is in order is sorted in `folder`, by default where temporary files go.
    `ids` is as for `open_rows`; `looked` is told now and then of how many events have been looked at.

    Raises SettingsError naming the file, what was expected and what was found.
    """
    rows = open_rows(path, format_name, shop_map, ids=ids)
    stamp = _stamp(path)
    tallies: list[Tally] = []

    def read() -> Iterator[ShopEvent]:
        tallies.append(Tally(refuse))
        for number, event in enumerate(events(rows, tallies[-1])):
            yield event
            if number % _LOOKED_EVERY == 0:
                looked(number)

    ordered = by_time(read, folder=folder, say=say, run_bytes=run_bytes)
    return Recording(path, rows.format, tallies[-1], rows, ordered, stamp)


@dataclasses.dataclass(frozen=True, slots=True)
class Survey:
    """What a file holds, found in one pass that neither keeps nor sorts it."""

    path: Path
    format: str
    kind: str
    tally: Tally
    first: list[ShopEvent]  # the first few by event time


def survey(
    path: Path,
    format_name: Format | None = None,
    shop_map: ShopMap | None = None,
    *,
    refuse: Refuse | None = None,
    shown: int = 5,
) -> Survey:
    """Look at a file as `open_recording` would read it."""
    rows = open_rows(path, format_name, shop_map)
    tally = Tally(refuse)
    first = nsmallest(shown, events(rows, tally), key=attrgetter("sent_ms"))
    return Survey(path, rows.format, rows.kind, tally, first)


def why_not(path: Path, tally: Tally, *, ignore_refused: bool = False) -> str | None:
    """Why the file should not be taken: it gives no event, or more of its rows were refused than give one."""
    refused = tally.refused_rows
    if tally.rows == 0:
        return f"{path}: expected rows, got none"
    if tally.events and (refused <= tally.events or ignore_refused):
        return None
    if not refused:
        return f"{path}: none of its {tally.rows:,} rows gives an event: all are left out"
    worst = max(tally.refused.values(), key=lambda reason: reason.rows)
    lines = ", ".join(str(line) for line in worst.lines)
    return (
        f"{path}: {refused:,} of {tally.rows:,} rows are refused, most ({worst.rows:,}) as line {lines}: {worst.error}"
    )


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
