"""What was found beside what was expected -> counts of what is wrong. Pure: no topic, no clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import msgspec
import numpy as np

from stream.rows import HEADER

# Of a repeated score, which has gone through the same arithmetic in other batches.
REPEAT_TOLERANCE = 1e-5
# Of the service's score beside an offline one: the law of parity, and half a digit of rounding.
PARITY_TOLERANCE = 1e-4 + 5e-7
# Events of different topics that arrive within this time of each other may be merged otherwise by a replay.
MOMENTS_MS = 10_000

# What at_least_once may have, if the order was not determined.
HARMLESS = frozenset({"repeated", "repeated_different", "dead_letters_repeated"})

INTENT, ANOMALY = TOPICS = (0, 1)


class Where(NamedTuple):
    """A record of a source topic."""

    source: int
    partition: int
    offset: int


class Score(NamedTuple):
    """A record of a score topic."""

    where: Where  # of the event
    events_seen: int
    figures: tuple[float, ...]  # intents by horizon; or anomaly and the parts of the surprise


class Event(NamedTuple):
    """A good record of a source topic."""

    where: Where
    key: bytes
    event_id: str
    record_time_ms: int


class Expected(NamedTuple):
    """What must have become of the records of the source topics."""

    events: Mapping[Where, Event]  # every one that must be scored
    figures: tuple[Mapping[Where, tuple[float, ...]], Mapping[Where, tuple[float, ...]]]  # by topic
    events_seen: Mapping[Where, int]
    rows: Mapping[bytes, bytes]  # by user
    rejects: Mapping[Where, str]  # bad record -> reason


class Found(NamedTuple):
    """What lies on the topics."""

    scores: tuple[Sequence[Score], Sequence[Score]]  # by topic, in the order of their partitions
    rows: Mapping[bytes, bytes]  # the last of each user
    dead_letters: Sequence[tuple[Where, str]]  # (bad record, reason)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Counts; all but those of repeats are of defects."""

    lost: int = 0  # good events without both scores, or not counted in their user's row
    repeated: int = 0  # score records whose id came before
    repeated_different: int = 0  # of these, with a score that differs from the first one's
    repeated_unexplained: int = 0  # of these, where no other topic's event arrived within moments
    rows_differ: int = 0
    scores_differ: int = 0  # events whose last score is not that of the offline run
    scores_unexpected: int = 0  # score records of what is no event, or was not to be scored
    committed_past_work: int = 0  # events before a committed offset that their row does not hold
    dead_letters_lost: int = 0  # bad records without a dead letter that says the right reason
    dead_letters_repeated: int = 0
    dead_letters_unexpected: int = 0  # of good records

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    def defects(self, *, guarantee: str, order_is_determined: bool) -> dict[str, int]:
        """What must not be, by name."""
        allowed = set(HARMLESS)
        if order_is_determined:
            allowed.discard("repeated_different")
        if guarantee == "exactly_once":
            allowed.clear()
        return {name: n for name in self.__struct_fields__ if (n := getattr(self, name)) and name not in allowed}


class Finding(NamedTuple):
    """Something to be counted."""

    counter: str  # of Tally
    what: object
    n: int = 1


def judge(expected: Expected, found: Found, alike: Callable[[bytes, bytes], bool]) -> list[Finding]:
    """Everything but commits, which are looked at while the faults go on; `alike` says whether two rows are."""
    return [
        *_lost(expected, found),
        *_rows(expected, found, alike),
        *_scores(expected, found),
        *_dead_letters(expected, found),
        *(finding for scores in found.scores for finding in _repeats(scores, expected.events)),
    ]


def tally(findings: Iterable[Finding]) -> Tally:
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.counter] += finding.n
    return Tally(**counts)


def ahead_of_rows(
    committed: Mapping[tuple[int, int], int],
    rows: Mapping[bytes, Sequence[int]],
    events: Iterable[Event],
    without_row: Set[Where] = frozenset(),
) -> list[Event]:
    """Events before the committed offset of their (source, partition) that their row does not hold.

    `rows`: of each user, the last offset applied of each source. `without_row`: events that need not be held.
    """
    none = (-1, -1, -1)
    return [
        event
        for event in events
        if event.where.offset < committed.get(event.where[:2], 0)
        and rows.get(event.key, none)[event.where.source] < event.where.offset
        and event.where not in without_row
    ]


def repeats_of_events(events: Iterable[Event]) -> list[list[Event]]:
    """The events of a user that have one id, where there are several of them."""
    by_id: defaultdict[tuple[bytes, str], list[Event]] = defaultdict(list)
    for event in events:
        by_id[event.key, event.event_id].append(event)
    return [same for same in by_id.values() if len(same) > 1]


def _lost(expected: Expected, found: Found) -> Iterator[Finding]:
    scored = [{score.where for score in scores} for scores in found.scores]
    unscored = Counter(event.key for where, event in expected.events.items() if not all(where in s for s in scored))
    for key, n in Counter(event.key for event in expected.events.values()).items():
        lost = max(unscored[key], n - events_seen(found.rows.get(key)))
        if lost > 0:
            yield Finding("lost", key, lost)


def events_seen(row: bytes | None) -> int:
    """How many events a row has counted; 0 without one."""
    return 0 if row is None else int(np.frombuffer(row, HEADER, count=1)[0]["events_seen"])


def _rows(expected: Expected, found: Found, alike: Callable[[bytes, bytes], bool]) -> Iterator[Finding]:
    for key in expected.rows.keys() | found.rows.keys():
        if key not in found.rows or key not in expected.rows or not alike(found.rows[key], expected.rows[key]):
            yield Finding("rows_differ", key)


def _scores(expected: Expected, found: Found) -> Iterator[Finding]:
    different: dict[Where, object] = {}
    for scores, figures in zip(found.scores, expected.figures, strict=True):
        yield from (Finding("scores_unexpected", score) for score in scores if score.where not in figures)
        last = {score.where: score for score in scores if score.where in figures}
        for where, score in last.items():
            right = Score(where, expected.events_seen[where], figures[where])
            if score.events_seen != right.events_seen or apart(score.figures, right.figures) > PARITY_TOLERANCE:
                different.setdefault(where, (score, right))
    yield from (Finding("scores_differ", both) for both in different.values())


def _repeats(scores: Sequence[Score], events: Mapping[Where, Event]) -> Iterator[Finding]:
    first: dict[Where, Score] = {}
    mixed = _mixed_since(events.values())
    for score in scores:
        if score.where not in first:
            first[score.where] = score
            continue
        before = first[score.where]
        yield Finding("repeated", score)
        if apart(score.figures, before.figures) > REPEAT_TOLERANCE:
            yield Finding("repeated_different", (before, score))
            event = events.get(score.where)
            if event is not None and event.record_time_ms < mixed.get(event.key, 1 << 62):
                yield Finding("repeated_unexplained", (before, score))


def _mixed_since(events: Iterable[Event]) -> dict[bytes, int]:
    """Of each user, when events of two topics first arrived within moments of each other: their order may change.

    Everything of the user that comes after it may differ with it.
    """
    last: dict[bytes, Event] = {}
    since: dict[bytes, int] = {}
    for event in sorted(events, key=lambda event: event.record_time_ms):
        before = last.get(event.key)
        if (
            before is not None
            and before.where.source != event.where.source
            and event.record_time_ms - before.record_time_ms <= MOMENTS_MS
        ):
            since.setdefault(event.key, before.record_time_ms)
        last[event.key] = event
    return since


def _dead_letters(expected: Expected, found: Found) -> Iterator[Finding]:
    told = Counter(found.dead_letters)
    for where, reason in expected.rejects.items():
        if (where, reason) not in told:
            yield Finding("dead_letters_lost", (where, reason))
    for letter, n in told.items():
        if n > 1:
            yield Finding("dead_letters_repeated", letter, n - 1)
        if letter[0] not in expected.rejects:
            yield Finding("dead_letters_unexpected", letter)


def apart(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference of two scores' figures."""
    if len(one) != len(other):
        return float("inf")
    return max((abs(a - b) for a, b in zip(one, other, strict=True)), default=0.0)
