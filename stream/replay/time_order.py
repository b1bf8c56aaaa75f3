"""Events by event time in bounded memory; those of one time stay in the order of the file.

A file that fits in memory is sorted there; one that is in order is read again as it is sent; of any other, sorted runs
go to a temporary file and are merged from there. It has no name: it is gone when the process is, however that ends.
"""

from __future__ import annotations

import errno
import os
import struct
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

import msgspec

from stream.errors import SettingsError
from stream.shop_event import ShopEvent

# Of one run, with what Python adds to each event; twice as much is taken at most.
RUN_BYTES = 128 << 20
_EVENT_BYTES = 240  # a tuple, two bytes objects and an int, beside what they hold
_FRAME_EVENTS = 256  # read at a time of each run while they are merged: about 100 kB
_SAID_EVERY_BYTES = 1 << 30

_length = struct.Struct("<I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[ShopEvent]).decode
_time = attrgetter("sent_ms")

Say = Callable[[str], None]


def by_time(
    read: Callable[[], Iterator[ShopEvent]], *, folder: Path | None, say: Say, run_bytes: int = RUN_BYTES
) -> Iterable[ShopEvent] | None:
    """The events of `read` by time; None: as they are read. The last pass that it makes is a whole one.

    Raises SettingsError if there is no room for the temporary file.
    """
    events = read()
    run, is_all = _take(events, run_bytes)
    if is_all:
        run.sort(key=_time)
        return run
    if _in_order(run):
        if _goes_on_in_order(events, run[-1].sent_ms):
            return None
        events = read()
        run, _ = _take(events, run_bytes)
    spill = _Spill(folder or Path(tempfile.gettempdir()), say)
    while run:
        run.sort(key=_time)
        spill.add(run)
        run, _ = _take(events, run_bytes)
    return spill


def _take(events: Iterator[ShopEvent], max_bytes: int) -> tuple[list[ShopEvent], bool]:
    """The next events, about so many bytes of them, and whether they are all that there is."""
    run: list[ShopEvent] = []
    size = 0
    for event in events:
        run.append(event)
        size += len(event.key) + len(event.value) + _EVENT_BYTES
        if size >= max_bytes:
            return run, False
    return run, True


def _in_order(run: list[ShopEvent]) -> bool:
    return all(before.sent_ms <= after.sent_ms for before, after in pairwise(run))


def _goes_on_in_order(events: Iterator[ShopEvent], last_ms: int) -> bool:
    for event in events:
        if event.sent_ms < last_ms:
            return False
        last_ms = event.sent_ms
    return True


class _Spill:
    """Sorted runs, one after the other in a file without a name; iterating merges them."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder, self._say = folder, say
        try:
            self._file, name = tempfile.mkstemp(prefix="behaviour-stream-replay-", dir=folder)
            os.unlink(name)  # noqa: PTH108 - beside mkstemp, of the same module's kind
        except OSError as error:
            raise SettingsError(f"{folder}: expected a folder to sort in, got: {error.strerror}") from None
        weakref.finalize(self, os.close, self._file)
        self._runs: list[tuple[int, int]] = []  # where each begins and ends
        self._end = self._said = 0
        say(f"the file is not in order of time: sorting it, in a temporary file in {folder}")

    def add(self, run: list[ShopEvent]) -> None:
        begin = self._end
        try:
            with open(self._file, "wb", closefd=False) as file:
                for start in range(0, len(run), _FRAME_EVENTS):
                    # JSON of few keys: a sixth of its size, for 1 us an event
                    frame = zlib.compress(_encode(run[start : start + _FRAME_EVENTS]), 1)
                    self._end += file.write(_length.pack(len(frame))) + file.write(frame)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise SettingsError(
                f"{self._folder}: no space left to sort in, after {self._end / 1e9:.2f} GB; nothing was sent; "
                "--temp-dir takes a folder that has more"
            ) from None
        self._runs.append((begin, self._end))
        if self._end - self._said >= _SAID_EVERY_BYTES:
            self._said = self._end
            self._say(f"sorting: {self._end / 1e9:.1f} GB so far in {self._folder}")

    def __iter__(self) -> Iterator[ShopEvent]:
        return merge(*(self._read(begin, end) for begin, end in self._runs), key=_time)

    def _read(self, place: int, end: int) -> Iterator[ShopEvent]:
        while place < end:
            (length,) = _length.unpack(os.pread(self._file, _length.size, place))
            yield from _decode(zlib.decompress(os.pread(self._file, length, place + _length.size)))
            place += _length.size + length
