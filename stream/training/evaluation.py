"""How good a model is, beside what needs none: the base rate of purchases, and how often each class comes at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stream.features import PART_CLASSES, PARTS
from stream.model import BehaviourLSTM
from stream.scorer import Scorer
from stream.training import dataset
from stream.training.dataset import Examples
from stream.training.runs import Bools

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_GAP = PARTS.index("gap")


def score(model: BehaviourLSTM, of: Examples, *, lanes: int = 1024, steps: int = 64) -> tuple[Floats, Floats]:
    """(intent [N, K], surprise [N, 4] nats) of every event, by the scorer that serves, from no carry at all."""
    scorer = Scorer(model, torch.device("cpu"))
    intent = np.empty(of.labels.bought.shape, np.float32)
    nats = np.empty(of.outcome.classes.shape, np.float32)
    carry = torch.zeros(lanes, 2, model.sizes.layers, model.sizes.hidden)
    for packing, events, fresh in dataset.chunks(of.counts, np.arange(len(of.counts)), lanes=lanes, steps=steps):
        carry[fresh] = 0.0
        x, came = of.model_columns(events)
        intent[events], nats[events], carry[packing.users] = scorer.score(x, came, packing, carry[packing.users])
    return intent, nats


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of the events of the training users without looking at what came before each."""

    base_rates: Doubles  # [K] of purchases
    nats: tuple[Doubles, ...]  # of each part, -ln of how often each class came

    @classmethod
    def of(cls, training: Examples) -> Baseline:
        bought, known = training.labels
        parts = []
        for part, classes in enumerate(PART_CLASSES):
            came = training.outcome.classes[:, part]
            count = np.bincount(came[~training.outcome.first] if part == _GAP else came, minlength=classes)
            parts.append(-np.log((count + 1) / (count.sum() + classes)))  # Laplace: a class that never came may yet
        return cls((bought & known).sum(axis=0) / known.sum(axis=0), tuple(parts))


def figures(baseline: Baseline, of: Examples, intent: Floats, nats: Floats) -> dict[str, Any]:
    """For people and the card: per horizon ROC-AUC and log loss, per part the mean nats, each beside the baseline's.

    A user's first event has no gap, and counts there as 0 nats for both.
    """
    horizons = []
    for k, rate in enumerate(baseline.base_rates.tolist()):
        known = of.labels.known[:, k]
        bought, p = of.labels.bought[known, k], intent[known, k].astype(np.float64)
        horizons.append(
            {
                "roc_auc": round(roc_auc(bought, p), 5),
                "log_loss": round(log_loss(bought, p), 5),
                "base_rate": round(rate, 5),
                "base_rate_log_loss": round(log_loss(bought, np.full(len(bought), rate)), 5),
            }
        )
    parts = {}
    for part, name in enumerate(PARTS):
        unigram = baseline.nats[part][of.outcome.classes[:, part]]
        if part == _GAP:
            unigram = np.where(of.outcome.first, 0.0, unigram)
        mean = float(nats[:, part].mean(dtype=np.float64))
        parts[name] = {"nats": round(mean, 5), "unigram_nats": round(float(unigram.mean()), 5)}
    return {"purchase_intent": horizons, "surprise": parts}


def roc_auc(bought: Bools, p: Doubles) -> float:
    """The probability that an event with a purchase to come has the higher score of two; ties count half."""
    _, place, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]  # the mean rank, from 1, of all that have this score
    yes, no = int(bought.sum()), int((~bought).sum())
    return float((rank[bought].sum() - yes * (yes + 1) / 2) / (yes * no))


def log_loss(bought: Bools, p: Doubles) -> float:
    """Mean nats, at least 0. A probability nearer than 1e-7 to 0 or 1, float32's own limit, counts as that near."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-np.log(np.where(bought, p, 1 - p)).mean())
