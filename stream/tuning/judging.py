"""How good a configuration is on users, or on a time, that it did not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.errors import SettingsError
from stream.evaluation import heads as evaluation
from stream.scorer import Scores
from stream.training import judging, splits
from stream.training.calibration import Calibration
from stream.training.candidates import parted
from stream.training.fit import Task
from stream.training.reading import moment
from stream.training.recipe import Recipe
from stream.training.runs import Bools
from stream.training.trainer import Material

Doubles = NDArray[np.float64]


class Part(NamedTuple):
    """What to learn from and what to be judged by, seen with the statistics of the former."""

    learns: Material
    held: Material


class Head(msgspec.Struct, frozen=True):
    """One head's figures, over all that is held out."""

    auc: float
    log_loss: float


class Judged(msgspec.Struct, frozen=True):
    """An epoch, or a trial at its best one."""

    objective: float  # the mean log loss of the heads; of a model that learns what comes next alone: its nats
    heads: dict[str, Head]  # by horizon, and fraud; those of which both classes came
    nats: float  # surprise of what came next
    cost: tuple[float, ...]  # of each of `loss.PARTS`, by which an epoch is chosen


def by_users(task: Task) -> list[Part]:
    """As `train` parts users: folds, each held out once; of many, one share."""
    always = msgspec.structs.replace(task.recipe, epochs=0)
    parts = []
    for learns, held in parted(task.runs, always):
        if not (learns.any() and held.any()):
            raise SettingsError(f"expected users to learn from and users to judge by, got {len(learns)} in all")
        material = task.material(learns)
        parts.append(Part(material, task.material(held, material.statistics)))
    return parts


def by_time(task: Task, split_ms: int) -> list[Part]:
    """Learn from what was before, be judged by what came then, with its past."""
    before = replace(task, runs=task.runs.before(split_ms))
    after = splits.since(task.runs, split_ms)
    if not len(before.runs) or not after.any():
        raise SettingsError(
            f"--split-time: expected events before and after {moment(split_ms)}, got {len(before.runs):,} and "
            f"{int(after.sum()):,}"
        )
    learns = before.material(np.ones(len(before.runs.counts), np.bool_))
    whole = task.material(np.ones(len(task.runs.counts), np.bool_), learns.statistics)
    told = whole.targets
    masked = replace(
        told,
        known=told.known & after[:, None],
        fraud_known=None if told.fraud_known is None else told.fraud_known & after,
        normal=after if told.normal is None else told.normal & after,
    )
    return [Part(learns, Material(whole.runs, masked, whole.statistics))]


def calibrated(scores: Sequence[Scores], parts: Sequence[Part]) -> list[Scores]:
    """As models would give them that are calibrated on what the parts hold out, all together: as `train` does."""
    calibration = Calibration.learned(scores, [part.held.targets for part in parts])
    return [calibration.of(s) for s in scores]


def judge(scores: Sequence[Scores], parts: Sequence[Part], recipe: Recipe, names: Sequence[str]) -> Judged:
    """Of the scores of what each part holds out, all together; `names` of the horizons."""
    heads = {}
    for place, name in enumerate((*names, "fraud")):
        p, told = zip(
            *(_head(s, part.held, place, len(names)) for s, part in zip(scores, parts, strict=True)), strict=True
        )
        found = evaluation.figures(np.concatenate(p), np.concatenate(told))
        if not np.isnan(found.auc):
            heads[name] = Head(round(found.auc, 5), round(found.log_loss, 6))
    nats = np.concatenate([evaluation.surprise(s, part.held.targets) for s, part in zip(scores, parts, strict=True)])
    costs = [judging.cost(s, part.held.targets, recipe) for s, part in zip(scores, parts, strict=True)]
    learns_heads = recipe.intent_weight > 0 and heads
    surprise = float(nats.mean())
    return Judged(
        objective=float(np.mean([head.log_loss for head in heads.values()])) if learns_heads else surprise,
        heads=heads,
        nats=round(surprise, 5),
        cost=tuple((np.sum(costs, axis=0) / max(1, len(nats))).tolist()),
    )


def user_losses(scores: Sequence[Scores], parts: Sequence[Part]) -> tuple[Doubles, Doubles]:
    """(nats, rows): sums [U, K] over each held-out user's rows of each horizon, for a bootstrap over users."""
    losses, rows = [], []
    for s, part in zip(scores, parts, strict=True):
        runs, told = part.held.runs, part.held.targets
        judged = evaluation.judged(runs, told)
        nats = np.where(judged, evaluation.nats(s.intent, told.bought), 0.0)
        starts = np.cumsum(runs.counts) - runs.counts
        losses.append(np.add.reduceat(nats, starts, axis=0))
        rows.append(np.add.reduceat(judged.astype(np.float64), starts, axis=0))
    return np.concatenate(losses), np.concatenate(rows)


def _head(of: Scores, held: Material, place: int, horizons: int) -> tuple[NDArray[np.float32], Bools]:
    """(p, what came) of the rows of one head that are judged."""
    told = held.targets
    if place < horizons:
        rows = evaluation.judged(held.runs, told)[:, place]
        return of.intent[rows, place], told.bought[rows, place]
    if of.fraud is None or told.fraud is None or told.fraud_known is None:
        return np.empty(0, np.float32), np.empty(0, np.bool_)
    return of.fraud[told.fraud_known], told.fraud[told.fraud_known]
