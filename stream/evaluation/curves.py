"""A ladder -> the points of its curves, as many as can be seen. Pure."""

from __future__ import annotations

import numpy as np

from stream.evaluation import metrics
from stream.evaluation.behaviour import Floats, Ints
from stream.evaluation.metrics import Ladder
from stream.evaluation.result import Curves

_POINTS = 300
_LEAST_SHARE = 1e-3  # of the rows that a lift is shown for


def curves(of: Ladder) -> Curves:
    """All curves of a ladder that has rows of both kinds."""
    yes, no = np.append(0.0, np.cumsum(of.yes)), np.append(0.0, np.cumsum(of.no))
    recall, false_alarms = yes / yes[-1], no / no[-1]
    at = _thinned(recall + false_alarms)
    from_first = at[at > 0]  # of no rows there is no precision
    starts = np.flatnonzero(np.append(True, np.diff(of.bins) > 0))
    rows = np.add.reduceat(of.rows, starts)
    shares = np.geomspace(max(_LEAST_SHARE, 1 / of.rows.sum()), 1, _POINTS // 3)
    return Curves(
        roc=(false_alarms[at], recall[at]),
        pr=(recall[from_first], yes[from_first] / (yes + no)[from_first]),
        reliability=(np.add.reduceat(of.rows * of.p, starts) / rows, np.add.reduceat(of.yes, starts) / rows),
        lift=(shares, np.array([float(metrics.lift(of, float(share))) for share in shares])),
    )


def _thinned(along: Floats) -> Ints:
    """Places of at most `_POINTS` points about as far from each other, the first and the last among them."""
    at = np.searchsorted(along, np.linspace(along[0], along[-1], _POINTS)).clip(max=len(along) - 1)
    return np.unique(np.append(at, [0, len(along) - 1]))
