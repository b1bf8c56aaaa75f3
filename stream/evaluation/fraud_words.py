"""An evaluation of anomaly scores against fraud labels -> what a terminal shows, and the same as an object. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Any

from stream.evaluation.fraud_figures import FraudEvaluation
from stream.evaluation.weighted_figures import Interval


def table(of: FraudEvaluation) -> Iterator[str]:
    """Lines of at most 110 columns, but for long words."""
    yield f"{of.events:,} events of {of.users:,} users, {of.honest_days:,} honest shopper-days."
    yield (
        f"Thresholds: at most {100 * of.how.false_alarms_per_day:g} % of {of.calm_days:,} held-out normal shopper-days "
        "have an alarm. In brackets: 95 %, by users."
    )
    for method, alarms in of.false_alarms_per_day.items():
        yield ""
        yield f"{method}: alarms in {_percent(alarms)} of honest shopper-days"
        yield f"  {'':20} {'fraudsters':>10} {'found':>22} {'median events':>13} {'ROC-AUC by shopper-day':>24}"
        for kind in of.found:
            if kind.method == method:
                until = "-" if isnan(kind.events_until_found) else f"{kind.events_until_found:g}"
                yield (
                    f"  {kind.kind[:20]:20} {kind.fraudsters:>10,} {_percent(kind.found):>22} {until:>13} "
                    f"{_share(kind.roc_auc):>24}"
                )


def as_object(of: FraudEvaluation) -> dict[str, Any]:
    """For programs. Numbers that are not known are null."""
    return {
        "rows": of.events,
        "users": of.users,
        "honest_days": of.honest_days,
        "calm_days": of.calm_days,
        "how": of.how._asdict(),
        "methods": {
            method: {
                "threshold": of.thresholds[method],
                "false_alarms_per_day": _interval(alarms),
                "kinds": {
                    kind.kind: {
                        "fraudsters": kind.fraudsters,
                        "found": _interval(kind.found),
                        "events_until_found": _known(kind.events_until_found),
                        "roc_auc": _interval(kind.roc_auc),
                    }
                    for kind in of.found
                    if kind.method == method
                },
            }
            for method, alarms in of.false_alarms_per_day.items()
        },
    }


def _known(value: float) -> float | None:
    return None if isnan(value) else value


def _interval(of: Interval) -> dict[str, float | None]:
    return {name: _known(value) for name, value in of._asdict().items()}


def _percent(of: Interval) -> str:
    low, mid, high = ("-" if isnan(value) else f"{100 * value:.3g}" for value in of)
    return f"{mid} % [{low}, {high}]"


def _share(of: Interval) -> str:
    low, mid, high = ("-" if isnan(value) else f"{value:.3f}" for value in of)
    return f"{mid} [{low}, {high}]"
