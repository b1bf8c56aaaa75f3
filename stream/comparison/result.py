"""Two streams compared: a table of figures with distances and aims, buyers, fraud; all that the report shows. Pure."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from math import isnan
from typing import Any

import numpy as np

from stream.comparison import profiles
from stream.comparison.buyers import AUC_AIM, Buyers
from stream.comparison.figures import DISTRIBUTIONS, RATES, Figures, ks_distance
from stream.comparison.fraud_rules import FOUND_AIM, UNITS_MIN, Kind
from stream.comparison.view import View
from stream.evaluation.behaviour import Behaviour, Floats
from stream.events import ACTIONS

_SAMPLES_MIN = 100  # of fewer, chance alone makes a distance of about 0.15
_STEPS = (("view_item", "add_to_cart"), ("add_to_cart", "purchase"), ("view_item", "purchase"))


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A figure on both sides. Of a distribution, the sides are its means, and their medians stand beside them."""

    section: str
    figure: str
    unit: str
    real: float | None
    simulated: float | None
    real_median: float | None = None
    simulated_median: float | None = None
    distance: float | None = None
    distance_kind: str = ""  # Kolmogorov-Smirnov; or total variation of two profiles, or mean absolute difference
    own_distance: float | None = None  # likewise of two random halves of the recording's users: what chance makes
    aim: str = ""
    met: bool | None = None  # None: there is no aim, or nothing to judge by
    definition: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class BuyersCase:
    """Buyers of one stream, one way of looking at it."""

    title: str
    simulated: bool
    found: Buyers | None
    why_not: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Fraud:
    """Rules against each kind of fraud; a unit is a user, or a session."""

    users: Sequence[Kind]
    sessions: Sequence[Kind]
    unlabelled_users: int
    unlabelled_sessions: int
    features: int  # of a user


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what came out."""

    view: View
    real: Figures
    simulated: Figures
    clock: bool  # the recording has users and a clock; else only what happens within sessions can be compared
    buyers: Sequence[BuyersCase] = ()
    fraud: Fraud | None = None
    notes: Sequence[str] = ()  # what was left out, and why

    def rows(self) -> list[Row]:
        """The table, in the order in which it is read."""
        rows = [*_distributions(self), *_rates(self), *_funnel(self)]
        if self.clock:
            rows += _profiles(self)
        return [*rows, *_buyers(self.buyers), *_fraud(self.fraud)]


def _distributions(of: Comparison) -> Iterator[Row]:
    half = np.random.default_rng(1).random(max(of.view.real.users, 1)) < 0.5
    one, other = (of.view.real.take(half[of.view.real.user] == side) for side in (True, False))
    for key, figure in DISTRIBUTIONS.items():
        if not of.clock and key in ("sessions_per_user", "events_per_user", "gaps"):
            continue  # a session is all that is known of a user
        real, simulated = of.real.samples[key], of.simulated.samples[key]
        distance = _number(ks_distance(real, simulated))
        few = min(len(real), len(simulated)) < _SAMPLES_MIN
        yield Row(
            section="Distributions",
            figure=figure.title,
            unit=figure.unit,
            real=_of(np.mean, real),
            simulated=_of(np.mean, simulated),
            real_median=_of(np.median, real),
            simulated_median=_of(np.median, simulated),
            distance=distance,
            distance_kind="Kolmogorov-Smirnov",
            own_distance=_number(ks_distance(figure.samples(one), figure.samples(other))),
            aim="" if figure.aim is None else f"under {figure.aim:g}",
            met=None if figure.aim is None or distance is None or few else distance < figure.aim,
            definition=_definition(figure.samples) + (" Too few samples to judge by." if few else ""),
        )


def _rates(of: Comparison) -> Iterator[Row]:
    for key, rate in RATES.items():
        yield Row(
            "Rates", rate.title, rate.unit, _number(of.real.rates[key]), _number(of.simulated.rates[key]),
            definition=_definition(rate.value),
        )  # fmt: skip


def _funnel(of: Comparison) -> Iterator[Row]:
    for title, unit, real, simulated in (
        ("Sessions with", "share of sessions", of.real.session_reach, of.simulated.session_reach),
        ("Users with", "share of users", of.real.user_reach, of.simulated.user_reach),
    ):
        if title == "Users with" and not of.clock:
            continue
        for code in np.unique(of.view.real.name):
            yield Row("Funnel", f"{title} {ACTIONS[code]}", unit, float(real[code]), float(simulated[code]))
    for first, then in _STEPS:
        sides = [_number(profiles.conversion(side, first, then)) for side in (of.view.real, of.view.simulated)]
        if None not in sides and {ACTIONS.index(first), ACTIONS.index(then)} <= set(of.view.real.name.tolist()):
            yield Row(
                "Funnel", f"From {first} to {then}", "share of users", sides[0], sides[1],
                definition=_definition(profiles.conversion),
            )  # fmt: skip


def _profiles(of: Comparison) -> Iterator[Row]:
    for lag, (real, simulated) in enumerate(zip(of.real.autocorrelation, of.simulated.autocorrelation, strict=True), 1):
        yield Row(
            "Memory", f"Autocorrelation of log gaps, lag {lag}", "-1 to 1", _number(real), _number(simulated),
            definition=_definition(profiles.autocorrelation),
        )  # fmt: skip
    for title, real, simulated, function in (
        ("Events by hour of the day", of.real.hours, of.simulated.hours, profiles.hour_profile),
        ("Events by day of the week", of.real.weekdays, of.simulated.weekdays, profiles.weekday_profile),
    ):
        yield Row(
            "Rhythm", title, "busiest, share", float(real.max()), float(simulated.max()),
            distance=float(np.abs(real - simulated).sum() / 2), distance_kind="total variation",
            definition=_definition(function),
        )  # fmt: skip


def _buyers(cases: Sequence[BuyersCase]) -> Iterator[Row]:
    low, high = AUC_AIM
    for case in cases:
        if case.found is not None:
            auc = case.found.headline.auc
            yield Row(
                section="Buyers",
                figure=case.title,
                unit="AUC",
                real=None if case.simulated else auc,
                simulated=auc if case.simulated else None,
                aim=f"{low:g} to {high:g}" if case.simulated else "",
                met=low <= auc <= high if case.simulated else None,
                definition="Purchase within 6 h, told from running features of the past, split in time.",
            )


def _fraud(fraud: Fraud | None) -> Iterator[Row]:
    if fraud is None:
        return
    for unit, kinds in (("users", fraud.users), ("sessions", fraud.sessions)):
        for kind in kinds:
            best = kind.rules[0]
            yield Row(
                section="Fraud",
                figure=f"{kind.name}, {kind.units:,} {unit}",
                unit="share found by the best rule",
                real=None,
                simulated=best.found,
                aim=f"at most {FOUND_AIM:g}",
                met=best.found <= FOUND_AIM if kind.units >= UNITS_MIN else None,
                definition=f"{best.feature} {best.side} {best.cut:.4g}"
                + ("" if kind.units >= UNITS_MIN else f" - too few {unit} to judge by"),
            )


def counts(of: Behaviour) -> dict[str, int]:
    """How much there is of a side."""
    return {"events": len(of), "users": of.users, "sessions": of.sessions}


def _definition(function: Callable[..., Any]) -> str:
    """What a figure's docstring says, on one line and without the shape before it."""
    text = " ".join((inspect.getdoc(function) or "").split())
    text = re.sub(r"^\[[^]]*\] ", "", text)
    return text[:1].upper() + text[1:]


def _of(function: Callable[[Floats], Any], samples: Floats) -> float | None:
    return float(function(samples)) if len(samples) else None


def _number(value: float) -> float | None:
    return None if isnan(value) else float(value)
