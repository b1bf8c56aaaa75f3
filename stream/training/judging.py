"""What a model costs on events that it has not learned from: the loss of training, from scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.scorer import Scores
from stream.training.calibration import Calibration
from stream.training.recipe import Recipe
from stream.training.targets import Targets

Doubles = NDArray[np.float64]


def cost(scores: Scores, of: Targets, recipe: Recipe) -> Doubles:
    """[3] the sums of `loss.PARTS` over all N events."""
    weight = of.weight(np.arange(len(of.bought))).astype(np.float64)
    intent = (weight * wrong(scores.intent, of.bought, recipe)).sum()
    nats = scores.surprise.sum(axis=1, dtype=np.float64)
    if of.normal is not None:
        nats = nats * of.normal
    fraud = 0.0
    if scores.fraud is not None and of.fraud is not None and of.fraud_known is not None:
        fraud = (of.fraud_known * wrong(scores.fraud, of.fraud, recipe)).sum()
    return np.array([recipe.intent_weight * intent, recipe.next_event_weight * nats.sum(), recipe.fraud_weight * fraud])


def calibrated_cost(scores: Sequence[Scores], told: Sequence[Targets], recipe: Recipe) -> Doubles:
    """[3] an event, over several parts together, of what they would say once calibrated on them.

    A model becomes too sure of itself long before it stops learning who buys sooner; calibration takes that back.
    """
    calibration = Calibration.learned(scores, told)
    costs = [cost(calibration.of(s), t, recipe) for s, t in zip(scores, told, strict=True)]
    return np.asarray(np.sum(costs, axis=0) / max(1, sum(len(t.bought) for t in told)))


def wrong(p: NDArray[np.float32], told: NDArray[np.bool_], recipe: Recipe) -> Doubles:
    """What each probability is off."""
    sure = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    if recipe.loss == "squared_error":
        return np.asarray((sure - told) ** 2)
    return np.asarray(-np.log(np.where(told, sure, 1 - sure)))
