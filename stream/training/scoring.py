"""Runs -> scores of every event, by the scorer that serves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from stream import kernels
from stream.features import PARTS, Seen, Statistics
from stream.model import BehaviourModel
from stream.scorer import Scores
from stream.training.lessons import Plan, lessons
from stream.training.runs import Runs

Floats = NDArray[np.float32]

_CPU = torch.device("cpu")
LANES, STEPS = 1024, 64


def score(
    model: BehaviourModel,
    statistics: Statistics,
    of: Runs,
    *,
    device: torch.device = _CPU,
    look: Callable[[Seen], Seen] = lambda seen: seen,
    told: Callable[[int], None] = lambda events: None,
) -> Scores:
    """Scores of all N events in the order of the runs, every user from no carry at all.

    `look` may change what the model sees; `told` is called with how many events are scored.
    """
    n, sizes = len(of), model.sizes
    intent = np.empty((n, len(sizes.horizons)), np.float32)
    surprise = np.empty((n, len(PARTS)), np.float32)
    fraud = np.empty(n, np.float32) if sizes.fraud else None
    scorer = kernels.pick("auto").scorer(model, device)
    carry = torch.zeros(LANES, sizes.parts, sizes.layers, sizes.hidden, device=device)
    done = 0
    for packing, events, fresh, seen in lessons(of, Plan(np.arange(len(of.counts)), LANES, STEPS), statistics):
        carry[torch.from_numpy(fresh).to(device)] = 0.0
        users = torch.from_numpy(packing.users).to(device)
        scores, carry[users] = scorer.score(look(seen), packing, carry[users])
        intent[events], surprise[events] = scores.intent, scores.surprise
        if fraud is not None and scores.fraud is not None:
            fraud[events] = scores.fraud
        done += len(events)
        told(done)
    return Scores(intent, surprise, fraud)
