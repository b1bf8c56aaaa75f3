"""Files of recorded behaviour as one shop: of any format that `replay` knows, or of a map, merged by event time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import combinations
from pathlib import Path

import msgspec

from stream.decode import TimeBounds
from stream.errors import SettingsError
from stream.merge import Source
from stream.replay import Recording, ShopMap, open_recording, open_rows, why_not
from stream.replay.formats import Format
from stream.replay.tally import Refuse
from stream.replay.time_order import RUN_BYTES
from stream.shop_event import ShopEvent
from stream.training.fraud_labels import Kinds
from stream.training.reading import Reading, moment
from stream.training.sources import Poll, polls_of

# The record of a recorded event has the event's own time.
_BELIEVED = TimeBounds(max_ahead_ms=0, max_behind_ms=0)
_FILES_MAX = 1 << 16
_RUN_BYTES_LEAST = 1 << 20
_DAY_MS = 86_400_000
_NEVER_MS = 1 << 62
# A few events so long after all others are of a wrong time; no shop is silent for so long
_STRAY_MS, _STRAY_SHARE = 7 * _DAY_MS, 0.01


class FileShop:
    """One or several files of one shop.

    Where no file has ids of events, what two of them both have is two events: it is said where they overlap.
    """

    bounds = _BELIEVED

    def __init__(
        self,
        paths: Sequence[Path],
        format_name: Format | None = None,
        shop_map: ShopMap | None = None,
        *,
        refuse: Refuse | None = None,
        ignore_refused: bool = False,
        folder: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`refuse` is told of each row that is refused, `say` of what takes long; `folder` is for what does not fit in
        memory. SettingsError for a file that cannot be read so, or is not there."""
        if not 0 < len(paths) <= _FILES_MAX:
            raise SettingsError(f"expected 1 to {_FILES_MAX} files, got {len(paths)}")
        self.name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        # The same row of two files is two events, unless they have ids that say otherwise.
        self._ids = [None, *(f"file-{number}" for number in range(2, len(paths) + 1))]
        self._paths, self._format, self._map = list(paths), format_name, shop_map
        self._end_ms = _NEVER_MS
        self._refuse, self._folder, self._say = refuse, folder, say
        self.ignore_refused = ignore_refused
        for path in paths:
            open_rows(path, format_name, shop_map)

    def polls(
        self, kinds: Kinds, reading: Reading, waiting: Mapping[Source, int], looked: Callable[[int], None]
    ) -> Iterator[Poll]:
        recordings: list[Recording] = []
        for path, ids in zip(self._paths, self._ids, strict=True):
            before = sum(recording.events for recording in recordings)
            recordings.append(
                open_recording(
                    path,
                    self._format,
                    self._map,
                    refuse=self._refuse,
                    folder=self._folder,
                    say=self._say,
                    run_bytes=max(_RUN_BYTES_LEAST, RUN_BYTES // len(self._paths)),
                    ids=ids,
                    looked=lambda events, before=before: looked(before + events),  # type: ignore[misc]
                )
            )
            problem = why_not(path, recordings[-1].tally, ignore_refused=self.ignore_refused)
            if problem:
                raise SettingsError(f"{problem}; nothing was trained")
            _tell(recordings[-1], reading)
        reading.notes += _overlaps(recordings, self._ids)
        total = sum(recording.events for recording in recordings)
        watched = _Watched()
        events = watched.of(_by_time(recordings))
        yield from polls_of(events, kinds, share=lambda events, time_ms: events / total)
        stray, watched_ms = watched.stray()
        self._end_ms = watched_ms + 1
        if stray:
            reading.notes.append(
                f"{self.name}: {stray:,} events are more than {_STRAY_MS // _DAY_MS} days after all others, which end "
                f"at {moment(watched_ms)}: what came later than that is taken for unknown."
            )

    def end_ms(self, last_ms: int) -> int:
        return min(last_ms + 1, self._end_ms)


class _Watched:
    """Up to when a shop was watched, by its events: a few that are long after all others say nothing of that.

    A single wrong time (of the year 2099) would else make a "no" of every horizon that the recording cut off.
    """

    def __init__(self) -> None:
        self._events, self._last_ms = 0, 0
        self._pauses: list[tuple[int, int]] = []  # long ones: events until then, and the time of the last of them

    def of(self, events: Iterator[tuple[int, ShopEvent]]) -> Iterator[tuple[int, ShopEvent]]:
        """The same events, looked at."""
        for file, event in events:
            if self._events and event.sent_ms - self._last_ms > _STRAY_MS:
                self._pauses.append((self._events, self._last_ms))
            self._events += 1
            self._last_ms = event.sent_ms
            yield file, event

    def stray(self) -> tuple[int, int]:
        """(how many events are long after all others, the time of the last of those others)."""
        for before, last_ms in self._pauses:
            if self._events - before <= _STRAY_SHARE * self._events:
                return self._events - before, last_ms
        return 0, self._last_ms


def _tell(recording: Recording, reading: Reading) -> None:
    tally = recording.tally
    for reason, refused in tally.refused.items():
        reading.refused[reason] += refused.rows
        reading.example.setdefault(reason, f"{recording.path}:{refused.lines[0]}: {refused.error}")
    if tally.left_out:
        words = ", ".join(f"{word} ({rows:,})" for word, rows in tally.left_out.most_common(5))
        reading.notes.append(f"{recording.path}: {tally.left_out.total():,} rows are left out: {words}.")
    reading.notes += [f"{recording.path}: {note}" for note in tally.notes]


def _by_time(recordings: Sequence[Recording]) -> Iterator[tuple[int, ShopEvent]]:
    """Events, each after the number of its file; those of one time in the order of the files."""

    def of(file: int, recording: Recording) -> Iterator[tuple[int, int, ShopEvent]]:
        for event in recording:
            yield event.sent_ms, file, event

    if len(recordings) == 1:
        return ((0, event) for event in recordings[0])
    merged = merge(*(of(file, recording) for file, recording in enumerate(recordings)), key=lambda found: found[:2])
    return ((file, event) for _, file, event in merged)


def _overlaps(recordings: Sequence[Recording], ids: Sequence[str | None]) -> Iterator[str]:
    """Files of the same time whose events have no ids: nothing shows whether they have the same events."""
    made = [
        recording
        for recording, prefix in zip(recordings, ids, strict=True)
        if _has_made_ids(recording, prefix or recording.format)
    ]
    for one, other in combinations(made, 2):
        first_ms = max(one.tally.first_ms, other.tally.first_ms)
        last_ms = min(one.tally.last_ms, other.tally.last_ms)
        if first_ms < last_ms:
            yield (
                f"{one.path} and {other.path} are both of {moment(first_ms)} to {moment(last_ms)}, and have no ids of "
                "events: what both have is counted twice."
            )


def _has_made_ids(recording: Recording, prefix: str) -> bool:
    """By the first event."""
    first = next(iter(recording), None)
    return first is not None and first.value.startswith(b'{"event_id":' + msgspec.json.encode(f"{prefix}-")[:-1])
