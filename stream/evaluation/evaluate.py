"""Scored events -> their evaluation. Pure: composes the steps, and is where to start reading.

scored events -> baselines, trained on the same events -> ladders of every scorer on the same rows -> figures
                                                       -> rankings -> bootstrap over users -> intervals
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from stream.errors import SettingsError
from stream.evaluation import baselines, bootstrap, curves, metrics, sessions
from stream.evaluation.behaviour import Bools, Floats, Ints, renumber
from stream.evaluation.bootstrap import Ranking, Samples
from stream.evaluation.result import DIFFERENCES, MODEL, Estimate, Evaluation, Figures, Horizon, Part
from stream.evaluation.scored import ScoredEvents
from stream.evaluation.user_folds import some_users

Say = Callable[[str], None]

# Events that a user had sent up to and with the one that is scored: first, and last (none: and more).
EVENTS_SEEN = {"1": (1, 1), "2-5": (2, 5), "6-20": (6, 20), "21+": (21, None)}
# Of whole users. An AUC of so many is known to within .002; more take time and memory, and tell nothing.
_MOST_ROWS = 300_000
_THRESHOLD = 0.5  # where none is stated, and no base rate is known


@dataclasses.dataclass(frozen=True, slots=True)
class _Rows:
    """R evaluated events of all folds, with every scorer's scores."""

    user: Ints  # [R] 0 to U - 1
    seen: Ints  # [R] events of the user up to and with this one
    bought: Bools  # [R, K]
    known: Bools  # [R, K]
    scores: Mapping[str, Floats]  # scorer -> [R, K]; NaN where it has none

    @property
    def users(self) -> int:
        """U."""
        return int(self.user.max()) + 1


@dataclasses.dataclass(frozen=True, slots=True)
class _Draft:
    """A part before its intervals are known."""

    part: Part
    ladders: Mapping[str, metrics.Ladder]
    rankings: Sequence[Ranking]


def evaluate(
    folds: Sequence[ScoredEvents],
    *,
    threshold: float | None = None,
    only_base_rate: bool = False,
    resamples: int = bootstrap.RESAMPLES,
    say: Say = lambda what: None,
) -> Evaluation:
    """Evaluate a model beside its baselines.

    Usually one fold; more are the same events with other ones held out, each scored by a model that has not learned
    from them (cross-validation), and figures are over all that were held out. Without a `threshold`, the base rate of
    the training events. Raises SettingsError where nothing is to be evaluated.
    """
    notes: list[str] = []
    folds = _within_limits(_checked(folds), notes)
    if len(folds) > 1:
        notes.append(
            f"Scores of {len(folds)} folds are judged together. The base rate is that of what each fold learned from, "
            "high where that of what it holds out is low: its ROC-AUC lies below 0.5."
        )
    learned = baselines.learn(folds, say, only_base_rate=only_base_rate)
    rows = _pooled(folds, learned.scores)
    thresholds = [threshold if threshold is not None else _THRESHOLD if np.isnan(rate) else float(rate)
                  for rate in learned.base_rates]  # fmt: skip
    drafts = [_drafts(rows, k, thresholds[k]) for k in range(len(folds[0].horizons))]
    if rows.users > 1:
        say(f"Drawing {rows.users:,} users again, {resamples:,} times.")
    samples = bootstrap.over_users(
        [draft.rankings for parts in drafts for draft in parts], rows.users, resamples=resamples
    )
    if samples is None:
        notes.append("Of one user there are no intervals: they come from drawing users again.")
    drawn: Iterator[Samples | None] = iter(samples if samples is not None else [None] * sum(map(len, drafts)))
    horizons = []
    for k, name in enumerate(folds[0].horizons):
        whole, *by_seen = [_with_intervals(draft, next(drawn)) for draft in drafts[k]]
        drawn_curves = {scorer: curves.curves(one) for scorer, one in drafts[k][0].ladders.items()}
        rate = float(learned.base_rates[k])
        horizons.append(Horizon(name, thresholds[k], rate, whole, by_seen, drawn_curves))
    evaluated = np.any([fold.evaluated for fold in folds], axis=0)
    intent = np.full(folds[0].intent.shape, np.nan)
    for fold in folds:
        of_users = np.isin(fold.user, fold.user[fold.evaluated])  # their purchases have a score too
        intent[of_users] = fold.intent[of_users]
    return Evaluation(
        rows=len(rows.user),
        users=rows.users,
        horizons=horizons,
        sessions=sessions.draw(folds[0], intent, evaluated),
        resamples=resamples if samples is not None else 0,
        notes=(*notes, *learned.notes),
    )


def _checked(folds: Sequence[ScoredEvents]) -> Sequence[ScoredEvents]:
    """Raises SettingsError where there is nothing to evaluate, ValueError where folds do not go together."""
    if not any(fold.evaluated.any() for fold in folds):
        events = len(folds[0]) if folds else 0
        raise SettingsError(
            f"evaluate: expected events in the part that is evaluated, got none among {events:,} events; purchases and "
            "refunds are not scored"
        )
    times = np.sum([fold.evaluated for fold in folds], axis=0)
    if times.max() > 1:
        raise ValueError(f"folds: expected each event evaluated once, got {int((times > 1).sum()):,} more often")
    if any(fold.horizons != folds[0].horizons for fold in folds):
        raise ValueError(f"folds: expected the same horizons, got {[fold.horizons for fold in folds]}")
    return folds


def _within_limits(folds: Sequence[ScoredEvents], notes: list[str]) -> Sequence[ScoredEvents]:
    evaluated = np.flatnonzero(np.any([fold.evaluated for fold in folds], axis=0))
    kept = some_users(folds[0].user[evaluated], _MOST_ROWS)
    if kept.all():
        return folds
    notes.append(f"Figures are over {int(kept.sum()):,} of {len(evaluated):,} events, those of users drawn by chance.")
    chosen = np.zeros(len(folds[0]), bool)
    chosen[evaluated[kept]] = True
    return [dataclasses.replace(fold, evaluated=fold.evaluated & chosen) for fold in folds]


def _pooled(folds: Sequence[ScoredEvents], scores: Mapping[str, Floats]) -> _Rows:
    evaluated = np.any([fold.evaluated for fold in folds], axis=0)
    user = renumber(folds[0].user)
    seen = np.arange(len(user)) - np.searchsorted(user, user) + 1
    bought, known, intent = (np.empty_like(getattr(folds[0], name)) for name in ("bought", "known", "intent"))
    for fold in folds:
        bought[fold.evaluated], known[fold.evaluated] = fold.bought[fold.evaluated], fold.known[fold.evaluated]
        intent[fold.evaluated] = fold.intent[fold.evaluated]
    every = {MODEL: intent.astype(np.float64), **scores}
    return _Rows(
        user=renumber(user[evaluated]),
        seen=seen[evaluated],
        bought=bought[evaluated],
        known=known[evaluated],
        scores={name: column[evaluated] for name, column in every.items()},
    )


def _drafts(rows: _Rows, k: int, threshold: float) -> list[_Draft]:
    """All rows of a horizon, then those of each number of events seen."""
    drafts = [_draft("all", rows, k, rows.known[:, k], threshold)]
    for name, (least, most) in EVENTS_SEEN.items():
        chosen = rows.known[:, k] & (rows.seen >= least) & (rows.seen <= (np.inf if most is None else most))
        drafts.append(_draft(name, rows, k, chosen, threshold))
    return drafts


def _draft(name: str, rows: _Rows, k: int, chosen: Bools, threshold: float) -> _Draft:
    y, user = rows.bought[chosen, k], rows.user[chosen]
    why = _why_not(y)
    scores = {scorer: column[chosen, k] for scorer, column in rows.scores.items()}
    # A baseline that could not learn in a fold is left out of the whole, or rows would not be the same
    scores = {} if why else {scorer: p for scorer, p in scores.items() if not np.isnan(p).any()}
    ladders = {scorer: metrics.ladder(y, p) for scorer, p in scores.items()}
    figures = {
        scorer: {figure: Estimate(float(value)) for figure, value in metrics.figures(ladder, threshold).items()}
        for scorer, ladder in ladders.items()
    }
    rate = float(y.mean()) if len(y) else float("nan")
    part = Part(name, len(y), len(np.unique(user)), rate, why, figures, _differences(figures))
    return _Draft(part, ladders, [Ranking.of(y, p, user, threshold) for p in scores.values()])


def _why_not(y: Bools) -> str:
    """Why rows of these outcomes have no figures; empty where they have."""
    if not len(y):
        return "no event whose horizon was watched to its end"
    if y.all() or not y.any():
        return f"{'all' if y.all() else 'none'} of {len(y):,} events have a purchase to come: nothing to tell apart"
    return ""


def _differences(figures: Mapping[str, Figures]) -> dict[str, Figures]:
    return {
        scorer: {figure: Estimate(figures[MODEL][figure].value - of_scorer[figure].value) for figure in DIFFERENCES}
        for scorer, of_scorer in figures.items()
        if scorer != MODEL
    }


def _with_intervals(draft: _Draft, samples: Samples | None) -> Part:
    part = draft.part
    if samples is None or part.users < 2:
        return part
    place = {scorer: at for at, scorer in enumerate(part.scorers)}
    return dataclasses.replace(
        part,
        scorers={
            scorer: {name: Estimate(one.value, samples.interval(place[scorer], name)) for name, one in figures.items()}
            for scorer, figures in part.scorers.items()
        },
        differences={
            scorer: {
                name: Estimate(one.value, samples.interval_of_difference(place[MODEL], place[scorer], name))
                for name, one in figures.items()
            }
            for scorer, figures in part.differences.items()
        },
    )
