"""How good the heads of a model are on runs that it has not learned from, by the figures of `evaluate`. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.evaluation import metrics
from stream.events import ACTIONS, PURCHASE_NAMES
from stream.scorer import Scores
from stream.training.runs import Bools, Runs
from stream.training.targets import Targets

Doubles = NDArray[np.float64]

_PURCHASES = [ACTIONS.index(name) for name in PURCHASE_NAMES]


class Figures(NamedTuple):
    """Of one head. NaN where the rows are all of one class, or where there are none."""

    rows: int
    auc: float
    log_loss: float  # mean nats
    ece: float  # expected calibration error


def figures(p: NDArray[np.float32], told: Bools) -> Figures:
    """Of probabilities [N] and what came of them [N]."""
    if not 0 < told.sum() < len(told):
        return Figures(len(told), np.nan, np.nan, np.nan)
    of = metrics.ladder(told, p.astype(np.float64))
    return Figures(len(told), *(float(figure(of)) for figure in (metrics.roc_auc, metrics.log_loss, metrics.ece)))


def nats(p: NDArray[np.float32], told: Bools) -> Doubles:
    """What each probability costs."""
    sure = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(-np.log(np.where(told, sure, 1 - sure)))


def judged(of: Runs, targets: Targets) -> Bools:
    """[N, K] the rows of each horizon: its label is known, and the event is no purchase itself."""
    return targets.known & ~np.isin(of.raw["action"], _PURCHASES)[:, None]


def of_horizons(scores: Scores, of: Runs, targets: Targets) -> list[Figures]:
    """[K]."""
    rows = judged(of, targets)
    return [figures(scores.intent[r, k], targets.bought[r, k]) for k, r in enumerate(rows.T)]


def surprise(scores: Scores, targets: Targets) -> Doubles:
    """Nats of what came next, of each event that is not known to be fraud."""
    total: Doubles = scores.surprise.sum(axis=1, dtype=np.float64)
    return total if targets.normal is None else total[targets.normal]
