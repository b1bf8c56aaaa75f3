"""Runs and a model -> scored events: who and what is evaluated, and what baselines may learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.errors import SettingsError
from stream.evaluation.scored import ScoredEvents
from stream.events import ACTIONS, PURCHASE_NAMES
from stream.features import Statistics
from stream.model import BehaviourModel
from stream.training import scoring, splits
from stream.training.reading import moment
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


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged, as a card says what was learned from."""

    source: Mapping[str, Any]  # `simulated`, and `files`, `topics`, or `scenario` and `seed`
    first_ms: int
    last_ms: int
    hold_out: tuple[int, int] | None = None  # (k, n): of the users of the k-th of n folds alone


def may_have_learned(made: Mapping[str, Any], judged: Judged) -> str | None:
    """A note that the model may know what it was judged by; None where its card (`made`) leaves no such doubt.

    That is where both are of the same source, their times overlap, and users were judged who were not held out.
    """
    source = _in_common(made, judged.source)
    ends = [made[name] for name in ("before_ms", "end_ms") if made.get(name) is not None]
    learned_later = made.get("first_ms") is not None and judged.last_ms < made["first_ms"]
    left_out = made.get("hold_out")
    if source is None or learned_later or any(judged.first_ms >= end for end in ends):
        return None
    if left_out and judged.hold_out and _within(judged.hold_out, left_out):
        return None
    until = f" before {moment(min(ends))}" if ends else ""
    without = f", without the users of fold {left_out[0]}/{left_out[1]}" if left_out else ""
    other = (
        "shops of another --simulation-seed" if made.get("simulated") else "what --before or --hold-out kept from it"
    )
    return (
        f"The model may have learned from these events, and its figures would flatter it: by its card it learned from "
        f"{source}{until}{without}. Judge it by {other}."
    )


def _in_common(made: Mapping[str, Any], source: Mapping[str, Any]) -> str | None:
    """What both are of, in words; None: nothing."""
    if made.get("simulated") and source.get("simulated"):
        # One seed counts the shops from its own thousand on, so that those of two have none in common
        same = all(made.get(name) == source.get(name) for name in ("scenario", "seed"))
        return f"simulated shops of seed {made.get('seed')}" if same else None
    if made.get("topics") and source.get("topics"):
        return "the source topics"
    files = [name for name in made.get("files", ()) if name in source.get("files", ())]
    return ", ".join(files) or None


def _within(fold: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether each user of the k-th of n folds is of the other fold: users are numbers, and a fold a remainder."""
    (k, n), (other_k, other_n) = fold, other
    return n % other_n == 0 and (k - other_k) % other_n == 0


def _purchases(of: Runs) -> NDArray[np.bool_]:
    return np.isin(of.raw["action"], _PURCHASES)
