"""How well running features of the past tell who buys within 6 hours: recorded and simulated buyers by one measure.

An event that is no purchase is scored for "its user purchases strictly later, within 6 h". Events whose 6 h run past
what is watched are masked. Training is on the first part of the time, scoring on the rest; a training event whose 6 h
run into the rest is masked too. LightGBM, and logistic regression beside it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from stream.evaluation import boosting, bootstrap, metrics, regression
from stream.evaluation.baselines import INSTALL, Fit
from stream.evaluation.behaviour import Behaviour, Bools, Floats, Ints
from stream.evaluation.bootstrap import Ranking
from stream.evaluation.feature_table import feature_table
from stream.events import ACTIONS

HORIZON_MS = 6 * 3_600_000
AUC_AIM = (0.65, 0.85)
_TRAINING_SHARE = 2 / 3  # of the time
_PURCHASE = ACTIONS.index("purchase")
_RESAMPLES = 500
_MAX_EVENTS = 200_000  # of either part; beyond it an AUC no longer gains, and the features take memory


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
    regression: Interval | None  # None where scikit-learn is not
    base_rate: float  # of the scored events
    training_events: int
    scored_events: int
    scored_users: int

    @property
    def headline(self) -> Interval:
        """That of boosting, or of regression where there is none."""
        found = self.boosting or self.regression
        assert found is not None  # `find` raises where neither is installed
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Examples:
    """N events that are no purchases and whose horizon was watched, in two parts."""

    x: NDArray[np.float32]  # [N, F]
    y: Bools  # [N]
    user: Ints  # [N]
    training: Bools  # [N]; the others are scored


def find(of: Behaviour, *, purchases_seen: bool, utc_offset_ms: int = 0) -> Buyers:
    """Learn on the first two thirds of the time, score on the last.

    `purchases_seen`: earlier purchases enter the features. Raises ValueError where a part has only one kind of event.
    """
    examples = split(of, purchases_seen=purchases_seen, utc_offset_ms=utc_offset_ms)
    training, scored = np.flatnonzero(examples.training), np.flatnonzero(~examples.training)
    x, y = examples.x, examples.y
    for part, events in (("to learn from", training), ("to score", scored)):
        if not 0 < y[events].sum() < len(events):
            raise ValueError(
                f"buyers: expected events with and without a purchase to come {part}, "
                f"got {y[events].sum():,} of {len(events):,} with one"
            )
    user = examples.user[scored]
    told = [_told(fit, x[training], y[training], x[scored]) for fit in (boosting.fit, regression.fit)]
    boosted, regressed = (None if score is None else interval(y[scored], score, user) for score in told)
    if boosted is None and regressed is None:
        raise ValueError(f"buyers: expected LightGBM or scikit-learn, got neither: {INSTALL}")
    return Buyers(
        boosting=boosted,
        regression=regressed,
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
    training = of.time_ms < split_ms
    known = no_purchase & (of.time_ms + HORIZON_MS < np.where(training, split_ms, end_ms))
    chosen = _some(known & training) | _some(known & ~training)
    past, wanted = (of, chosen) if purchases_seen else (of.take(no_purchase), chosen[no_purchase])
    x = feature_table(past, wanted, utc_offset_ms).x
    return Examples(x, buys_later(of)[chosen], of.user[chosen], training[chosen])


def _some(part: Bools) -> Bools:
    """[N] at most `_MAX_EVENTS` of the events of a part, by chance."""
    events = np.flatnonzero(part)
    if len(events) <= _MAX_EVENTS:
        return part
    some = np.zeros(len(part), bool)
    some[np.random.default_rng(1).choice(events, _MAX_EVENTS, replace=False)] = True
    return some


def buys_later(of: Behaviour, horizon_ms: int = HORIZON_MS) -> Bools:
    """[N] the event's user purchases later than it, and within the horizon."""
    axis = of.user * (np.ptp(of.time_ms) + horizon_ms + 1) + of.time_ms
    purchases = np.append(axis[of.name == _PURCHASE], np.iinfo(np.int64).max)
    found: Bools = purchases[np.searchsorted(purchases, axis, "right")] - axis <= horizon_ms
    return found


def interval(y: Bools, score: Floats, user: Ints) -> Interval:
    """The AUC of scores, and its 95 % interval when users are drawn again with replacement."""
    users, place = np.unique(user, return_inverse=True)
    auc = float(metrics.roc_auc(metrics.ladder(y, score)))
    ranking = Ranking.of(y, score, place, threshold=0.5)
    samples = bootstrap.over_users([[ranking]], len(users), resamples=_RESAMPLES)
    low, high = (None if samples is None else samples[0].interval(0, "auc")) or (float("nan"), float("nan"))
    return Interval(auc, low, high)


def _told(fit: Fit, x: NDArray[np.float32], y: Bools, scored: NDArray[np.float32]) -> Floats | None:
    """Probabilities of the scored rows, with settings that are the same for every stream; None: not installed."""
    try:
        return fit(x, y).predict(scored)
    except ImportError:
        return None
