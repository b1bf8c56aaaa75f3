"""How good probabilities are, from how many rows of each kind have each score. Pure.

Every figure is a function of a `Ladder`, and counts weighted rows: a user whom a bootstrap draws twice counts twice.
It is NaN where it is not defined. A ladder may stand for B of them at once, with counts of shape [B, G]; then each
figure is of shape [B].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.behaviour import Bools, Floats, Ints

ECE_BINS = 15  # of as many rows each; rows of one score are never parted
LIFT_SHARES = {"lift_1": 0.01, "lift_5": 0.05, "lift_10": 0.10}
# A probability nearer to 0 or 1 is taken as that near: float32's own limit, and no loss is infinite.
_LEAST = 1e-7

Weights = NDArray[np.integer] | NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Ladder:
    """G rungs from the highest score to the lowest, and how many rows with and without a purchase stand on each."""

    p: Floats  # [G] the score
    yes: Floats  # [G] or [B, G]
    no: Floats  # [G] or [B, G]
    bins: Ints  # [G] 0 to ECE_BINS - 1, ascending: the calibration bin

    @property
    def rows(self) -> Floats:
        """[G] or [B, G]."""
        return self.yes + self.no


def ladder(y: Bools, p: Floats, weight: Weights | None = None) -> Ladder:
    """The ladder of N rows with outcome `y` and score `p`, all distinct scores apart; `weight` is 1 unless said."""
    scores, rung = np.unique(-p, return_inverse=True)
    each = np.ones(len(p)) if weight is None else weight.astype(np.float64)
    yes: Floats = np.bincount(rung, each * y, len(scores)).astype(np.float64)
    no: Floats = np.bincount(rung, each * ~y, len(scores)).astype(np.float64)
    return Ladder(-scores, yes, no, equal_mass(yes + no))


def equal_mass(rows: Floats) -> Ints:
    """[G] the calibration bin of each rung: the one in which the middle of its rows lies."""
    middle = np.cumsum(rows) - rows / 2
    bins: Ints = np.minimum(ECE_BINS * middle / max(rows.sum(), 1), ECE_BINS - 1).astype(np.int64)
    return bins


def base_rate(of: Ladder) -> Floats:
    """The share of rows with a purchase to come."""
    return _per(of.yes.sum(-1), of.rows.sum(-1))


def roc_auc(of: Ladder) -> Floats:
    """How often a row with a purchase to come has the higher score of two; a tie counts half."""
    no = of.no.sum(-1, keepdims=True)
    below = no - np.cumsum(of.no, -1) + of.no / 2
    return _per((of.yes * below).sum(-1), of.yes.sum(-1) * no[..., 0])


def pr_auc(of: Ladder) -> Floats:
    """Average precision: the mean, over rows with a purchase to come, of the precision at their scores."""
    precision = _per(np.cumsum(of.yes, -1), np.cumsum(of.rows, -1))
    return _per((of.yes * np.nan_to_num(precision)).sum(-1), of.yes.sum(-1))


def log_loss(of: Ladder) -> Floats:
    """Mean nats."""
    p = np.clip(of.p, _LEAST, 1 - _LEAST)
    return _per(-(of.yes @ np.log(p) + of.no @ np.log1p(-p)), of.rows.sum(-1))


def brier(of: Ladder) -> Floats:
    """Mean squared error of the probabilities."""
    return _per(of.yes @ (1 - of.p) ** 2 + of.no @ of.p**2, of.rows.sum(-1))


def ece(of: Ladder) -> Floats:
    """Expected calibration error: by how much the mean score of a bin misses its share of purchases, over all rows."""
    starts = np.flatnonzero(np.append(True, np.diff(of.bins) > 0)[: len(of.bins)])
    missed = np.add.reduceat(of.yes - of.rows * of.p, starts, axis=-1)
    return _per(np.abs(missed).sum(-1), of.rows.sum(-1))


class Confusion(NamedTuple):
    """What came of the rows at or above a threshold, and below it."""

    true_yes: Floats
    false_yes: Floats
    false_no: Floats
    true_no: Floats


def at_threshold(of: Ladder, threshold: float) -> Confusion:
    """Rows of a score of `threshold` or more are taken for buyers."""
    above = of.p >= threshold
    yes, no = of.yes[..., above].sum(-1), of.no[..., above].sum(-1)
    return Confusion(yes, no, of.yes.sum(-1) - yes, of.no.sum(-1) - no)


def lift(of: Ladder, share: float) -> Floats:
    """How many times the base rate buys among this share of the rows, those of the highest scores.

    Where the share ends among rows of one score, these count as if drawn by chance.
    """
    reached, bought = np.cumsum(of.rows, -1), np.cumsum(of.yes, -1)
    wanted = share * reached[..., -1:]
    rung = np.minimum((reached < wanted).sum(-1, keepdims=True), reached.shape[-1] - 1)

    def at(column: Floats) -> Floats:
        return np.take_along_axis(column, rung, -1)

    over = (at(reached) - wanted) * _per(at(of.yes), at(of.rows))
    found = at(bought) - np.nan_to_num(over)
    return _per(found[..., 0], (wanted * _per(bought[..., -1:], reached[..., -1:]))[..., 0])


# All figures, by the names that reports and JSON use; higher is better but for the three that are errors.
FIGURES: Mapping[str, Callable[[Ladder], Floats]] = {
    "auc": roc_auc,
    "pr_auc": pr_auc,
    "log_loss": log_loss,
    "brier": brier,
    "ece": ece,
}
THRESHOLD_FIGURES: Mapping[str, Callable[[Confusion], Floats]] = {
    "accuracy": lambda of: _per(of.true_yes + of.true_no, of.true_yes + of.true_no + of.false_yes + of.false_no),
    "precision": lambda of: _per(of.true_yes, of.true_yes + of.false_yes),
    "recall": lambda of: _per(of.true_yes, of.true_yes + of.false_no),
    "f1": lambda of: _per(2 * of.true_yes, 2 * of.true_yes + of.false_yes + of.false_no),
}


def figures(of: Ladder, threshold: float) -> dict[str, Floats]:
    """Every figure, by name; those of `THRESHOLD_FIGURES` are at `threshold`."""
    confusion = at_threshold(of, threshold)
    return (
        {name: figure(of) for name, figure in FIGURES.items()}
        | {name: figure(confusion) for name, figure in THRESHOLD_FIGURES.items()}
        | {name: lift(of, share) for name, share in LIFT_SHARES.items()}
    )


def _per(of: Floats, by: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    return np.where(by > 0, of / np.where(by > 0, by, 1.0), np.nan)
