"""How long to learn, found on users that are held out: a share of many, or all of a few in turn.

Early stopping on one small share stops where chance has it (JData: after 1 to 4 epochs, where cross-validation says 11
to 14). So where there is little to learn from, a candidate per fold is trained, every epoch is judged on all of them
together, and the model itself learns from all users for as many epochs as was best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from stream.errors import SettingsError
from stream.model import BehaviourModel
from stream.scorer import Scores
from stream.training import judging, scoring, splits
from stream.training.recipe import Recipe
from stream.training.runs import Bools, Runs
from stream.training.trainer import Material, State, Trainer, with_weights

PATIENCE = 5  # epochs that are no better, before one believes that none will be


@dataclass(slots=True)
class Candidate:
    """A trainer, what it learns from, and whom it is judged by; both are seen with the same statistics."""

    trainer: Trainer
    material: Material
    held: Material
    best: State = field(default_factory=dict)  # averaged weights of the best epoch

    def best_model(self) -> BehaviourModel:
        return with_weights(self.trainer.model.sizes, self.best)

    def score(self, model: BehaviourModel, device: torch.device) -> Scores:
        """What a model says of those who are held out."""
        return scoring.score(model, self.held.statistics, self.held.runs, device=device)


@dataclass(slots=True)
class Epochs:
    """What each epoch of all candidates together cost those who were held out, once calibrated."""

    costs: list[tuple[float, ...]] = field(default_factory=list)  # of each of `loss.PARTS`, weighted nats an event

    @property
    def best(self) -> int:
        """The epoch, from 1, whose heads with labels cost least; 0: none yet.

        What came next is learned ever better, long after purchases are learned too well; it decides only where nothing
        else is learned.
        """
        labelled = [intent + fraud for intent, _, fraud in self.costs]
        totals = labelled if any(labelled) else [sum(cost) for cost in self.costs]
        return int(np.argmin(totals)) + 1 if self.costs else 0

    def over(self, recipe: Recipe) -> bool:
        """Whether no more are to come."""
        done = len(self.costs)
        if recipe.epochs:
            return done >= recipe.epochs
        return done >= recipe.max_epochs or done - self.best >= PATIENCE

    def judge(self, candidates: Sequence[Candidate], recipe: Recipe, device: torch.device) -> None:
        """Add the epoch that all candidates have just ended, and keep their weights if it is the best so far."""
        models = [candidate.trainer.averaged() for candidate in candidates]
        scores = [candidate.score(model, device) for candidate, model in zip(candidates, models, strict=True)]
        told = [candidate.held.targets for candidate in candidates]
        if not all(np.isfinite(s.intent).all() and np.isfinite(s.surprise).all() for s in scores):
            raise SettingsError(
                f"epoch {len(self.costs) + 1}: what the model says is no number any more; the learning rate, "
                f"{recipe.learning_rate:g}, is too large for these events"
            )
        self.costs.append(tuple(judging.calibrated_cost(scores, told, recipe).tolist()))
        if self.best == len(self.costs) or recipe.epochs:
            for candidate, model in zip(candidates, models, strict=True):
                candidate.best = dict(model.state_dict())


def parted(of: Runs, recipe: Recipe) -> list[tuple[Bools, Bools]]:
    """[U] masks (to learn from, held out): one, or as many as folds."""
    if recipe.epochs or len(of) >= recipe.fold_events:
        held = splits.held_out(of.user, recipe.validation_share, seed=recipe.seed)
        return [(~held, held)]
    fold = splits.folds(of.user, recipe.folds, seed=recipe.seed)
    return [(fold != k, fold == k) for k in range(recipe.folds)]
