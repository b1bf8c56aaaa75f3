"""Logits of a model -> probabilities that come true as often as they say, by Platt's two numbers per head (1999).

They go into the weights of the heads, so that serving has nothing to do for it. The order of the scores stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stream.model import BehaviourModel
from stream.scorer import Scores
from stream.training.targets import Targets

Doubles = NDArray[np.float64]

_ROUNDS = 50
_LEAST_STEP = 1e-9
_LEAST_SLOPE = 0.05  # a head that says nothing would be turned round by noise


class Platt(NamedTuple):
    """p = sigmoid(slope * logit + shift)."""

    slope: float = 1.0
    shift: float = 0.0


class Calibration(NamedTuple):
    """The numbers of each head."""

    horizons: tuple[Platt, ...]  # [K]
    fraud: Platt | None  # None without such a head

    @classmethod
    def learned(cls, scores: Sequence[Scores], told: Sequence[Targets]) -> Calibration:
        """From several parts together.

        Each event counts, also those of one session, since each has a score that is read.
        """
        intent = np.concatenate([s.intent for s in scores]).astype(np.float64)
        bought, known = np.concatenate([t.bought for t in told]), np.concatenate([t.known for t in told])
        horizons = tuple(platt(intent[:, k], bought[:, k], known[:, k]) for k in range(intent.shape[1]))
        p = [s.fraud for s in scores if s.fraud is not None]
        fraud = [t.fraud for t in told if t.fraud is not None]
        fraud_known = [t.fraud_known for t in told if t.fraud_known is not None]
        if not p or not fraud:
            return cls(horizons, None)
        of_fraud = platt(np.concatenate(p).astype(np.float64), np.concatenate(fraud), np.concatenate(fraud_known))
        return cls(horizons, of_fraud)

    def of(self, scores: Scores) -> Scores:
        """Scores as a calibrated model gives them."""
        columns = [
            said(p.astype(np.float64), numbers) for p, numbers in zip(scores.intent.T, self.horizons, strict=True)
        ]
        fraud = scores.fraud
        if fraud is not None and self.fraud is not None:
            fraud = said(fraud.astype(np.float64), self.fraud).astype(np.float32)
        return scores._replace(intent=np.stack(columns, axis=1).astype(np.float32), fraud=fraud)


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
def calibrate(model: BehaviourModel, calibration: Calibration) -> None:
    """Put the numbers of each head into its weights."""
    slope = torch.tensor([numbers.slope for numbers in calibration.horizons])
    shift = torch.tensor([numbers.shift for numbers in calibration.horizons])
    model.intent.weight *= slope[:, None]
    model.intent_direct.weight *= slope[:, None]
    model.intent.bias.copy_(slope * model.intent.bias + shift)
    fraud = calibration.fraud
    if model.fraud is not None and fraud is not None:
        model.fraud.weight *= fraud.slope
        model.fraud.bias.copy_(fraud.slope * model.fraud.bias + fraud.shift)
