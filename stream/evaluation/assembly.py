"""Runs and a model -> scored events: who and what is evaluated, and what baselines may learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.errors import SettingsError
from stream.evaluation.scored import ScoredEvents
from stream.events import ACTIONS, PURCHASE_NAMES
from stream.features import Statistics
from stream.model import BehaviourModel
from stream.training import scoring, splits
from stream.training.runs import Bools, Runs
from stream.training.targets import targets

Doubles = NDArray[np.float64]

_PURCHASES = [ACTIONS.index(name) for name in PURCHASE_NAMES]


@dataclass(frozen=True, slots=True)
class Part:
    """What is evaluated: all from a time on, or some of the users; the rest is for baselines to learn from."""

    since_ms: int | None = None
    users: Bools | None = None  # [U]
    hold_out: tuple[int, int] | None = None  # (k, n): `users` are those of the k-th of n folds

    def evaluated(self, of: Runs) -> Bools:
        """[N]"""
        chosen = np.ones(len(of), np.bool_)
        if self.since_ms is not None:
            chosen &= splits.since(of, self.since_ms)
        if self.users is not None:
            chosen &= np.repeat(self.users, of.counts)
        return chosen


def scored_events(
    of: Runs,
    model: BehaviourModel,
    statistics: Statistics,
    part: Part,
    *,
    published: Doubles | None = None,
) -> ScoredEvents:
    """What a model says of every event, each with the past that it had, and what came of it.

    `published` [N, K]: what was said of them already, NaN where nothing was; such events are not evaluated. Raises
    SettingsError where that is all of them.

    What baselines learn from ends where the evaluated part begins: a horizon that reaches into it is not known to them.
    Of users who are held out they learn nothing, nor did the model.
    """
    evaluated = part.evaluated(of)
    judged = evaluated & ~_purchases(of)
    labels = targets(of, model.sizes)
    intent = published
    if intent is None:
        intent = scoring.score(model, statistics, of).intent.astype(np.float64)
    scored = judged & ~np.isnan(intent).any(axis=1)
    if published is not None and judged.any() and not scored.any():
        raise SettingsError(
            f"--published: expected scores of the part that is evaluated, got none of its {int(judged.sum()):,} events"
        )
    training = ~evaluated
    if part.users is not None:
        training &= ~np.repeat(part.users, of.counts)
    training_known = labels.known
    if part.since_ms is not None:
        before = targets(replace(of, end_ms=np.minimum(of.end_ms, part.since_ms)), model.sizes)
        training_known = before.known
    return ScoredEvents(
        raw=of.raw,
        user=of.owner,
        session=np.asarray(of.session),
        horizons=model.sizes.horizons,
        bought=labels.bought,
        known=labels.known,
        intent=intent,
        training=training,
        training_known=training_known & training[:, None],
        evaluated=scored,
    )


def _purchases(of: Runs) -> NDArray[np.bool_]:
    return np.isin(of.raw["action"], _PURCHASES)
