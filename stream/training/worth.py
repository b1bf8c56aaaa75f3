"""What each group of features is worth to a model: the cost of another event's in its place (Breiman 2001)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from stream.features import Features, Seen
from stream.model import BehaviourModel
from stream.training import judging, scoring
from stream.training.groups import EMBEDDED, GROUPS, REAL_GROUPS
from stream.training.recipe import Recipe
from stream.training.trainer import Material

_SEED = 1


def worth(model: BehaviourModel, of: Material, recipe: Recipe, device: torch.device) -> dict[str, dict[str, float]]:
    """Group -> what an event costs more, in nats of purchases, and in nats of what came next."""

    def cost(look: Callable[[Seen], Seen]) -> np.ndarray:
        scores = scoring.score(model, of.statistics, of.runs, device=device, look=look)
        return judging.cost(scores, of.targets, recipe) / len(of.runs)

    plain = cost(lambda seen: seen)
    found = {}
    for group in GROUPS:
        if group in ("item", "category") and getattr(model, group) is None:
            continue
        more = cost(_shuffling(group)) - plain
        found[group] = {"intent": _rounded(more[0]), "next_event": _rounded(more[1])}
    return found


def _rounded(nats: float) -> float:
    return round(float(nats), 5) + 0.0  # no -0.0


def _shuffling(group: str) -> Callable[[Seen], Seen]:
    rng = np.random.default_rng(_SEED)

    def look(seen: Seen) -> Seen:
        x = seen.features
        other = rng.permutation(len(x.real))
        if group in EMBEDDED:
            features = x._replace(**{group: getattr(x, group)[other]})
        else:
            real = x.real.copy()
            columns = list(REAL_GROUPS[group])
            real[:, columns] = real[other][:, columns]
            features = Features(x.action, x.item, x.category, real)
        return Seen(features, seen.classes, seen.high_ms, seen.memory)

    return look
