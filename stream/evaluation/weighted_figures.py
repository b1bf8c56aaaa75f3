"""Figures of ranking and of alarms where each row has a weight, for many weightings at once. Pure.

    D  different rows           B  weightings

A bootstrap that draws rows again is a weighting: so a row that came a thousand times is sorted once. Drawn alike for
all methods, so that their differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stream.evaluation import metrics
from stream.evaluation.metrics import Ladder
from stream.evaluation.token_sequences import Bools, Floats, Ints

_CELLS = 1 << 21  # weights that are held at once: 16 MB, a few times


class Interval(NamedTuple):
    """A figure and where 95 % of its bootstrap lies. NaN: there is nothing to tell it from."""

    low: float
    mid: float
    high: float


def interval(mid: float, drawn: Floats) -> Interval:
    """`drawn` [B]; draws without a value are left out."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Interval(float("nan"), mid, float("nan"))
    low, high = np.percentile(known, [2.5, 97.5])
    return Interval(float(low), mid, float(high))


def draws(weight: Ints, times: int, seed: int) -> Iterator[Floats]:
    """Blocks [b, D] of weights, `times` in all: as many rows as there are, drawn again with replacement."""
    rng, rows = np.random.default_rng(seed), int(weight.sum())
    share = weight / rows
    step = max(1, _CELLS // len(weight))
    for start in range(0, times, step):
        yield rng.multinomial(rows, share, size=min(step, times - start)).astype(np.float64)


def threshold(normal: Floats, rate: float) -> float:
    """The least score of normal rows, held out of training, that at most `rate` of them are above."""
    ordered = np.sort(normal)
    above = int(rate * len(ordered) + 1e-9)  # .29 * 100 is 28.999...
    return float(ordered[len(ordered) - 1 - min(above, len(ordered) - 1)])


class Ranking:
    """D rows by score."""

    def __init__(self, label: Bools, score: Floats) -> None:
        self._order = np.argsort(score, kind="stable")
        self._yes = label[self._order]
        ordered = score[self._order]
        self._ties = np.flatnonzero(np.append(True, ordered[1:] > ordered[:-1]))  # where each different score begins

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """[B] of each, by name. `weights` [B, D]. NaN where a draw has rows of one kind only.

        `roc_auc`: how often an anomalous row has the higher score of two; a tie counts half. `pr_auc`: average
        precision, the mean of the precision over anomalous rows, each with its own score as the threshold.
        """
        ordered = weights[:, self._order]
        # [B, different scores] the weights of anomalous and of normal rows, by descending score
        yes = np.add.reduceat(ordered * self._yes, self._ties, axis=1)[:, ::-1]
        no = np.add.reduceat(ordered * ~self._yes, self._ties, axis=1)[:, ::-1]
        of = Ladder(np.arange(yes.shape[1], 0, -1.0), yes, no, np.zeros(yes.shape[1], np.int64))
        roc_auc = metrics.roc_auc(of)
        return {"roc_auc": roc_auc, "pr_auc": np.where(np.isnan(roc_auc), np.nan, metrics.pr_auc(of))}


class Alarms:
    """D rows, some of them with an alarm."""

    def __init__(self, label: Bools, alarm: Bools) -> None:
        self._kinds = np.stack([label & alarm, ~label & alarm, label, ~label], axis=1).astype(np.float64)

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """[B] of each, by name. `weights` [B, D]."""
        found, false, yes, no = (weights @ self._kinds).T
        return {
            "precision": _per(found, found + false),  # NaN without an alarm
            "recall": _per(found, yes),
            "f1": _per(2 * found, found + false + yes),
            "false_positive_rate": _per(false, no),
        }


def _per(of: Floats, by: Floats) -> Floats:
    return np.where(by > 0, of / np.maximum(by, 1e-300), np.nan)
