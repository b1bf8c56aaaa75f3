"""Gradient boosting as those who know it write it: LightGBM, its trees' size and number by cross-validation over users.

NaN goes to the side of a split where it does best. Needs LightGBM (`pip install 'behaviour-stream[evaluate]'`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.evaluation import metrics
from stream.evaluation.behaviour import Bools, Floats, Ints
from stream.evaluation.user_folds import ROWS_TO_CHOOSE, Fold, simplest, some_users, user_folds

_ALWAYS: Mapping[str, Any] = {
    "objective": "binary", "metric": "binary_logloss", "learning_rate": 0.05, "bagging_fraction": 0.7,
    "bagging_freq": 1, "max_bin": 127, "feature_pre_filter": False, "seed": 1, "deterministic": True, "verbosity": -1,
    "force_col_wise": True,  # half the time of rows where a tree looks at some of the columns
    "num_threads": 1,  # they wait for each other on a busy machine: 37 s instead of 1 s
}  # fmt: skip
# From stumps, which win on a few thousand users, to what a large shop's events can fill.
SHAPES: Sequence[Mapping[str, Any]] = (
    {"num_leaves": 3, "min_data_in_leaf": 400, "feature_fraction": 0.2, "lambda_l2": 10.0},
    {"num_leaves": 4, "min_data_in_leaf": 100, "feature_fraction": 0.3, "lambda_l2": 10.0},
    {"num_leaves": 8, "min_data_in_leaf": 100, "feature_fraction": 0.5, "lambda_l2": 10.0},
    {"num_leaves": 31, "min_data_in_leaf": 100, "feature_fraction": 0.3, "lambda_l2": 10.0},
)
SHAPE, ROUNDS = SHAPES[2], 100  # where there is nothing to choose by
_MOST_ROUNDS, _PATIENCE = 1_000, 40


@dataclasses.dataclass(frozen=True, slots=True)
class Boosting:
    """A fitted LightGBM."""

    booster: Any
    shape: Mapping[str, Any]
    rounds: int

    def predict(self, x: NDArray[Any]) -> Floats:
        """[N] probabilities of rows [N, F]."""
        return np.asarray(self.booster.predict(x), np.float64)

    @property
    def said(self) -> str:
        """How it was made, in words."""
        return f"{self.rounds} trees of {self.shape['num_leaves']} leaves"


def fit(
    x: NDArray[Any], y: Bools, user: Ints | None = None, *, shapes: Sequence[Mapping[str, Any]] = SHAPES
) -> Boosting:
    """Fit to rows [N, F] with outcome [N]; with `user` [N] shape and number of trees are chosen by cross-validation."""
    import lightgbm

    shape, rounds = (SHAPE, ROUNDS) if user is None else _chosen(x, y, user, shapes)
    booster = lightgbm.train({**_ALWAYS, **shape}, _rows(x, y), num_boost_round=rounds)
    return Boosting(booster, shape, rounds)


def _chosen(
    x: NDArray[Any], y: Bools, user: Ints, shapes: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], int]:
    some = some_users(user, ROWS_TO_CHOOSE)
    folds = user_folds(y[some], user[some])
    if len(folds) < 2:
        return SHAPE, ROUNDS
    tried = [_cross_validated(x[some], y[some], folds, shape) for shape in shapes]
    chosen = simplest(np.array([losses for losses, _ in tried]))
    if some.all():
        return shapes[chosen], tried[chosen][1]
    # Of so many rows a fifth is enough to judge by, and all five folds would take minutes
    return shapes[chosen], _cross_validated(x, y, user_folds(y, user)[:1], shapes[chosen])[1]


def _cross_validated(
    x: NDArray[Any], y: Bools, folds: Sequence[Fold], shape: Mapping[str, Any]
) -> tuple[list[float], int]:
    """(log loss of each fold, rounds) at the number of rounds where their mean is least."""
    import lightgbm

    went: dict[str, Any] = lightgbm.cv(
        {**_ALWAYS, **shape},
        _rows(x, y),
        num_boost_round=_MOST_ROUNDS,
        folds=folds,
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        return_cvbooster=True,
    )
    rounds = len(went["valid binary_logloss-mean"])  # LightGBM cuts it at the best
    boosters = went["cvbooster"]
    predicted = [
        one.predict(x[judge], num_iteration=rounds) for one, (_, judge) in zip(boosters.boosters, folds, strict=True)
    ]
    return [
        float(metrics.log_loss(metrics.ladder(y[judge], p))) for p, (_, judge) in zip(predicted, folds, strict=True)
    ], rounds


def _rows(x: NDArray[Any], y: Bools) -> Any:
    import lightgbm

    return lightgbm.Dataset(x, y.astype(np.float64), params={"verbosity": -1})
