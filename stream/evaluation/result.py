"""What an evaluation found: figures with intervals by horizon, scorer and events seen; all that is shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.evaluation.behaviour import Floats, Ints

MODEL = "model"
DIFFERENCES = ("auc", "log_loss")  # of the model less a baseline


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, NaN where it is not defined, and its 95 % interval over users, if there is one."""

    value: float
    interval: tuple[float, float] | None = None


Figures = Mapping[str, Estimate]  # by name, as in `metrics.figures`


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a horizon's rows, and how every scorer did on them."""

    name: str  # "all", or how many events were seen: "1", "2-5", ...
    rows: int  # evaluated events whose horizon was watched to its end
    users: int
    base_rate: float  # of these rows; NaN without any
    why: str  # why there are no figures; empty where there are
    scorers: Mapping[str, Figures]  # the model first, then the baselines
    differences: Mapping[str, Figures]  # baseline -> the model less it, for each of DIFFERENCES

    @property
    def best_baseline(self) -> str | None:
        """The one with the highest ROC-AUC."""
        names = [name for name in self.scorers if name != MODEL]
        return max(names, key=lambda name: self.scorers[name]["auc"].value, default=None)


@dataclass(frozen=True, slots=True)
class Curves:
    """Points of a scorer's curves, at most some hundred each."""

    roc: tuple[Floats, Floats]  # false positive rate, true positive rate
    pr: tuple[Floats, Floats]  # recall, precision
    reliability: tuple[Floats, Floats]  # of each calibration bin: mean score, share that bought
    lift: tuple[Floats, Floats]  # share of rows, lift


@dataclass(frozen=True, slots=True)
class Horizon:
    """One horizon."""

    name: str
    threshold: float  # of accuracy, precision, recall and F1
    training_base_rate: float  # NaN: nothing to learn from
    whole: Part
    by_events_seen: Sequence[Part]
    curves: Mapping[str, Curves]  # by scorer; none where `whole` has no figures


@dataclass(frozen=True, slots=True)
class ScoredSession:
    """The n events of a real session, with the model's scores."""

    minutes: Floats  # [n] since its first event
    action: Ints  # [n] index into `events.ACTIONS`
    intent: Floats  # [n, K]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was found."""

    rows: int  # events that were evaluated
    users: int
    horizons: Sequence[Horizon]
    sessions: Sequence[ScoredSession]
    resamples: int
    notes: Sequence[str]  # what was left out, drawn or chosen, a sentence each
