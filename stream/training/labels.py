"""What came of events: labels to learn from, each of what came strictly later, masked where it cannot be known yet.

Whether a label is known depends on the time alone, never on what it says. An early purchase within a horizon that is
cut off is not known either: to keep the yes of such events, and to mask their no, would make the last of the time look
as if all bought (a day of 28: a base rate of 13.8 % for 13.4 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.events import ACTIONS
from stream.sequences import Ints
from stream.training.fraud_labels import UNKNOWN, YES
from stream.training.runs import Bools, Runs

Floats = NDArray[np.float32]

# Google Analytics's rule of sessions: https://support.google.com/analytics/answer/9191807
SESSION_GAP_MS = 30 * 60_000

_PURCHASE = ACTIONS.index("purchase")
_NEVER = np.iinfo(np.int64).max


class Labels(NamedTuple):
    """What came of N events within each of K horizons."""

    bought: Bools  # [N, K] the user purchased later than the event, and within the horizon
    known: Bools  # [N, K] the horizon ends within the time that was watched; elsewhere `bought` says nothing


class SessionLabels(NamedTuple):
    """What came of N events within their sessions."""

    bought: Bools  # [N] the session has a purchase later than the event
    known: Bools  # [N] the session was over within the time that was watched; elsewhere `bought` says nothing
    weight: Floats  # [N] 1 by the number of the session's events: it tells each of them much the same


class FraudVerdicts(NamedTuple):
    """What is known of N events."""

    fraud: Bools  # [N]
    known: Bools  # [N] there is a label, and it was there within the time that was watched


class Counts(NamedTuple):
    """How often a label says what."""

    yes: int
    no: int
    unknown: int


def within(of: Runs, horizons_secs: Sequence[int]) -> Labels:
    """Whether the user of each event purchases within each horizon after it."""
    horizon_ms = 1000 * np.asarray(horizons_secs, np.int64)
    bought, known = (np.empty((len(of), len(horizon_ms)), np.bool_) for _ in range(2))
    for where, block in of.blocks():
        time_ms = block.raw["time_ms"]
        wait_ms = _next_purchase_ms(block) - time_ms
        bought[where] = wait_ms[:, None] <= horizon_ms
        known[where] = time_ms[:, None] + horizon_ms < np.repeat(block.end_ms, block.counts)[:, None]
    return Labels(bought, known)


def in_session(of: Runs) -> SessionLabels:
    """Whether the session of each event has a purchase later than it.

    A session is what has one session id; where there is none, an event goes on with what its user did before, unless
    that is more than 30 minutes ago. It is over when its last event is 30 minutes ago. Where a shop's ids come again
    after a longer pause (2 % of the gaps in JData's sessions, none above 80 minutes), a label at the end of what was
    watched may be taken for known too early.
    """
    bought, known = (np.empty(len(of), np.bool_) for _ in range(2))
    weight = np.empty(len(of), np.float32)
    for where, block in of.blocks():
        time_ms = block.raw["time_ms"]
        order, starts = _sessions(block)
        count = np.diff(np.append(starts, len(order)))
        last_ms = np.maximum.reduceat(time_ms[order], starts)
        purchase_ms = np.where(_purchases(block), time_ms, -1)[order]
        last_purchase_ms = np.maximum.reduceat(purchase_ms, starts)
        bought[where] = time_ms < _spread(last_purchase_ms, count, order)
        known[where] = _spread(last_ms, count, order) + SESSION_GAP_MS < np.repeat(block.end_ms, block.counts)
        weight[where] = _spread(1 / count, count, order)
    return SessionLabels(bought, known, weight)


def fraud(of: Runs, *, delay_ms: int) -> FraudVerdicts:
    """Whether each event was fraud, where that is known `delay_ms` after it: no earlier may anybody learn from it."""
    known = np.asarray(of.fraud) != UNKNOWN
    for where, block in of.blocks():
        known[where] &= block.raw["time_ms"] + delay_ms < np.repeat(block.end_ms, block.counts)
    return FraudVerdicts(np.asarray(of.fraud) == YES, known)


def counts(says: Bools, known: Bools) -> Counts:
    """Of one label [N], how many events it tells yes and no of, and of how many nothing."""
    yes, all_known = int(np.count_nonzero(says & known)), int(np.count_nonzero(known))
    return Counts(yes, all_known - yes, len(known) - all_known)


def nothing_to_tell(counts: Counts, what: str) -> str | None:
    """In words, why nothing can be learned from a label: all that is known of it is of one class, or nothing is."""
    known = counts.yes + counts.no
    if counts.yes and counts.no:
        return None
    if not known:
        return f"{what}: not known of any of {counts.unknown:,} events: too little time was watched after them"
    return (
        f"{what}: {'yes' if counts.yes else 'no'} for all {known:,} events of which it is known: nothing to tell apart"
    )


def _purchases(of: Runs) -> Bools:
    """[N] a purchase that is not one that came again."""
    return np.asarray((of.raw["action"] == _PURCHASE) & ~of.repeat)


def _next_purchase_ms(of: Runs) -> Ints:
    """[N] the time of the user's first purchase that is later than the event; the largest number: none is."""
    n = len(of)
    owner, time_ms = of.owner, of.raw["time_ms"]
    order = np.lexsort((time_ms, owner))
    owner, time_ms = owner[order], time_ms[order]
    # Where what is later begins: behind all of the same user and time.
    moment = np.flatnonzero(np.append((owner[1:] != owner[:-1]) | (time_ms[1:] != time_ms[:-1]), True)) + 1
    later = np.repeat(moment, np.diff(moment, prepend=0))
    place = np.where(_purchases(of)[order], np.arange(n), n)
    following = np.append(np.minimum.accumulate(place[::-1])[::-1], n)[later]
    found = np.append(owner, -1)[following] == owner
    next_ms = np.empty(n, np.int64)
    next_ms[order] = np.where(found, np.append(time_ms, _NEVER)[following], _NEVER)
    return next_ms


def _sessions(of: Runs) -> tuple[Ints, Ints]:
    """(events session by session, where in that order each session begins)."""
    n = len(of)
    owner, named = of.owner, of.session != 0
    # What was latest of the user's before, by ranks: times and users together may need more than 64 bits.
    ranks, time = np.unique(of.raw["time_ms"], return_inverse=True)
    latest = ranks[np.maximum.accumulate(owner * len(ranks) + time) - owner * len(ranks)]
    first = np.append(True, owner[1:] != owner[:-1])
    pause = of.raw["time_ms"] - np.append(0, latest[:-1]) > SESSION_GAP_MS
    begins = named | first | pause
    # Whose session an event goes on with: its own, or that of the last event before it that began or named one.
    leader = np.maximum.accumulate(np.where(begins, np.arange(n), 0))
    # A session without an id has the place of its first event, which no hash of an id is likely to be.
    session = np.where(named, of.session, np.arange(n, dtype=np.uint64))[leader]
    order = np.lexsort((session, owner))
    session, owner = session[order], owner[order]
    return order, np.flatnonzero(np.append(True, (session[1:] != session[:-1]) | (owner[1:] != owner[:-1])))


def _spread(of_session: NDArray[np.generic], count: Ints, order: Ints) -> NDArray[np.generic]:
    """[N] what is told of each session, for each of its events."""
    told = np.empty(len(order), of_session.dtype)
    told[order] = np.repeat(of_session, count)
    return told
