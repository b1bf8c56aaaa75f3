"""A few real sessions to look at: drawn by chance, never chosen. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.evaluation.behaviour import NONE, Bools, Floats, Ints
from stream.evaluation.result import ScoredSession
from stream.evaluation.scored import NOT_SCORED, ScoredEvents, behaviour
from stream.events import ACTIONS

_EACH = 3  # sessions with a purchase, and as many without
_EVENTS = (6, 60)  # of fewer there is nothing to see, of more nothing can be seen
_PURCHASE = ACTIONS.index("purchase")


def draw(of: ScoredEvents, intent: Floats, evaluated: Bools, seed: int = 1) -> Sequence[ScoredSession]:
    """Some sessions whose events were all evaluated, but for purchases and refunds; those with a purchase first.

    `intent` [N, K] and `evaluated` [N] are those of all folds together.
    """
    session = behaviour(of).session
    order = np.argsort(session, kind="stable")
    order = order[session[order] != NONE]
    starts = np.flatnonzero(np.append(True, np.diff(session[order]) > 0)[: len(order)])
    if not len(starts):
        return []
    ends = np.append(starts[1:], len(order))
    action = of.raw["action"][order]
    bought = np.logical_or.reduceat(action == _PURCHASE, starts)
    # A session that begins with its purchase shows nothing
    begins = action[starts] != _PURCHASE
    scored = (evaluated[order] | np.isin(action, NOT_SCORED)) & ~np.isnan(intent[order]).any(axis=1)
    whole = np.logical_and.reduceat(scored, starts)
    fit = whole & begins & (ends - starts >= _EVENTS[0]) & (ends - starts <= _EVENTS[1])
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for kind in (fit & bought, fit & ~bought):
        candidates = np.flatnonzero(kind)
        drawn += rng.choice(candidates, min(_EACH, len(candidates)), replace=False).tolist()
    return [_session(of, intent, order[starts[one] : ends[one]]) for one in drawn]


def _session(of: ScoredEvents, intent: Floats, events: Ints) -> ScoredSession:
    time_ms = of.raw["time_ms"][events]
    return ScoredSession(
        minutes=(time_ms - time_ms[0]) / 60_000, action=of.raw["action"][events].astype(np.int64), intent=intent[events]
    )
