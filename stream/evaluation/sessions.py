"""A few real sessions to look at: drawn by chance, never chosen. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.evaluation.behaviour import NONE, Bools, Floats
from stream.evaluation.result import ScoredSession
from stream.evaluation.scored import ScoredEvents, behaviour
from stream.events import ACTIONS

_EACH = 3  # sessions with a purchase, and as many without
_EVENTS = (6, 60)  # of fewer there is nothing to see, of more nothing can be seen
_PURCHASE = ACTIONS.index("purchase")


def draw(of: ScoredEvents, intent: Floats, evaluated: Bools, seed: int = 1) -> Sequence[ScoredSession]:
    """Some sessions whose events were all evaluated, but for purchases and refunds; those with a purchase first.

    `intent` [N, K] and `evaluated` [N] are those of all folds together.
    """
    session = behaviour(of).session
    named = np.flatnonzero(session != NONE)
    session, order = session[named], named[np.argsort(session[named], kind="stable")]
    session = np.sort(session)
    starts = np.flatnonzero(np.append(True, np.diff(session) > 0)[: len(session)])
    if not len(starts):
        return []
    ends = np.append(starts[1:], len(session))
    bought = np.maximum.reduceat(of.raw["action"][order] == _PURCHASE, starts)
    # A session that begins with its purchase shows nothing
    late = of.raw["action"][order][starts] != _PURCHASE
    seen = np.isin(of.raw["action"], [_PURCHASE, ACTIONS.index("refund")]) | evaluated
    whole = np.minimum.reduceat(seen[order] & ~np.isnan(intent[order]).any(axis=1), starts)
    fit = whole & late & (ends - starts >= _EVENTS[0]) & (ends - starts <= _EVENTS[1])
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for kind in (fit & bought, fit & ~bought):
        candidates = np.flatnonzero(kind)
        drawn += rng.choice(candidates, min(_EACH, len(candidates)), replace=False).tolist()
    return [_session(of, intent, order[starts[one] : ends[one]]) for one in drawn]


def _session(
    of: ScoredEvents, intent: Floats, events: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> ScoredSession:
    time_ms = of.raw["time_ms"][events]
    return ScoredSession(
        minutes=(time_ms - time_ms[0]) / 60_000, action=of.raw["action"][events].astype(np.int64), intent=intent[events]
    )
