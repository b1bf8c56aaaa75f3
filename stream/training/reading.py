"""What was read of a shop: how much, what was refused and why, and what whoever trains on it should know."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from stream.events import Reject
from stream.shop_event import ROLES

# What is done, events so far, and the share of it that is done (None: nobody knows yet).
Progress = Callable[[str, int, float | None], None]

# Shares of the events above which something is told: real streams repeat few in a hundred, and a cookie is lost now and
# then; a wrong column does it everywhere.
_REPEATED_NOTE_SHARE = 0.1


def unseen(stage: str, events: int, share: float | None) -> None:
    """Progress that nobody looks at."""


@dataclasses.dataclass(slots=True)
class Reading:
    """One shop's tally."""

    name: str
    events: int = 0  # that serving would take, before repeats are looked for
    users: int = 0
    first_ms: int = 0  # event time of the earliest and of the latest
    last_ms: int = 0
    end_ms: int = 0  # the shop was watched up to here, not included
    repeated: int = 0  # ids that came before: passed over, or applied again where serving would; nothing is told twice
    dropped: int = 0  # repeats of what another file had
    refused: Counter[str] = dataclasses.field(default_factory=Counter)  # by reason
    example: dict[str, str] = dataclasses.field(default_factory=dict)  # reason -> where and why, of the first
    notes: list[str] = dataclasses.field(default_factory=list)

    def see(self, time_ms: Iterable[int], events: int) -> None:
        """Count events of these times (their extremes will do)."""
        times = list(time_ms)
        self.first_ms = min(times) if not self.events else min(self.first_ms, *times)
        self.last_ms = max(self.last_ms, *times)
        self.events += events

    def refuse(self, rejects: Iterable[Reject]) -> None:
        """Count records that serving would send to dead letters."""
        for reject in rejects:
            self.refused[reject.reason] += 1
            where = f"{ROLES[reject.source]}[{reject.partition}]@{reject.offset}"
            self.example.setdefault(reject.reason, f"{where}: {reject.error}")

    def why_not(self, *, ignore_refused: bool = False) -> str | None:
        """Why this should not be trained on: there is no event, or more records were refused than give one."""
        refused = self.refused.total()
        if self.events and (refused <= self.events or ignore_refused):
            return None
        if not refused:
            return f"{self.name}: expected events, got none"
        reason, number = self.refused.most_common(1)[0]
        return (
            f"{self.name}: {refused:,} of {refused + self.events:,} records are refused, most ({number:,}) as "
            f"{self.example[reason]}"
        )

    def finish(self) -> None:
        """Tell what shows in the sums only."""
        if self.repeated > _REPEATED_NOTE_SHARE * self.events:
            self.notes.append(
                f"{self.repeated:,} of {self.events:,} events have an id that came before: is it an id of events?"
            )
        if self.dropped:
            self.notes.append(f"{self.dropped:,} events were in another file too, and are read once.")


def moment(time_ms: int) -> str:
    """A time for people, in UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
