"""How wrong a model is in a lesson, head by head."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from stream.model import BehaviourModel, Heads
from stream.training.lessons import Lesson
from stream.training.recipe import Recipe
from stream.training.targets import Targets

PARTS = ("intent", "next_event", "fraud")

# (model, lesson, what there is to learn, carry [U, P, L, H], recipe) -> ([3] of PARTS, carry after)
Loss = Callable[[BehaviourModel, Lesson, Targets, Tensor, Recipe], tuple[Tensor, Tensor]]


class Said(NamedTuple):
    """What a model says in a lesson of n events of U users."""

    before: Tensor  # [n, H] its output before each event
    classes: Tensor  # [n, len(features.PARTS)] what came then
    heads: Heads  # after each
    carry: Tensor  # [U, P, L, H]


def say(model: BehaviourModel, lesson: Lesson, carry: Tensor) -> Said:
    """`Scorer.score`, with gradients."""
    device, packing = carry.device, lesson.packing
    x = model.embed(*(torch.from_numpy(column).to(device) for column in lesson.seen.features))
    # In half precision a gradient that goes back through many steps vanishes, and cuDNN knows no bfloat16 here
    with torch.autocast(device.type, enabled=False):
        out, moved = model.advance(x.float(), torch.from_numpy(packing.batch_sizes), carry)
    states = torch.cat([carry[:, 0, -1], out])
    before = states[torch.from_numpy(packing.before).to(device)]
    return Said(before, torch.from_numpy(lesson.seen.classes).to(device), model.heads(out, x), moved)


def loss(model: BehaviourModel, lesson: Lesson, of: Targets, carry: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """([3] sums over the events of the lesson, weighted; carry [U, P, L, H] after)."""
    said = say(model, lesson, carry)
    return cost(model, said, lesson, of, recipe), said.carry


def cost(model: BehaviourModel, said: Said, lesson: Lesson, of: Targets, recipe: Recipe) -> Tensor:
    """[3] sums over the events of the lesson, weighted: what was said beside what came."""
    device, events = said.before.device, lesson.events
    nats = model.surprise(said.before, said.classes).sum(dim=1)
    if of.normal is not None:
        nats = nats * torch.from_numpy(of.normal[events]).to(device)
    bought = torch.from_numpy(of.bought[events]).to(device)
    intent = _wrong(said.heads.intent, bought, torch.from_numpy(of.weight(events)).to(device), recipe)
    fraud = torch.zeros((), device=device)
    if said.heads.fraud is not None and of.fraud is not None and of.fraud_known is not None:
        told, known = (torch.from_numpy(column[events]).to(device) for column in (of.fraud, of.fraud_known))
        fraud = _wrong(said.heads.fraud, told, known.float(), recipe)
    return weighted(intent, nats.sum(), fraud, recipe)


def weighted(intent: Tensor, nats: Tensor, fraud: Tensor, recipe: Recipe) -> Tensor:
    """[3] of PARTS."""
    return torch.stack([recipe.intent_weight * intent, recipe.next_event_weight * nats, recipe.fraud_weight * fraud])


def _wrong(logits: Tensor, told: Tensor, weight: Tensor, recipe: Recipe) -> Tensor:
    """Weighted sum of what each probability is off."""
    if recipe.loss == "squared_error":
        return (weight * (torch.sigmoid(logits) - told.float()) ** 2).sum()
    return binary_cross_entropy_with_logits(logits, told.float(), weight, reduction="sum")
