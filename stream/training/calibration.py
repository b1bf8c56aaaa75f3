"""Logits of a model -> probabilities that come true as often as they say, by Platt's two numbers per head (1999).

They go into the weights of the heads, so that serving has nothing to do for it. The order of the scores stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stream.model import BehaviourModel

Doubles = NDArray[np.float64]

_ROUNDS = 50
_LEAST_STEP = 1e-9
_LEAST_SLOPE = 0.05  # a head that says nothing would be turned round by noise


class Platt(NamedTuple):
    """p = sigmoid(slope * logit + shift)."""

    slope: float = 1.0
    shift: float = 0.0


def platt(p: Doubles, told: NDArray[np.bool_], known: NDArray[np.bool_]) -> Platt:
    """The numbers for probabilities [N] and what came of them, where that is known; none where all are of one class."""
    p, told = p[known], told[known]
    yes, no = int(told.sum()), int((~told).sum())
    if not (yes and no):
        return Platt()
    logit = np.log(np.clip(p, 1e-7, 1 - 1e-7)) - np.log1p(-np.clip(p, 1e-7, 1 - 1e-7))
    target = np.where(told, (yes + 1) / (yes + 2), 1 / (no + 2))
    one = np.ones_like(logit)
    slope, shift = _cheapest(np.stack([logit, one], axis=1), np.array([1.0, 0.0]), 0 * logit, target)
    if slope < _LEAST_SLOPE:
        slope = _LEAST_SLOPE
        (shift,) = _cheapest(one[:, None], np.zeros(1), slope * logit, target)
    return Platt(round(float(slope), 6), round(float(shift), 6))


def _cheapest(design: Doubles, numbers: Doubles, beside: Doubles, target: Doubles) -> Doubles:
    """[k] by which `beside` + design [N, k] @ them says the targets [N] best, from some to begin with; Newton's way."""
    cost = _cross_entropy(beside + design @ numbers, target)
    for _ in range(_ROUNDS):
        now = 1 / (1 + np.exp(-np.clip(beside + design @ numbers, -35, 35)))
        gradient = design.T @ (target - now)
        curvature = (design * np.maximum(now * (1 - now), 1e-9)[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(numbers)), gradient)
        # A whole step runs away from where probabilities are nearly 0 or 1
        while (after := _cross_entropy(beside + design @ (numbers + step), target)) > cost:
            step /= 2
            if np.abs(step).max() < _LEAST_STEP:
                return numbers
        numbers, cost = numbers + step, after
        if np.abs(step).max() < _LEAST_STEP:
            break
    return numbers


def _cross_entropy(logit: Doubles, target: Doubles) -> float:
    return float((np.logaddexp(0, logit) - target * logit).sum())


def said(p: Doubles, numbers: Platt) -> Doubles:
    """Probabilities [N] as they are after calibration."""
    sure = np.clip(p, 1e-7, 1 - 1e-7)
    logit = numbers.slope * (np.log(sure) - np.log1p(-sure)) + numbers.shift
    return np.asarray(1 / (1 + np.exp(-logit)))


@torch.no_grad()
def calibrate(model: BehaviourModel, horizons: list[Platt], fraud: Platt | None) -> None:
    """Put the numbers of each head into its weights."""
    slope = torch.tensor([numbers.slope for numbers in horizons])
    model.intent.weight *= slope[:, None]
    model.intent_direct.weight *= slope[:, None]
    model.intent.bias.copy_(slope * model.intent.bias + torch.tensor([numbers.shift for numbers in horizons]))
    if model.fraud is not None and fraud is not None:
        model.fraud.weight *= fraud.slope
        model.fraud.bias.copy_(fraud.slope * model.fraud.bias + fraud.shift)
