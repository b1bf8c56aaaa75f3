"""How good probabilities are on rows that were not learned from. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.events import ACTIONS, PURCHASE_NAMES
from stream.scorer import Scores
from stream.training.runs import Bools, Runs
from stream.training.targets import Targets

Doubles = NDArray[np.float64]

_BINS = 15  # of the calibration error: of as many rows each, as `evaluate` has them
_PURCHASES = [ACTIONS.index(name) for name in PURCHASE_NAMES]


class Figures(NamedTuple):
    """Of one head. NaN where the rows are all of one class, or where there are none."""

    rows: int
    auc: float  # how often a row with a yes has the higher probability of two; a tie counts half
    log_loss: float  # mean nats
    ece: float  # expected calibration error


def figures(p: NDArray[np.float32], told: Bools) -> Figures:
    """Of probabilities [N] and what came of them [N]."""
    yes = int(told.sum())
    if not 0 < yes < len(told):
        return Figures(len(told), np.nan, np.nan, np.nan)
    sure = p.astype(np.float64)
    _, rank, ties = np.unique(sure, return_inverse=True, return_counts=True)
    middle = np.cumsum(ties) - (ties - 1) / 2  # the mean rank of equal ones, from 1
    auc = (middle[rank[told]].sum() - yes * (yes + 1) / 2) / (yes * (len(told) - yes))
    bins = np.minimum(_BINS * (middle - 0.5) / len(told), _BINS - 1).astype(np.int64)[rank]
    missed = np.bincount(bins, told - sure, _BINS)
    return Figures(len(told), float(auc), float(nats(p, told).mean()), float(np.abs(missed).sum() / len(told)))


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


def mean_surprise(scores: Scores, targets: Targets) -> float:
    """Nats of what came next, where it is not known to be fraud."""
    total = scores.surprise.sum(axis=1, dtype=np.float64)
    return float((total if targets.normal is None else total[targets.normal]).mean())
