"""What a team would use instead, trained on the same events: base rate, logistic regression, LightGBM.

Each learns from the training events of the fold whose evaluated events it then scores, a horizon at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.evaluation import boosting, regression
from stream.evaluation.behaviour import Bools, Floats, Ints
from stream.evaluation.feature_table import feature_table
from stream.evaluation.scored import ScoredEvents, behaviour
from stream.evaluation.user_folds import some_users

Say = Callable[[str], None]

BASE_RATE = "base_rate"
INSTALL = "pip install 'behaviour-stream[evaluate]'"
# Of whole users. At these the features take 100 MB, and learning some minutes for each horizon.
_MOST_ROWS = 150_000
_ROWS_AT_ONCE = 50_000  # whose features are copied for a prediction


class Fitted(Protocol):
    """A model of features."""

    def predict(self, x: NDArray[Any]) -> Floats: ...

    @property
    def said(self) -> str: ...


class Fit(Protocol):
    """Learns from rows [N, F] with outcome [N]; with `user` [N], settings are chosen by cross-validation over users."""

    def __call__(self, x: NDArray[Any], y: Bools, user: Ints | None = None) -> Fitted: ...


# name -> (the package that it needs, how it is called in words, how it learns)
LEARNED: Mapping[str, tuple[str, str, Fit]] = {
    "logistic_regression": ("sklearn", "logistic regression", regression.fit),
    "lightgbm": ("lightgbm", "LightGBM", boosting.fit),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Baselines:
    """What the baselines said of N events; NaN where they said nothing."""

    scores: Mapping[str, Floats]  # name -> [N, K]
    base_rates: Floats  # [K] of the training events, the mean over folds; NaN: there were none
    notes: Sequence[str]  # what was left out and why, and how each was made


def learn(folds: Sequence[ScoredEvents], say: Say, *, only_base_rate: bool = False) -> Baselines:
    """Fit every baseline to each fold. Raises nothing for what cannot be learned: a note says it."""
    first = folds[0]
    names = [BASE_RATE]
    notes: list[str] = []
    for name, (package, words, _) in LEARNED.items():
        if only_base_rate:
            continue
        if find_spec(package) is None:
            notes.append(f"Without {words}, which is not installed: {INSTALL}")
        else:
            names.append(name)
    scores = {name: np.full(first.bought.shape, np.nan) for name in names}
    rates = np.full((len(folds), len(first.horizons)), np.nan)
    drawn = [_drawn(fold, notes) for fold in folds]
    table = None
    if len(names) > 1:
        wanted = np.any([learning | fold.evaluated for learning, fold in zip(drawn, folds, strict=True)], axis=0)
        say(f"Making running features of {int(wanted.sum()):,} events.")
        table = feature_table(behaviour(first), wanted)
    for place, (fold, learning) in enumerate(zip(folds, drawn, strict=True)):
        judged = np.flatnonzero(fold.evaluated)
        for k, horizon in enumerate(fold.horizons):
            known = fold.learnable & fold.training_known[:, k]
            if known.any():
                rates[place, k] = fold.bought[known, k].mean()
                scores[BASE_RATE][judged, k] = rates[place, k]
            rows = np.flatnonzero(learning & known)
            of_fold = f"{horizon}, fold {place + 1} of {len(folds)}" if len(folds) > 1 else horizon
            yes = int(fold.bought[rows, k].sum())
            if not 0 < yes < len(rows):
                notes.append(f"{of_fold}: {yes:,} of {len(rows):,} events to learn from have a purchase to come: only "
                             "the base rate could be learned.")  # fmt: skip
                continue
            for name in names[1:]:
                assert table is not None
                _, words, fit = LEARNED[name]
                say(f"{of_fold}: {words} learns from {len(rows):,} events.")
                model = fit(table.of(rows), fold.bought[rows, k], fold.user[rows])
                for some in np.array_split(judged, 1 + len(judged) // _ROWS_AT_ONCE):
                    scores[name][some, k] = model.predict(table.of(some))
                notes.append(f"{of_fold}: {words} with {model.said}, from {len(rows):,} events.")
    known_rates = ~np.isnan(rates)
    mean = np.where(known_rates.any(0), np.nansum(rates, 0) / np.maximum(known_rates.sum(0), 1), np.nan)
    return Baselines(scores, mean, tuple(dict.fromkeys(notes)))


def _drawn(fold: ScoredEvents, notes: list[str]) -> Bools:
    """[N] the events to learn from: all, or those of as many users as there is room for."""
    learnable = fold.learnable
    rows = np.flatnonzero(learnable)
    kept = some_users(fold.user[rows], _MOST_ROWS)
    if not kept.all():
        notes.append(
            f"Baselines learn from {int(kept.sum()):,} of {len(rows):,} events, those of users drawn by chance."
        )
    learning = np.zeros(len(learnable), bool)
    learning[rows[kept]] = True
    return learning
