"""Whether fraud hides: what the best rule of one feature finds of each kind, and what a combination of all finds. Pure.

A rule is `feature > cut` or `feature < cut` with at most 1 % false alarms among the units without a label. Cuts are set
on the same units that they are judged by, and the best of hundreds of rules is shown: rules look better here than they
would on the next month, so to hide from them here is harder. The combination is LightGBM over all features, each unit
scored by a model that has not seen its user.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

from stream.comparison.fraud_features import Units
from stream.evaluation.behaviour import NONE, Bools, Floats

FALSE_ALARMS = 0.01
FOUND_AIM = 0.6  # at most so much of a kind by any one rule
UNITS_MIN = 20  # of fewer, one of hundreds of rules finds most by chance
_FOLDS = 5
_MAX_UNLABELLED = 10_000  # to learn from; more take minutes and change nothing
_TREES = {
    "objective": "binary", "learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 10, "feature_fraction": 0.5,
    "max_bin": 63, "lambda_l2": 1.0, "seed": 1, "deterministic": True, "verbosity": -1,
    "num_threads": 1,  # they wait for each other on a busy machine: 37 s instead of 1 s
}  # fmt: skip
_ROUNDS = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """An alarm for units whose feature lies on one side of a cut."""

    feature: str
    side: Literal[">", "<"]
    cut: float
    found: float  # share of the kind's units that it alarms for
    false_alarms: float  # share of the unlabelled units likewise


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of fraud may be found."""

    name: str
    units: int  # labelled so
    rules: tuple[Rule, ...]  # the best of each feature, best first
    combination: float | None  # share found by LightGBM at 1 % false alarms; None: not installed, or too few units


def examine(units: Units, kinds: tuple[str, ...], *, combine: bool = True) -> list[Kind]:
    """Every kind that has units, by name."""
    found = []
    normal = units.fraud == NONE
    for code in np.argsort(kinds):
        this = units.fraud == code
        if this.any():
            ordered = tuple(sorted(rules(units.features, this, normal), key=lambda rule: -rule.found))
            combined = _combined(units, this, normal) if combine else None
            found.append(Kind(kinds[code], int(this.sum()), ordered, combined))
    return found


def rules(features: dict[str, Floats], fraud: Bools, normal: Bools) -> Iterator[Rule]:
    """The better side of each feature, with its cut as low as 1 % false alarms of the normal units allow."""
    allowed = int(FALSE_ALARMS * normal.sum())
    for name, column in features.items():
        upward, downward = _found(column, fraud, normal, allowed), _found(-column, fraud, normal, allowed)
        side: Literal[">", "<"] = ">" if upward[1] >= downward[1] else "<"
        cut, found, alarms = upward if side == ">" else downward
        yield Rule(name, side, cut if side == ">" else -cut, found, alarms)


def _found(column: Floats, fraud: Bools, normal: Bools, allowed: int) -> tuple[float, float, float]:
    """(cut, share of fraud above it, share of normal units above it). NaN is above nothing."""
    values = column[normal]
    values = np.sort(values[~np.isnan(values)])[::-1]
    cut = float(values[allowed]) if len(values) > allowed else -np.inf
    return cut, float((column[fraud] > cut).mean()), float((values > cut).sum() / max(normal.sum(), 1))


def _combined(units: Units, fraud: Bools, normal: Bools) -> float | None:
    """Share of the fraud with a higher score than all but 1 % of the normal units."""
    try:
        import lightgbm
    except ImportError:
        return None
    fraud_at, normal_at = np.flatnonzero(fraud), np.flatnonzero(normal)
    rng = np.random.default_rng(1)
    if len(normal_at) > _MAX_UNLABELLED:
        normal_at = rng.choice(normal_at, _MAX_UNLABELLED, replace=False)
    chosen = np.concatenate([fraud_at, normal_at])
    x = np.column_stack([column[chosen] for column in units.features.values()])
    y = fraud[chosen]
    folds = rng.integers(_FOLDS, size=int(units.user.max()) + 1)[units.user[chosen]]
    score = np.full(len(chosen), np.nan)
    for fold in range(_FOLDS):
        out = folds == fold
        if not out.any():
            continue
        if not y[~out].any():
            return None
        model = lightgbm.train(_TREES, lightgbm.Dataset(x[~out], y[~out].astype(float)), num_boost_round=_ROUNDS)
        score[out] = model.predict(x[out])
    return _found(score, y, ~y, int(FALSE_ALARMS * (~y).sum()))[1]
