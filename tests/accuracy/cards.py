"""Simulated card payments with a customer's own history alone: the fraud head beside boosting on the same history."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.evaluation import boosting, regression
from stream.evaluation.feature_table import feature_table
from stream.evaluation.scored import behaviour_of
from stream.evaluation.weighted_figures import Ranking, draws, interval
from stream.model import Sizes
from stream.training import scoring
from stream.training.fit import fit
from stream.training.how import HIDDEN
from stream.training.recipe import Recipe
from stream.training.task import Task
from tests.accuracy import sets

Doubles = NDArray[np.float64]

_FALSE_POSITIVES = 0.01
_RESAMPLES = 500


def judge(seeds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """ROC-AUC and recall at 1 % false positives, and differences with 95 % intervals over customers."""
    with tempfile.TemporaryDirectory() as folder:
        of = sets.cards(Path(folder))
    runs, judged = of.runs, of.judged
    fraud = np.asarray(runs.fraud) == 1
    y, user = fraud[judged], runs.owner[judged]
    say(f"{judged.sum():,} payments are judged, {y.mean():.4%} of them fraud")
    scores = _baselines(of, say)
    ours = []
    for seed in range(1, seeds + 1):
        fitted = fit(Task(of.training, Sizes(hidden=HIDDEN, fraud=True), Recipe(seed=seed)))
        found = scoring.score(fitted.model, fitted.statistics, runs).fraud
        assert found is not None
        ours.append(found[judged].astype(np.float64))
        say(f"seed {seed}: {_figures(y, ours[-1])}")
    best = max(scores, key=lambda name: _figures(y, scores[name])["auc"])
    return {
        "rows": int(judged.sum()),
        "base_rate": round(float(y.mean()), 5),
        "seeds": [_figures(y, score) for score in ours],
        "baselines": {name: _figures(y, score) for name, score in scores.items()},
        "best_baseline": best,
        "difference": [{"auc": _difference(y, user, score, scores[best])} for score in ours],
    }


def _difference(y: NDArray[np.bool_], user: NDArray[np.int64], ours: Doubles, theirs: Doubles) -> dict[str, float]:
    """Of ROC-AUC, with 95 % over customers."""
    one, other = Ranking(y, ours), Ranking(y, theirs)
    everyone = np.ones((1, len(y)))
    mid = float(one.figures(everyone)["roc_auc"][0] - other.figures(everyone)["roc_auc"][0])
    drawn = [
        one.figures(block[:, user])["roc_auc"] - other.figures(block[:, user])["roc_auc"]
        for block in draws(np.ones(int(user.max()) + 1, np.int64), _RESAMPLES, 1)
    ]
    return interval(mid, np.concatenate(drawn))._asdict()


def _baselines(of: sets.Cards, say: Callable[[str], None]) -> dict[str, Doubles]:
    runs, judged = of.runs, of.judged
    first_ms, last_ms = int(of.training.raw["time_ms"].min()), int(of.training.raw["time_ms"].max())
    time_ms = runs.raw["time_ms"]
    learned = (time_ms >= first_ms) & (time_ms <= last_ms)
    table = feature_table(behaviour_of(runs.raw, runs.owner, np.asarray(runs.session)), learned | judged)
    y = np.asarray(runs.fraud) == 1
    rows, to_score = np.flatnonzero(learned), np.flatnonzero(judged)
    found = {}
    for name, learn in (("lightgbm", boosting.fit), ("logistic_regression", regression.fit)):
        say(f"{name} learns from {len(rows):,} payments")
        found[name] = learn(table.of(rows), y[rows], runs.owner[rows]).predict(table.of(to_score))
    return found


def _figures(y: NDArray[np.bool_], score: Doubles) -> dict[str, float]:
    ranking = Ranking(y, score).figures(np.ones((1, len(y))))
    cut = np.quantile(score[~y], 1 - _FALSE_POSITIVES)
    return {
        "auc": round(float(ranking["roc_auc"][0]), 4),
        "pr_auc": round(float(ranking["pr_auc"][0]), 4),
        "recall_at_1_percent_false_positives": round(float((score[y] > cut).mean()), 4),
    }
