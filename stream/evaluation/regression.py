"""Logistic regression as those who know it write it: signed logs, standardised, missing values told apart, ridge by CV.

Needs scikit-learn (`pip install 'behaviour-stream[evaluate]'`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.behaviour import Bools, Floats, Ints
from stream.evaluation.user_folds import ROWS_TO_CHOOSE, simplest, some_users, user_folds

# scikit-learn's C, the inverse of the ridge: from all but the base rate to next to none.
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1)
STRENGTH = 1e-3  # where there is nothing to choose by: best of these on recordings of 14,000 and 43,000 rows
_LEAST_SPREAD = 1e-6  # of less, a column is one number and its rounding


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """How features become columns of a regression: learned from the training rows alone."""

    mean: Floats  # [F] of signed logs
    spread: Floats  # [F]; 0: the column says nothing
    gaps: Ints  # the features whose absence gets a column

    @classmethod
    def of(cls, x: NDArray[Any]) -> Scale:
        """The scale of training rows [N, F]."""
        mean, spread, gaps, seen = np.zeros(x.shape[1]), np.zeros(x.shape[1]), [], set()
        for at in range(x.shape[1]):  # by column: a table of logs beside the table would double the memory
            column = x[:, at]
            missing = np.isnan(column)
            logs = _signed_log(column[~missing].astype(np.float64))
            if len(logs):
                mean[at], spread[at] = logs.mean(), logs.std()
            # Features of one kind are missing together: one column for all of them
            pattern = missing.tobytes()
            if missing.any() and not missing.all() and pattern not in seen:
                seen.add(pattern)
                gaps.append(at)
        spread[spread < _LEAST_SPREAD] = 0.0
        return cls(mean, spread, np.array(gaps, np.int64))

    def columns(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """[N, columns] of rows [N, F]: zero is the mean, which missing values get."""
        telling = np.flatnonzero(self.spread)
        made = np.empty((len(x), len(telling) + len(self.gaps)), np.float32)
        for to, at in enumerate(telling):
            made[:, to] = np.nan_to_num((_signed_log(x[:, at]) - self.mean[at]) / self.spread[at])
        made[:, len(telling) :] = np.isnan(x[:, self.gaps])
        return made


@dataclasses.dataclass(frozen=True, slots=True)
class Regression:
    """A fitted logistic regression."""

    scale: Scale
    strength: float
    weights: Floats  # [columns]
    bias: float

    def predict(self, x: NDArray[Any]) -> Floats:
        """[N] probabilities of rows [N, F]."""
        score = self.scale.columns(x) @ self.weights + self.bias
        return np.asarray(1 / (1 + np.exp(-np.clip(score, -30, 30))))

    @property
    def said(self) -> str:
        """How it was made, in words."""
        return f"ridge C = {self.strength:g}, {len(self.weights)} columns"


def fit(x: NDArray[Any], y: Bools, user: Ints | None = None, *, strengths: Sequence[float] = STRENGTHS) -> Regression:
    """Fit to rows [N, F] with outcome [N]; with `user` [N] the strength is chosen by cross-validation over users."""
    scale = Scale.of(x)
    columns = scale.columns(x)
    strength = STRENGTH if user is None else _chosen(columns, y, user, strengths)
    model = _model(strength).fit(columns, y)
    return Regression(scale, strength, np.asarray(model.coef_[0], np.float64), float(model.intercept_[0]))


def _chosen(columns: NDArray[np.float32], y: Bools, user: Ints, strengths: Sequence[float]) -> float:
    some = np.flatnonzero(some_users(user, ROWS_TO_CHOOSE))
    folds = user_folds(y[some], user[some])
    if len(folds) < 2:
        return STRENGTH
    losses = np.empty((len(strengths), len(folds)))
    for at, (learn, judge) in enumerate(folds):
        learned, judged = columns[some[learn]], some[judge]
        for place, strength in enumerate(strengths):
            log_p = _model(strength).fit(learned, y[some[learn]]).predict_log_proba(columns[judged])
            losses[place, at] = -log_p[np.arange(len(judged)), y[judged].astype(int)].mean()
    return strengths[simplest(losses)]


def _model(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    # Newton's method: some steps whatever the data, where others crawl along columns that say nearly the same
    return LogisticRegression(C=strength, solver="newton-cholesky", max_iter=100)


def _signed_log(of: Floats) -> Floats:
    """Counts, seconds and amounts have long tails; what is 0 or 1 stays what it is but for a factor."""
    return np.sign(of) * np.log1p(np.abs(of))
