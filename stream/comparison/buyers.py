"""How well running features of the past tell who buys within 6 hours: recorded and simulated buyers by one measure.

An event that is no purchase is scored for "its user purchases strictly later, within 6 h". Events whose 6 h run past
what is watched are masked. Training is on the first part of the time, scoring on the rest; a training event whose 6 h
run into the rest is masked too. LightGBM, and logistic regression beside it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from stream.evaluation.behaviour import Behaviour, Bools, Floats, Ints
from stream.evaluation.running_features import running_features
from stream.events import ACTIONS

HORIZON_MS = 6 * 3_600_000
AUC_AIM = (0.65, 0.85)
_TRAINING_SHARE = 2 / 3  # of the time
_PURCHASE = ACTIONS.index("purchase")
_RESAMPLES = 500
_MAX_EVENTS = 300_000  # of either part; beyond it an AUC no longer gains, and the features take memory
# Small trees and a slow pace: a recording of three days has some thousand events to learn from
_TREES = {
    "objective": "binary", "learning_rate": 0.03, "num_leaves": 15, "min_data_in_leaf": 50, "feature_fraction": 0.6,
    "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0, "seed": 1, "deterministic": True, "verbosity": -1,
    "num_threads": 1,  # they wait for each other on a busy machine: 37 s instead of 1 s
}  # fmt: skip
_ROUNDS = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """An AUC with its 95 % interval, by bootstrap over users."""

    auc: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, slots=True)
class Buyers:
    """How findable the buyers of one stream are."""

    boosting: Interval | None  # None where LightGBM is not installed
    regression: Interval
    base_rate: float  # of the scored events
    training_events: int
    scored_events: int
    scored_users: int

    @property
    def headline(self) -> Interval:
        """That of boosting, or of regression where there is none."""
        return self.boosting or self.regression


@dataclasses.dataclass(frozen=True, slots=True)
class Examples:
    """N events that are no purchases and whose horizon was watched, in two parts."""

    x: Floats  # [N, F]
    y: Bools  # [N]
    user: Ints  # [N]
    training: Bools  # [N]; the others are scored


def find(of: Behaviour, *, purchases_seen: bool, utc_offset_ms: int = 0) -> Buyers:
    """Learn on the first two thirds of the time, score on the last.

    `purchases_seen`: earlier purchases enter the features. Raises ValueError where a part has only one kind of event.
    """
    examples = split(of, purchases_seen=purchases_seen, utc_offset_ms=utc_offset_ms)
    training, scored = np.flatnonzero(examples.training), np.flatnonzero(~examples.training)
    rng = np.random.default_rng(1)
    if len(training) > _MAX_EVENTS:
        training = np.sort(rng.choice(training, _MAX_EVENTS, replace=False))
    if len(scored) > _MAX_EVENTS:
        scored = np.sort(rng.choice(scored, _MAX_EVENTS, replace=False))
    x, y = examples.x, examples.y
    for part, events in (("to learn from", training), ("to score", scored)):
        if not 0 < y[events].sum() < len(events):
            raise ValueError(
                f"buyers: expected events with and without a purchase to come {part}, "
                f"got {y[events].sum():,} of {len(events):,} with one"
            )
    user = examples.user[scored]
    boosted = _boosted(x[training], y[training], x[scored])
    return Buyers(
        boosting=None if boosted is None else interval(y[scored], boosted, user),
        regression=interval(y[scored], _regressed(x[training], y[training], x[scored]), user),
        base_rate=float(y[scored].mean()),
        training_events=len(training),
        scored_events=len(scored),
        scored_users=len(np.unique(user)),
    )


def split(of: Behaviour, *, purchases_seen: bool, utc_offset_ms: int = 0) -> Examples:
    """Features, labels and the split in time."""
    no_purchase = of.name != _PURCHASE
    start_ms, end_ms = int(of.time_ms.min()), int(of.time_ms.max()) + 1
    split_ms = start_ms + round(_TRAINING_SHARE * (end_ms - start_ms))
    if purchases_seen:
        features = {name: column[no_purchase] for name, column in running_features(of, utc_offset_ms).items()}
    else:
        features = running_features(of.take(no_purchase), utc_offset_ms)
    y, time_ms = buys_later(of)[no_purchase], of.time_ms[no_purchase]
    ends_ms = np.where(time_ms < split_ms, split_ms, end_ms)
    known = time_ms + HORIZON_MS < ends_ms
    x = np.column_stack(list(features.values()))
    return Examples(x[known], y[known], of.user[no_purchase][known], (time_ms < split_ms)[known])


def buys_later(of: Behaviour, horizon_ms: int = HORIZON_MS) -> Bools:
    """[N] the event's user purchases later than it, and within the horizon."""
    axis = of.user * (np.ptp(of.time_ms) + horizon_ms + 1) + of.time_ms
    purchases = np.append(axis[of.name == _PURCHASE], np.iinfo(np.int64).max)
    found: Bools = purchases[np.searchsorted(purchases, axis, "right")] - axis <= horizon_ms
    return found


def interval(y: Bools, score: Floats, user: Ints) -> Interval:
    """The AUC of scores, and its 95 % interval when users are drawn again with replacement."""
    order = np.argsort(score, kind="stable")
    y, score = y[order], score[order]
    _, user = np.unique(user[order], return_inverse=True)
    ties = np.flatnonzero(np.append(True, np.diff(score) > 0))
    rng, users = np.random.default_rng(1), int(user.max()) + 1
    found = []
    for _ in range(_RESAMPLES):
        drawn = np.bincount(rng.integers(users, size=users), minlength=users)[user]
        found.append(_weighted_auc(y, drawn, ties))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return Interval(_weighted_auc(y, np.ones(len(y), np.int64), ties), float(low), float(high))


def _weighted_auc(y: Bools, weight: Ints, ties: Ints) -> float:
    """How often one with `y` has the higher score of two; a tie counts half. By ascending score, cut at its `ties`."""
    yes, no = np.add.reduceat(weight * y, ties), np.add.reduceat(weight * ~y, ties)
    pairs = float(yes.sum()) * float(no.sum())
    return float(yes @ (np.cumsum(no) - no / 2)) / pairs if pairs else float("nan")


def _boosted(x: Floats, y: Bools, scored: Floats) -> Floats | None:
    try:
        import lightgbm
    except ImportError:
        return None
    model = lightgbm.train(_TREES, lightgbm.Dataset(x, y.astype(float)), num_boost_round=_ROUNDS)
    return np.asarray(model.predict(scored), np.float64)


def _regressed(x: Floats, y: Bools, scored: Floats, *, ridge: float = 10.0, steps: int = 25) -> Floats:
    """Logistic regression by Newton's method, on signed logs, standardised; NaN is the mean, and a column."""

    def scale(raw: Floats) -> Floats:
        flat = np.sign(raw) * np.log1p(np.abs(raw))
        unit = (flat - mean) / spread
        return np.column_stack([np.ones(len(raw)), np.nan_to_num(unit, nan=0.0), np.isnan(raw)])

    logs = np.sign(x) * np.log1p(np.abs(x))
    known = np.maximum((~np.isnan(logs)).sum(axis=0), 1)
    mean = np.nansum(logs, axis=0) / known
    spread = np.sqrt(np.nansum((logs - mean) ** 2, axis=0) / known)
    spread[spread == 0] = 1.0
    design = scale(x)
    weights = np.zeros(design.shape[1])
    penalty = np.full(len(weights), ridge)
    penalty[0] = 1e-6
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (y - p) - penalty * weights
        curvature = (design * np.maximum(p * (1 - p), 1e-6)[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return np.asarray(scale(scored) @ weights)
