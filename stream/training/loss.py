"""How wrong a model is in a lesson, head by head."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from stream.model import BehaviourModel
from stream.training.lessons import Lesson
from stream.training.recipe import Recipe
from stream.training.targets import Targets

PARTS = ("intent", "next_event", "fraud")


def loss(model: BehaviourModel, lesson: Lesson, of: Targets, carry: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """([3] sums over the events of the lesson, weighted; carry [U, P, L, H] after): `Scorer.score`, with gradients."""
    device, packing, events = carry.device, lesson.packing, lesson.events
    x = model.embed(*(torch.from_numpy(column).to(device) for column in lesson.seen.features))
    out, moved = model.advance(x, torch.from_numpy(packing.batch_sizes), carry)
    states = torch.cat([carry[:, 0, -1], out])
    before = torch.from_numpy(packing.before).to(device)
    nats = model.surprise(states[before], torch.from_numpy(lesson.seen.classes).to(device)).sum(dim=1)
    if of.normal is not None:
        nats = nats * torch.from_numpy(of.normal[events]).to(device)
    said = model.heads(out, x)
    bought = torch.from_numpy(of.bought[events]).to(device)
    intent = _wrong(said.intent, bought, torch.from_numpy(of.weight(events)).to(device), recipe)
    fraud = torch.zeros((), device=device)
    if said.fraud is not None and of.fraud is not None and of.fraud_known is not None:
        told, known = (torch.from_numpy(column[events]).to(device) for column in (of.fraud, of.fraud_known))
        fraud = _wrong(said.fraud, told, known.float(), recipe)
    weighted = (
        recipe.intent_weight * intent,
        recipe.next_event_weight * nats.sum(),
        recipe.fraud_weight * fraud,
    )
    return torch.stack(weighted), moved


def _wrong(logits: Tensor, told: Tensor, weight: Tensor, recipe: Recipe) -> Tensor:
    """Weighted sum of what each probability is off."""
    if recipe.loss == "squared_error":
        return (weight * (torch.sigmoid(logits) - told.float()) ** 2).sum()
    return binary_cross_entropy_with_logits(logits, told.float(), weight, reduction="sum")
