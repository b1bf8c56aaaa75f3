"""How well anomaly scores find fraud in shop events, by kind, side by side on the same rows. Pure.

    shopper-day   a user's events of one day (UTC), by the largest score; users with any label have no honest ones
    fraudster     a user with events that are labelled as a kind of fraud; only these events count, in their order

Labels are not used but here. The threshold is set on normal events that nothing has learned from, so that at most the
stated share of shopper-days has an alarm. The bootstrap draws users again; it is the same draw for all methods and
kinds. Events that are not judged count in no figure; but a user whom a label of theirs tells of is not honest.

A busy day has a larger largest score than a calm one: that is how alarms come about, and how false ones are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.errors import SettingsError
from stream.evaluation.token_sequences import FIRST, Bools, Floats, Ints, TokenSequences, Vocabulary
from stream.evaluation.weighted_figures import Interval, Ranking, draws, interval, threshold
from stream.events import ACTIONS

NONE = -1
_DAY_MS = 86_400_000


class FraudHow(NamedTuple):
    """What is chosen before anything is seen."""

    false_alarms_per_day: float = 0.005  # share of honest shopper-days that may have an alarm
    resamples: int = 200
    seed: int = 1


@dataclass(frozen=True, slots=True)
class ShopRows:
    """N events of U users, one user after the other, each in the order in which they are applied."""

    user: Ints  # [N] 0 to U - 1, ascending
    time_ms: Ints  # [N] event time, epoch ms
    kind: Ints  # [N] place in `kinds` of the fraud that the event is labelled as; NONE: no label
    kinds: tuple[str, ...]
    judged: Bools  # [N] figures are of these; the others are the past of their users

    def __post_init__(self) -> None:
        if not len(self.user) or (np.diff(self.user) < 0).any():
            raise ValueError(f"shop events: expected one user after the other, got {len(self.user)} in another order")
        lengths = [len(column) for column in (self.user, self.time_ms, self.kind, self.judged)]
        if len(set(lengths)) > 1:
            raise ValueError(f"shop events: expected columns of one length, got {', '.join(map(str, lengths))}")

    @property
    def users(self) -> int:
        """U."""
        return int(self.user[-1]) + 1

    def labelled_as(self, code: int) -> Ints:
        """Places of the judged events of a kind."""
        return np.flatnonzero(self.judged & (self.kind == code))


@dataclass(frozen=True, slots=True)
class Found:
    """A kind of fraud, by one method."""

    method: str
    kind: str
    fraudsters: int
    found: Interval  # share of them with an alarm
    events_until_found: float  # median over those that were found: their events up to and with the first alarm
    roc_auc: Interval  # of the kind's shopper-days among honest ones


@dataclass(frozen=True, slots=True)
class FraudEvaluation:
    """All of it."""

    how: FraudHow
    events: int  # that are judged
    users: int  # who have some
    honest_days: int
    calm_days: int  # of normal events, by which thresholds are set
    thresholds: Mapping[str, float]  # by method
    false_alarms_per_day: Mapping[str, Interval]  # by method: share of honest shopper-days that had an alarm
    found: Sequence[Found]


def evaluate(
    normal: ShopRows, calm: Mapping[str, Floats], tested: ShopRows, scores: Mapping[str, Floats], how: FraudHow
) -> FraudEvaluation:
    """Scores by method: `calm` [M] those of `normal`, for the thresholds, `scores` [N] those of `tested`.

    Raises SettingsError where there is no fraud in `tested`, or nobody honest, ValueError for scores of other events.
    """
    days, calm_days = _Days.of(tested), _Days.of(normal)
    present = [code for code in range(len(tested.kinds)) if len(tested.labelled_as(code))]
    honest = np.flatnonzero(days.kind == NONE)
    calm_honest = calm_days.kind == NONE
    if not present or not len(honest) or not calm_honest.any():
        raise SettingsError(
            f"expected labelled and honest shopper-days, got {len(present)} kinds of fraud, {len(honest):,} honest "
            f"days to test on and {int(calm_honest.sum()):,} to set a threshold on"
        )
    judged_user = np.bincount(tested.user, tested.judged, tested.users) > 0
    weights = list(draws(judged_user.astype(np.int64), how.resamples, how.seed))
    thresholds: dict[str, float] = {}
    false_alarms: dict[str, Interval] = {}
    found: list[Found] = []
    for method, score in scores.items():
        calm_highest = calm_days.highest(_checked(calm[method], normal))[calm_honest]
        cut = thresholds[method] = threshold(calm_highest, how.false_alarms_per_day)
        highest = days.highest(_checked(score, tested))
        false_alarms[method] = _share(highest[honest] > cut, days.user[honest], weights)
        for code in present:
            user, until = _until_found(tested, code, score > cut)
            reached = until[~np.isnan(until)]
            found.append(
                Found(
                    method=method,
                    kind=tested.kinds[code],
                    fraudsters=len(user),
                    found=_share(~np.isnan(until), user, weights),
                    events_until_found=float(np.median(reached)) if len(reached) else float("nan"),
                    roc_auc=_roc_auc(days, code, highest, weights),
                )
            )
    counts = int(tested.judged.sum()), int(judged_user.sum()), len(honest), int(calm_honest.sum())
    return FraudEvaluation(how, *counts, thresholds, false_alarms, found)


def actions(action: Ints, user: Ints) -> TokenSequences:
    """The actions (codes of `events.ACTIONS`) of each user as a sequence, for methods on token sequences."""
    vocabulary = Vocabulary(ACTIONS)
    return TokenSequences(action + FIRST, np.bincount(user), None, vocabulary)


@dataclass(frozen=True, slots=True)
class _Days:
    """D shopper-days of N events; a day with fraud in it is of that kind, and has only its labelled events."""

    order: Ints  # [n] places of the events that count, day by day
    starts: Ints  # [D] where each day begins in `order`
    user: Ints  # [D]
    kind: Ints  # [D]

    @classmethod
    def of(cls, rows: ShopRows) -> _Days:
        labelled_user = np.bincount(rows.user, rows.kind != NONE, rows.users) > 0
        counts = np.flatnonzero(rows.judged & ((rows.kind != NONE) | ~labelled_user[rows.user]))
        columns = (rows.time_ms[counts] // _DAY_MS, rows.kind[counts], rows.user[counts])
        by_day = np.lexsort(columns)
        day, kind, user = (column[by_day] for column in columns)
        new = np.append(True, (np.diff(day) != 0) | (np.diff(kind) != 0) | (np.diff(user) != 0))[: len(day)]
        starts = np.flatnonzero(new)
        return cls(counts[by_day], starts, user[starts], kind[starts])

    def highest(self, score: Floats) -> Floats:
        """[D] the largest score of each day."""
        return np.maximum.reduceat(score[self.order], self.starts)


def _until_found(rows: ShopRows, code: int, alarm: Bools) -> tuple[Ints, Floats]:
    """Of P fraudsters of a kind: user [P]; their labelled events up to and with the first alarm [P], NaN: none."""
    places = rows.labelled_as(code)
    user, starts, counts = np.unique(rows.user[places], return_index=True, return_counts=True)
    nth = np.arange(len(places)) - np.repeat(starts, counts) + 1.0
    first = np.minimum.reduceat(np.where(alarm[places], nth, np.inf), starts)
    return user, np.where(np.isinf(first), np.nan, first)


def _roc_auc(days: _Days, code: int, highest: Floats, weights: Sequence[Floats]) -> Interval:
    """Of the days of a kind among honest ones."""
    counted = np.flatnonzero((days.kind == NONE) | (days.kind == code))
    ranking, user = Ranking(days.kind[counted] == code, highest[counted]), days.user[counted]
    drawn = np.concatenate([ranking.figures(block[:, user])["roc_auc"] for block in weights])
    return interval(float(ranking.figures(np.ones((1, len(counted))))["roc_auc"][0]), drawn)


def _share(of: Bools, user: Ints, weights: Sequence[Floats]) -> Interval:
    """Of rows, each of a user, by draws of users."""
    hits, rows = np.concatenate([block[:, user] @ np.stack([of, ~of], axis=1).astype(float) for block in weights]).T
    total = hits + rows
    drawn = np.where(total > 0, hits / np.maximum(total, 1), np.nan)
    return interval(float(of.mean()), drawn)


def _checked(score: Floats, rows: ShopRows) -> Floats:
    if score.shape != rows.user.shape or np.isnan(score).any():
        raise ValueError(f"scores: expected a number for each of {len(rows.user)} events, got {score.shape} or NaN")
    return score
