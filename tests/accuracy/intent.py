"""Purchases to come: a model per round and seed, the mean over seeds, and the difference to the better baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stream.evaluation import words
from stream.evaluation.assembly import scored_events
from stream.evaluation.evaluate import evaluate
from stream.model import Sizes
from stream.training.fit import fit
from stream.training.how import HIDDEN
from stream.training.recipe import Recipe
from stream.training.task import Task
from tests.accuracy.sets import IntentSet


def judge(of: IntentSet, seeds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Of the horizon and of the session: figures of the mean over seeds, and the differences of each seed."""
    sizes = Sizes(hidden=HIDDEN, horizons_secs=(of.horizon_secs,))
    by_seed = []
    for seed in range(1, seeds + 1):
        folds = []
        for number, one in enumerate(of.rounds, 1):
            say(f"seed {seed}, model {number} of {len(of.rounds)}")
            fitted = fit(Task(one.training, sizes, Recipe(seed=seed)))
            say(f"{fitted.story['epochs']} epochs")
            folds.append(scored_events(of.runs, fitted.model, fitted.statistics, one.part))
        # Baselines have no seed: what they say is the same for each
        found = words.as_object(evaluate(folds, say=say))["horizons"]
        by_seed.append(found)
        say(f"seed {seed}: " + "; ".join(_headline(name, found[name]) for name in sizes.horizons))
    return {name: _over_seeds([found[name] for found in by_seed]) for name in sizes.horizons}


def _over_seeds(found: list[dict[str, Any]]) -> dict[str, Any]:
    baselines = found[0]["baselines"]
    best = max(baselines, key=lambda name: baselines[name]["auc"] or 0)
    auc = [one["auc"] for one in found]
    return {
        "rows": found[0]["rows"],
        "base_log_loss": found[0]["base_log_loss"],
        "auc": round(float(np.mean(auc)), 4),
        "auc_of_seeds": [round(one, 4) for one in auc],
        "log_loss": round(float(np.mean([one["log_loss"] for one in found])), 4),
        "ece": round(float(np.mean([one["ece"] for one in found])), 4),
        "best_baseline": best,
        "baselines": {name: {key: of[key] for key in ("auc", "log_loss")} for name, of in baselines.items()},
        "difference": [one["difference"][best] for one in found],
    }


def _headline(horizon: str, figures: dict[str, Any]) -> str:
    return f"{horizon}: AUC {figures['auc']:.4f}, log loss {figures['log_loss']:.4f}"
