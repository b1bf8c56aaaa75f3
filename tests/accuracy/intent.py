"""Purchases to come: a model per round and seed, the mean over seeds, and the difference to the better baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stream.evaluation import words
from stream.evaluation.assembly import scored_events
from stream.evaluation.evaluate import evaluate
from stream.model import Sizes
from stream.training.fit import Task, fit
from stream.training.recipe import Recipe
from tests.accuracy.sets import IntentSet


def judge(of: IntentSet, seeds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Figures of every seed, and of their mean."""
    sizes = Sizes(hidden=64, horizons_secs=(of.horizon_secs,), session=False)
    by_seed = []
    for seed in range(1, seeds + 1):
        folds = []
        for number, one in enumerate(of.rounds, 1):
            say(f"seed {seed}, model {number} of {len(of.rounds)}")
            fitted = fit(Task(one.training, sizes, Recipe(seed=seed)))
            folds.append(scored_events(of.runs, fitted.model, fitted.statistics, one.part))
        # Baselines have no seed: what they say is the same for each
        found = words.as_object(evaluate(folds, say=say))
        by_seed.append(found)
        say(f"seed {seed}: {_headline(found)}")
    (horizon,) = by_seed[0]["horizons"]
    of_seeds = [found["horizons"][horizon] for found in by_seed]
    auc = [one["auc"] for one in of_seeds]
    best = max(of_seeds[0]["baselines"], key=lambda name: of_seeds[0]["baselines"][name]["auc"] or 0)
    return {
        "rows": by_seed[0]["rows"],
        "auc": round(float(np.mean(auc)), 4),
        "auc_spread": round(float(max(auc) - min(auc)), 4),
        "log_loss": round(float(np.mean([one["log_loss"] for one in of_seeds])), 4),
        "ece": round(float(np.mean([one["ece"] for one in of_seeds])), 4),
        "best_baseline": best,
        "baseline_auc": of_seeds[0]["baselines"][best]["auc"],
        "baseline_log_loss": of_seeds[0]["baselines"][best]["log_loss"],
        "difference": [one["difference"][best] for one in of_seeds],
    }


def _headline(found: dict[str, Any]) -> str:
    (figures,) = found["horizons"].values()
    return f"AUC {figures['auc']:.4f}, log loss {figures['log_loss']:.4f}"
