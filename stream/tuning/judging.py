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
from stream.training.reading import moment
from stream.training.recipe import Recipe
from stream.training.runs import Bools
from stream.training.task import Task
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

    objective: float  # mean log loss of the heads; surprise where none learns, or where none has both classes
    heads: dict[str, Head]  # by horizon, and fraud; those of which both classes came
    nats: float  # surprise of what came next
    cost: tuple[float, ...]  # of each of `loss.PARTS`, by which an epoch is chosen
    by_heads: bool = True  # whether the objective is a log loss of heads; else it is surprise


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
        of_parts = [_head(s, part.held, place, len(names)) for s, part in zip(scores, parts, strict=True)]
        found = evaluation.figures(
            np.concatenate([head.p[head.known] for head in of_parts]),
            np.concatenate([head.told[head.known] for head in of_parts]),
        )
        if not np.isnan(found.auc):
            heads[name] = Head(round(found.auc, 5), round(found.log_loss, 6))
    nats = np.concatenate([evaluation.surprise(s, part.held.targets) for s, part in zip(scores, parts, strict=True)])
    costs = [judging.cost(s, part.held.targets, recipe) for s, part in zip(scores, parts, strict=True)]
    by_heads = recipe.intent_weight > 0 and bool(heads)
    surprise = float(nats.mean())
    return Judged(
        objective=float(np.mean([head.log_loss for head in heads.values()])) if by_heads else surprise,
        heads=heads,
        nats=round(surprise, 5),
        cost=tuple((np.sum(costs, axis=0) / max(1, len(nats))).tolist()),
        by_heads=by_heads,
    )


def user_losses(
    scores: Sequence[Scores], parts: Sequence[Part], judged: Judged, names: Sequence[str]
) -> tuple[Doubles, Doubles]:
    """(nats, rows): sums [U, C] over each held-out user's rows, for a bootstrap over users of what was judged.

    The objective is the mean over C columns of the mean over rows: of the heads of `judged`, or of surprise alone.
    """
    places = [place for place, name in enumerate((*names, "fraud")) if name in judged.heads]
    losses, rows = [], []
    for s, part in zip(scores, parts, strict=True):
        held = part.held
        heads = [_head(s, held, place, len(names)) for place in places] if judged.by_heads else []
        columns = [(evaluation.nats(head.p, head.told), head.known) for head in heads] or [_surprise(s, held)]
        starts = np.cumsum(held.runs.counts) - held.runs.counts
        nats = np.stack([np.where(known, nats, 0.0) for nats, known in columns], axis=1)
        known = np.stack([known for _, known in columns], axis=1)
        losses.append(np.add.reduceat(nats, starts, axis=0))
        rows.append(np.add.reduceat(known, starts, axis=0, dtype=np.float64))
    return np.concatenate(losses), np.concatenate(rows)


class _Head(NamedTuple):
    """What one head said of N events."""

    p: NDArray[np.float32]  # [N]
    told: Bools  # [N] what came
    known: Bools  # [N] the rows that are judged


def _head(of: Scores, held: Material, place: int, horizons: int) -> _Head:
    told = held.targets
    if place < horizons:
        return _Head(of.intent[:, place], told.bought[:, place], evaluation.judged(held.runs, told)[:, place])
    if of.fraud is None or told.fraud is None or told.fraud_known is None:
        nothing = np.zeros(len(held.runs), np.bool_)
        return _Head(nothing.astype(np.float32), nothing, nothing)
    return _Head(of.fraud, told.fraud, told.fraud_known)


def _surprise(of: Scores, held: Material) -> tuple[Doubles, Bools]:
    """[N] nats of what came next, and whether the event is judged by them."""
    normal = held.targets.normal
    return of.surprise.sum(axis=1, dtype=np.float64), np.ones(len(held.runs), np.bool_) if normal is None else normal
