"""Shop behaviour as columns: who did what when, user by user. Pure."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SESSION_PAUSE_MS = 30 * 60_000  # ends a session where none are named; Google Analytics' own
NONE = -1  # the code of a session, item or category that an event does not name


@dataclasses.dataclass(frozen=True, slots=True)
class Behaviour:
    """N events of U users: one user after the other, each in an order in which the past comes first.

    That is the order of event time (events of the same time as they came), or the one in which serving applied them.
    """

    user: Ints  # [N] 0 to U - 1, ascending
    time_ms: Ints  # [N] event time, epoch ms
    session: Ints  # [N] 0 to S - 1, of one user only; NONE where the event names none
    name: Ints  # [N] index into `events.ACTIONS`
    item: Ints  # [N] code; NONE where the event names none
    category: Ints  # [N] code; NONE likewise
    price: Floats  # [N] of the item, or an order's value where its lines have no prices; NaN: none
    labelled: Bools  # [N] the event is labelled as part of a fraud

    def __len__(self) -> int:
        return len(self.user)

    @property
    def users(self) -> int:
        """U."""
        return int(self.user[-1]) + 1 if len(self) else 0

    @property
    def sessions(self) -> int:
        """S."""
        return int(self.session.max()) + 1 if len(self) else 0

    def take(self, chosen: Bools) -> Self:
        """The events where `chosen` [N] is true; users and sessions without any are gone, and the others renumbered."""
        taken = {f.name: getattr(self, f.name)[chosen] for f in dataclasses.fields(self)}
        taken["user"], taken["session"] = renumber(taken["user"]), renumber(taken["session"])
        return type(self)(**taken)


def by_pauses(of: Behaviour, pause_ms: int = SESSION_PAUSE_MS) -> Behaviour:
    """The same events with sessions that end where their user pauses for longer than `pause_ms`.

    A pause is what comes after the user's latest event so far, so that a late event ends no session.
    """
    ranks, time = np.unique(of.time_ms, return_inverse=True)  # times and users together may need more than 64 bits
    latest_ms = ranks[np.maximum.accumulate(of.user * len(ranks) + time) - of.user * len(ranks)]
    pause = of.time_ms[1:] - latest_ms[:-1] > pause_ms
    new = np.append(True, (np.diff(of.user) != 0) | pause)[: len(of)]
    return dataclasses.replace(of, session=np.cumsum(new) - 1)


def renumber(codes: NDArray[np.integer], none: int = NONE) -> Ints:
    """The same codes without holes, in their order; NONE where they are `none`."""
    named = codes != none
    dense = np.full(len(codes), NONE, np.int64)
    dense[named] = np.unique(codes[named], return_inverse=True)[1]
    return dense
