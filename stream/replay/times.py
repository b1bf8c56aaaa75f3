"""Times as shops write them -> event time in ms since 1970."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from stream.decode import TIME_MAX_MS
from stream.replay.rows import shown

# Digits of one second in each unit; anything else is RFC 3339 or a format of strptime.
UNITS = {"s": 0, "ms": 3, "us": 6}
# Before it there was no shop on the net: seconds taken for milliseconds end there.
_NUMBER_MIN_MS = 315_532_800_000  # 1980
_NUMBER = re.compile(r"(\d{1,20})(?:\.(\d{1,9}))?\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_AND_TIME_CHARACTERS = len("2026-01-31 12:00")
_STRPTIME_KEPT = 1 << 16  # strptime takes 8 us; one second is often that of several rows

Period = tuple[int, int]  # first ms that is believed, and the first after it


class BadTimeError(ValueError):
    """A text that is no time: `reason` for counting, the message in words."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class TimeParser:
    """Parses the times of one file, and counts those that a clock change makes doubtful.

    A local time that clocks show twice, in autumn, is taken as the first of both; one that they skip, in spring, as if
    they had not been put forward yet.
    """

    def __init__(self, time_format: str, zone: tzinfo | None, period: Period | None = None) -> None:
        self._zone = zone
        self._from_ms, self._to_ms = period or (_NUMBER_MIN_MS if time_format in UNITS else 0, TIME_MAX_MS + 1)
        self._format = time_format
        self._parse: Callable[[str], int] = (
            self._number if time_format in UNITS else self._rfc3339 if time_format == "rfc3339" else self._strptime
        )
        self.repeated = self.skipped = 0
        self._counts = zone is not None and zone is not UTC
        self._last_text, self._last_ms = "", 0

    def __call__(self, text: str) -> int:
        """Milliseconds; raises BadTimeError."""
        if text == self._last_text and text and not self._counts:  # the same second, as in most files in order
            return self._last_ms
        time_ms = self._parse(text)
        if not self._from_ms <= time_ms < self._to_ms:
            got = f", which is {datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}" if 0 <= time_ms < 1e14 else ""
            first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (self._from_ms, self._to_ms - 1))
            raise BadTimeError(
                "bad_time",
                f"event_time: expected a time from {first:%Y-%m-%d} to {last:%Y-%m-%d}, got {shown(text)}{got}",
            )
        self._last_text, self._last_ms = text, time_ms
        return time_ms

    def _number(self, text: str) -> int:
        found = _NUMBER.match(text)
        if found is None:
            raise BadTimeError("bad_time", f"event_time: expected {self._format} since 1970, got {shown(text)}")
        whole, part = found.groups(default="")
        digits = UNITS[self._format]
        # Integers all the way: the digits up to those of a millisecond
        places = 3 - digits
        return int(whole + part[:places].ljust(places, "0")) if places >= 0 else int(whole) // 10**-places

    def _rfc3339(self, text: str) -> int:
        moment: datetime | None
        try:
            # " UTC" as BigQuery and REES46 write it
            moment = datetime.fromisoformat(text[:-4] + "+00:00" if text.endswith(" UTC") else text.upper())
        except ValueError:
            moment = None
        if moment is None or len(text) < _DATE_AND_TIME_CHARACTERS:
            expected = "expected RFC 3339 such as 2026-01-31T12:00:00Z"
            raise BadTimeError("bad_time", f"event_time: {expected}, got {shown(text)}")
        return self._ms(moment, text)

    def _strptime(self, text: str) -> int:
        try:
            moment = _strptime(text, self._format)
        except ValueError:
            raise BadTimeError("bad_time", f"event_time: expected {self._format}, got {shown(text)}") from None
        return self._ms(moment, text)

    def _ms(self, moment: datetime, text: str) -> int:
        zone = moment.tzinfo
        if zone is None:
            zone = self._zone
            if zone is None:
                raise BadTimeError(
                    "time_without_zone",
                    f"event_time: expected a time with a zone, got {shown(text)}; "
                    "set time_zone in the --map file, such as 'Europe/Berlin' or 'UTC'",
                )
            moment = moment.replace(tzinfo=zone)
            if self._counts:
                self._count_doubtful(moment)
        since = moment - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000

    def _count_doubtful(self, moment: datetime) -> None:
        first, second = moment.utcoffset(), moment.replace(fold=1).utcoffset()
        if first != second and first is not None and second is not None:
            self.repeated += first > second
            self.skipped += first < second

    def notes(self) -> list[str]:
        """What the user should know of the times that were parsed."""
        said = []
        if self.repeated:
            said.append(f"{self.repeated:,} times that clocks in {self._zone} show twice: taken as the first of both")
        if self.skipped:
            said.append(f"{self.skipped:,} times that clocks in {self._zone} skip: taken as an hour later")
        return said


def zone_of(name: str) -> tzinfo:
    """A zone by its IANA name; ValueError if there is none of that name."""
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found, a path, a folder
        raise ValueError(
            f"expected an IANA name such as Europe/Berlin, got {name!r} (a machine without zones: pip install tzdata)"
        ) from None


@lru_cache(_STRPTIME_KEPT)
def _strptime(text: str, time_format: str) -> datetime:
    return datetime.strptime(text, time_format)
