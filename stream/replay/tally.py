"""What a pass over a file has counted: events by name, users, times, what was left out, what was refused and why."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from stream.replay.files import Kind
from stream.replay.rows import LeftOut, Made, Outcome, Row, Unfit, raw_text
from stream.shop_event import ShopEvent

# Under Kafka's message.max.bytes (1 MiB), with room for the key and what a batch adds.
EVENT_MAX_BYTES = 900_000
_LINES_KEPT = 5
_EXAMPLE_CHARACTERS = 160
_WORDS_KEPT = 200  # a wrong column can hold a word per row
_USERS_KEPT = 1 << 20  # about 80 MB; up to here the count is exact, beyond it within half a percent


class Rows(Protocol):
    """What formats and maps make of a file."""

    format: str
    kind: Kind

    def outcomes(self) -> Iterator[tuple[Row, Outcome]]:
        """Every row, in the order of the file, with what becomes of it."""

    def notes(self) -> list[str]:
        """What the user should know of the pass that was made last."""


@dataclasses.dataclass(slots=True)
class Refused:
    """Rows that were refused for one reason."""

    rows: int
    lines: list[int]  # the first few
    error: str  # of the first
    example: str  # the first, cut


Refuse = Callable[[Row, Unfit], None]


class Tally:
    """Counts of one pass; `refuse` is told of each row that is refused."""

    def __init__(self, refuse: Refuse | None = None) -> None:
        self.events = self.earlier = 0  # `earlier`: events whose time is before that of the event above them
        self.names: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.refused: dict[str, Refused] = {}
        self.users = DistinctCount()
        self.first_ms = self.last_ms = 0
        self.notes: list[str] = []
        self._before_ms = 0
        self._refuse = refuse

    @property
    def rows(self) -> int:
        return self.events + self.left_out.total() + self.refused_rows

    @property
    def refused_rows(self) -> int:
        return sum(refused.rows for refused in self.refused.values())

    def count(self, made: Made) -> None:
        event = made.event
        time_ms = event.sent_ms
        if time_ms < self._before_ms:
            self.earlier += 1
        self._before_ms = time_ms
        if not self.events or time_ms < self.first_ms:
            self.first_ms = time_ms
        self.last_ms = max(self.last_ms, time_ms)
        self.events += 1
        self.names[made.name] += 1
        self.users.add(event.key)

    def leave_out(self, word: str) -> None:
        self.left_out[word if word in self.left_out or len(self.left_out) < _WORDS_KEPT else "other words"] += 1

    def refuse(self, row: Row, unfit: Unfit) -> None:
        if self._refuse is not None:
            self._refuse(row, unfit)
        refused = self.refused.get(unfit.reason)
        if refused is None:
            self.refused[unfit.reason] = Refused(1, [row.line], unfit.error, raw_text(row)[:_EXAMPLE_CHARACTERS])
            return
        refused.rows += 1
        if len(refused.lines) < _LINES_KEPT:
            refused.lines.append(row.line)


def events(rows: Rows, tally: Tally) -> Iterator[ShopEvent]:
    """One pass over a file: its events in the order of the file; all else is in the tally."""
    for row, outcome in rows.outcomes():
        if type(outcome) is Made:
            if len(outcome.event.value) > EVENT_MAX_BYTES:
                words = f"expected an event of at most {EVENT_MAX_BYTES} bytes, got {len(outcome.event.value)}"
                tally.refuse(row, Unfit("too_long", words))
                continue
            tally.count(outcome)
            yield outcome.event
        elif type(outcome) is LeftOut:
            tally.leave_out(outcome.word)
        elif type(outcome) is Unfit:
            tally.refuse(row, outcome)
    tally.notes = rows.notes()


def uncounted(rows: Rows) -> Iterator[ShopEvent]:
    """The same events in a pass after the one that counted them."""
    for _, outcome in rows.outcomes():
        if type(outcome) is Made and len(outcome.event.value) <= EVENT_MAX_BYTES:
            yield outcome.event


class DistinctCount:
    """How many different keys there were, in bounded memory: Wegman's adaptive sampling of their hashes."""

    def __init__(self, kept: int = _USERS_KEPT) -> None:
        self._kept, self._mask, self._seen = kept, 0, set[int]()

    def add(self, key: bytes) -> None:
        number = hash(key)  # SipHash: each bit as likely 0 as 1
        if not number & self._mask:
            self._seen.add(number)
            if len(self._seen) > self._kept:  # half of all hashes from here on
                self._mask = self._mask * 2 + 1
                self._seen = {seen for seen in self._seen if not seen & self._mask}

    @property
    def is_exact(self) -> bool:
        return self._mask == 0

    def __int__(self) -> int:
        return len(self._seen) * (self._mask + 1)
