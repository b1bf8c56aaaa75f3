"""What is to be learned, from what, and from where on: all that a fit depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from stream.features import Statistics
from stream.model import BehaviourModel, Sizes
from stream.training import normalisation
from stream.training.loss import Loss, loss
from stream.training.recipe import Recipe
from stream.training.runs import Bools, Runs
from stream.training.targets import targets
from stream.training.trainer import Material, Trainer, new_model

_CPU = torch.device("cpu")


class Start(NamedTuple):
    """A model to go on from."""

    model: BehaviourModel
    statistics: Statistics


class Teacher(Protocol):
    """Who says beside the labels what is right, and sees events with statistics of its own."""

    statistics: Statistics
    told: dict[str, Any]  # which one, and how it teaches

    def loss(self, of: Runs) -> Loss: ...


@dataclass(frozen=True, slots=True)
class Task:
    """All that a fit depends on."""

    runs: Runs
    sizes: Sizes
    recipe: Recipe
    fraud_delay_ms: int = 0
    start: Start | None = None
    device: torch.device = _CPU
    teacher: Teacher | None = None
    folder: Path | None = None  # for what does not fit in memory; None: that of the system

    def material(self, users: Bools, statistics: Statistics | None = None) -> Material:
        """What these users [U] have to teach, as seen with these statistics, or with their own."""
        runs = self.runs if users.all() else self.runs.of_users(users, folder=self.folder)
        if statistics is None:
            known = self.start or self.teacher
            statistics = known.statistics if known else normalisation.learn(runs)
        return Material(runs, targets(runs, self.sizes, fraud_delay_ms=self.fraud_delay_ms), statistics)

    def trainer(self, material: Material) -> Trainer:
        """One that begins."""
        model = new_model(self.sizes, material.targets, seed=self.recipe.seed)
        if self.start is not None:
            model.load_state_dict(_fitting(self.start.model, model))
        return Trainer(model, self.recipe, self.device, self.teacher.loss(material.runs) if self.teacher else loss)


def _fitting(start: BehaviourModel, model: BehaviourModel) -> dict[str, torch.Tensor]:
    """Weights to begin with: those of a model to go on from; of its heads those that both have, and it has learned."""
    weights, of_start = model.state_dict(), start.state_dict()
    heads = [name for name in weights if name.startswith("intent")]
    for name, weight in of_start.items():
        if name not in heads and name in weights:  # without a fraud head it has nothing to give to one
            weights[name] = weight
    for place, horizon in enumerate(model.sizes.horizons):
        if horizon not in start.sizes.horizons:
            continue
        had = start.sizes.horizons.index(horizon)
        if any(of_start[name][had].any() for name in heads if name.endswith("weight")):
            for name in heads:
                weights[name][place] = of_start[name][had]
    return weights
