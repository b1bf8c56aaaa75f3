"""The loop: lessons through a model until an epoch is over, and again; interrupted anywhere, it goes on bit for bit.

What is kept of the weights is their exponential moving average (Polyak and Juditsky 1992): with a constant learning
rate it is at every epoch what a falling one would be at its last, so that any epoch may be the last.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream.features import Statistics
from stream.model import BehaviourModel, Sizes
from stream.training.groups import silence
from stream.training.lessons import Draw, Lesson, Plan, lessons
from stream.training.loss import PARTS, Loss, loss
from stream.training.recipe import Augmentation, Recipe
from stream.training.runs import Runs
from stream.training.targets import Targets

_CLIP = 1.0  # largest norm of a gradient, so that no odd lesson undoes what many have taught
_WARM_UP = 20  # updates until the learning rate is what the recipe says
# An embedding drawn from N(0, 1) lets what training never met speak as loudly as anything else.
_HASHED_STD = 0.05

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Material:
    """What there is to learn from."""

    runs: Runs
    targets: Targets
    statistics: Statistics


class Moved(NamedTuple):
    """How far an epoch is, and what it cost so far."""

    events: int
    cost: NDArray[np.float64]  # of each of `loss.PARTS`, in weighted nats an event


class Trainer:
    """A model on its way. `run_epoch` moves it on; `averaged` is what it would be if this were the end."""

    def __init__(self, model: BehaviourModel, recipe: Recipe, device: torch.device, of: Loss = loss) -> None:
        silence(model, recipe.drop)
        self.model, self._recipe, self._device, self._loss = model.to(device), recipe, device, of
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=False
        )
        self._average = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
        self._counters = torch.zeros(4, dtype=torch.int64)  # epochs, updates; lessons and events of this epoch
        self._cost = torch.zeros(len(PARTS), dtype=torch.float64)  # of this epoch
        self._carry = torch.zeros(0)  # [lanes, P, L, H]; empty between epochs

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return int(self._counters[0])

    def run_epoch(self, of: Material, told: Callable[[Moved], None] = lambda moved: None) -> Moved:
        """Once through the material, or on through the rest of it; `told` is called after every update."""
        recipe, sizes, counts = self._recipe, self.model.sizes, of.runs.counts
        rng = np.random.default_rng((recipe.seed, self.epoch))
        plan = Plan(rng.permutation(len(counts)), lanes_for(len(of.runs), recipe), recipe.steps)
        some = recipe.augmentation != Augmentation()
        draw = Draw(recipe.augmentation, (recipe.seed, self.epoch, 1)) if some else None
        if not len(self._carry):
            self._carry = torch.zeros(plan.lanes, sizes.parts, sizes.layers, sizes.hidden, device=self._device)
        self.model.train()
        done = int(self._counters[2])
        for number, lesson in enumerate(lessons(of.runs, plan, of.statistics, draw)):
            if number < done:  # gone through again for what features need of the past, at a tenth of the cost
                continue
            self._cost += self._update(lesson, of.targets, plan)
            self._counters += torch.tensor([0, 1, 1, len(lesson.events)])
            told(self._moved())
        moved = self._moved()
        self._counters[0] += 1
        self._counters[2:] = 0
        self._cost.zero_()
        self._carry = torch.zeros(0)
        return moved

    def averaged(self) -> BehaviourModel:
        """A copy with the averaged weights, to score with."""
        return with_weights(self.model.sizes, self._average)

    def state(self) -> State:
        """All that the rest of the run depends on."""
        moments = self._optimizer.state_dict()["state"]
        named = {
            "model": self.model.state_dict(),
            "average": self._average,
            "loop": {"counters": self._counters, "cost": self._cost, "carry": self._carry},
            **{f"moments.{i}": tensors for i, tensors in moments.items()},
        }
        return {
            f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
            for group, tensors in named.items()
            for name, tensor in tensors.items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        groups: dict[str, State] = {}
        for path, tensor in state.items():
            group, name = path.split("/", 1)
            groups.setdefault(group, {})[name] = tensor
        self.model.load_state_dict(groups["model"])
        self._average = {name: weight.to(self._device) for name, weight in groups["average"].items()}
        loop = groups["loop"]
        self._counters, self._cost, self._carry = loop["counters"], loop["cost"], loop["carry"].to(self._device)
        written = self._optimizer.state_dict()
        written["state"] = {
            int(group.removeprefix("moments.")): tensors
            for group, tensors in groups.items()
            if group.startswith("moments.")
        }
        self._optimizer.load_state_dict(written)

    def _moved(self) -> Moved:
        events = int(self._counters[3])
        return Moved(events, (self._cost / max(events, 1)).numpy())

    def _update(self, lesson: Lesson, targets: Targets, plan: Plan) -> Tensor:
        updates = int(self._counters[1])
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * min(1.0, (updates + 1) / _WARM_UP)
        users = torch.from_numpy(lesson.packing.users).to(self._device)
        self._carry[torch.from_numpy(lesson.fresh).to(self._device)] = 0.0
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            costs, moved = self._loss(self.model, lesson, targets, self._carry[users], self._recipe)
        self._carry[users] = moved.detach().float()
        self._optimizer.zero_grad()
        # A fixed divisor: the few events of an epoch's last lessons count each as much as any other.
        torch.autograd.backward(costs.sum() / (plan.lanes * plan.steps))
        nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self._optimizer.step()
        silence(self.model, self._recipe.drop)
        # At first the average is of few: what it was drawn as must not stay in it.
        keep = min(self._recipe.average, (updates + 1) / (updates + 11))
        for name, weight in self.model.state_dict().items():
            self._average[name].lerp_(weight, 1 - keep)
        return costs.detach().cpu().double()


def lanes_for(events: int, recipe: Recipe) -> int:
    """Fewer lanes where there is little to learn from: an epoch is to have some updates."""
    return max(1, min(recipe.lanes, math.ceil(events / (recipe.steps * recipe.updates))))


def new_model(sizes: Sizes, targets: Targets, *, seed: int) -> BehaviourModel:
    """A model that knows nothing but how often each horizon comes true; a seed gives the same, whatever came before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BehaviourModel(sizes)
        for embedding in (model.item, model.category):
            if embedding is not None:
                nn.init.normal_(embedding.weight, std=_HASHED_STD)
    # What the network carries has to earn its say: drawn at random it would be noise at first (CHANGELOG)
    nn.init.zeros_(model.intent.weight)
    if model.fraud is not None:
        nn.init.zeros_(model.fraud.weight)
    rates = torch.tensor([(told.yes + 0.5) / (told.yes + told.no + 1) for told in targets.counts])
    with torch.no_grad():
        model.intent.bias.copy_(torch.logit(rates))
        if model.fraud is not None and targets.fraud is not None and targets.fraud_known is not None:
            known = targets.fraud[targets.fraud_known]
            model.fraud.bias.fill_(float(np.log((known.sum() + 0.5) / ((~known).sum() + 0.5))))
    return model


def with_weights(sizes: Sizes, weights: Mapping[str, Tensor]) -> BehaviourModel:
    """A model of these weights, a copy, on the CPU."""
    model = BehaviourModel(sizes)
    model.load_state_dict({name: weight.cpu() for name, weight in weights.items()})
    return model.eval()


@contextlib.contextmanager
def reproducible() -> Iterator[None]:
    """One thread: sums in parallel have no fixed order. What is drawn is drawn by the recipe's seed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
