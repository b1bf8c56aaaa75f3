"""What is compared on labelled shop events: this project's anomaly score, and what needs no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from stream import anomaly
from stream.errors import SettingsError
from stream.evaluation import isolation, markov
from stream.evaluation.assembly import Part
from stream.evaluation.behaviour import NONE, Floats
from stream.evaluation.fraud_figures import NONE as NO_KIND
from stream.evaluation.fraud_figures import ShopRows, actions
from stream.evaluation.running_features import enough_for_weekdays, running_features
from stream.evaluation.scored import behaviour_of
from stream.model_file import LoadedModel
from stream.training import scoring, splits
from stream.training.fraud_labels import YES
from stream.training.runs import Bools, Runs

_UNTOLD = "fraud"  # the kind of what is labelled without one
_CALM_SHARE = 0.5  # of the honest users, whose alarms are no figures: by half of them thresholds are set, and
_LEARNING_SHARE = 0.25  # the other half is learned from: on its own lesson a chain is calmer than elsewhere
_FOREST_ROWS = 50_000  # that a forest learns from at most: 100 MB of features; a tree takes 4,096 of them
_FOREST_EVENTS = 1 << 15  # that it scores at once: 65 MB of features; a user is never parted, however busy


class Scored(NamedTuple):
    """One method's scores; a high one is strange."""

    calm: Floats  # [M] of normal events, by which thresholds are set
    tested: Floats  # [N]


class Shoppers(NamedTuple):
    """Users by what they are for, nobody for two things; each with all of their events, judged or not."""

    learning: Runs  # honest: what needs normal events learns from theirs
    calm: Runs  # honest: thresholds are set by theirs
    tested: Runs  # all others, among them whoever has a label

    @classmethod
    def of(cls, runs: Runs, part: Part, *, seed: int, folder: Path | None = None) -> Self:
        """Those who have an event in the part that is judged.

        Raises SettingsError where there is nobody to learn from, to set thresholds by, or to find.
        """
        judged = _any(part.evaluated(runs), runs)
        honest = judged & ~_any(np.asarray(runs.fraud) == YES, runs)
        # One draw, so that who is tested does not depend on how the calm ones are parted
        learning, calm = (
            honest & splits.held_out(runs.user, share, seed=seed) for share in (_LEARNING_SHARE, _CALM_SHARE)
        )
        masks = learning, calm & ~learning, judged & ~calm
        if not all(mask.any() for mask in masks) or honest.sum() == judged.sum():
            raise SettingsError(
                "expected users with and without labels of fraud in the part that is judged, got "
                f"{int((judged & ~honest).sum()):,} and {int(honest.sum()):,} of {len(judged):,}; see --labels, "
                "--split-time and --hold-out"
            )
        return cls(*(runs.of_users(mask, folder=folder) for mask in masks))


def rows(of: Runs, since_ms: int | None = None) -> ShopRows:
    """Whose events they are, when, what they are labelled as; judged from that time on."""
    fraud, code = np.asarray(of.fraud) == YES, np.asarray(of.kind).astype(np.int64)
    kinds = tuple(dict.fromkeys((*of.kinds[1:], _UNTOLD)))
    kind = np.where(fraud, np.where(code > 0, code - 1, kinds.index(_UNTOLD)), NO_KIND)
    return ShopRows(of.owner, of.raw["time_ms"].astype(np.int64), kind, kinds, Part(since_ms).evaluated(of))


def methods(of: Shoppers, loaded: LoadedModel, *, seed: int, fraud_head: bool = True) -> dict[str, Scored]:
    """By name. Markov chain and isolation forest learn from the users for that; the model has learned before.

    `fraud_head`: that of a model which has one is among them.
    """
    ours_calm, ours = (_ours(runs, loaded, fraud_head=fraud_head) for runs in (of.calm, of.tested))
    return {
        **{name: Scored(ours_calm[name], ours[name]) for name in ours},
        "Markov chain of order 2": _chain(of),
        "isolation forest": _forest(of, seed),
    }


def _ours(of: Runs, loaded: LoadedModel, *, fraud_head: bool) -> dict[str, Floats]:
    """[N] each, as the service has them; the fraud head's too, of a model that has one: that alone has seen labels."""
    normal = loaded.card.normal_traffic
    scores = scoring.score(loaded.model, loaded.card.statistics, of)
    strain = anomaly.strain_of_runs(scores.surprise, of.counts, normal)
    found = {
        "anomaly": normal.anomaly(scores.surprise, strain),
        "strain alone": strain,
        "one event alone": normal.sharpness(scores.surprise),
    }
    if fraud_head and scores.fraud is not None:
        found["fraud head (has learned from labels)"] = scores.fraud.astype(np.float64)
    return found


def _chain(of: Shoppers) -> Scored:
    learning, calm, tested = (actions(runs.raw["action"].astype(np.int64), runs.owner) for runs in of)
    chain = markov.learn(learning, order=2)
    return Scored(chain.surprise(calm), chain.surprise(tested))


def _forest(of: Shoppers, seed: int) -> Scored:
    features, learned = _Features.of(of), np.zeros(len(of.learning), np.bool_)
    learned[np.random.default_rng(seed).permutation(len(learned))[:_FOREST_ROWS]] = True
    normal = np.concatenate([x[learned[where]] for where, x in features.blocks(of.learning)])
    score = isolation.fitted(normal, seed)

    def scores(runs: Runs) -> Floats:
        return np.concatenate([score(x) for _, x in features.blocks(runs)])

    return Scored(scores(of.calm), scores(of.tested))


class _Features(NamedTuple):
    """What running features are made by, so that those of some users at a time have the same columns."""

    actions: list[int]
    weekdays: bool
    sessions: bool  # events name theirs

    @classmethod
    def of(cls, runs: Shoppers) -> Self:
        ends = [end(each.raw["time_ms"]) for each in runs for end in (np.min, np.max)]
        there = [np.unique(each.raw["action"]) for each in runs]
        return cls(
            actions=np.unique(np.concatenate(there)).tolist(),
            weekdays=enough_for_weekdays(np.array(ends, np.int64)),
            sessions=any(np.asarray(each.session).any() for each in runs),
        )

    def blocks(self, of: Runs) -> Iterator[tuple[slice, Floats]]:
        """Where some of the events are, and their features [n, F]."""
        for where, block in of.blocks(_FOREST_EVENTS):
            session = np.asarray(block.session)
            behaviour = behaviour_of(block.raw, block.owner, session)
            if self.sessions and not session.any():  # a pause is no session where others name theirs
                behaviour = dataclasses.replace(behaviour, session=np.full(len(block), NONE))
            columns = running_features(behaviour, actions=self.actions, weekdays=self.weekdays)
            yield where, np.stack(list(columns.values()), axis=1)


def _any(events: Bools, of: Runs) -> Bools:
    """[U] of a mask [N]: the user has such an event."""
    return np.logical_or.reduceat(events, np.cumsum(of.counts) - of.counts)
