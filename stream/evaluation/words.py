"""An evaluation -> what a terminal shows, and the same as an object. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isnan
from textwrap import wrap
from typing import Any

from stream.evaluation import baselines, metrics
from stream.evaluation.result import DIFFERENCES, MODEL, Estimate, Evaluation, Figures, Horizon, Part

TITLES: Mapping[str, str] = {
    "auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "calibration",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "lift_1": "lift, top 1 %",
    "lift_5": "lift, top 5 %",
    "lift_10": "lift, top 10 %",
}
MEANINGS = (
    f"Calibration is the expected calibration error in {metrics.ECE_BINS} bins of as many events each; drawing users "
    "again adds noise to it, so that its interval lies high. Lift: how many times the base rate buys among the "
    "highest scores."
)


def name_of(scorer: str) -> str:
    """As people call it."""
    if scorer in baselines.LEARNED:
        return baselines.LEARNED[scorer][1]
    return scorer.replace("_", " ")


def table(of: Evaluation) -> Iterator[str]:
    """Lines of at most 100 columns."""
    yield f"{of.rows:,} events of {of.users:,} users; in brackets 95 %" + (
        f", users drawn again {of.resamples:,} times." if of.resamples else " of nothing: of one user there are none."
    )
    for horizon in of.horizons:
        yield ""
        yield from _horizon(horizon)
    if of.notes:
        yield ""
        for note in of.notes:
            yield from wrap(note, 100, subsequent_indent="  ")


def _horizon(of: Horizon) -> Iterator[str]:
    whole = of.whole
    yield title_of(of)
    if whole.why:
        yield f"  no figures: {whole.why}"
        return
    yield f"  {headline(of)}"
    scorers = [scorer for scorer in whole.scorers if scorer != baselines.BASE_RATE]
    base = whole.scorers.get(baselines.BASE_RATE)
    yield _row("", "" if base is None else name_of(baselines.BASE_RATE), map(name_of, scorers))
    for figure, title in TITLES.items():
        alone = "" if base is None else number(base[figure].value)
        yield _row(title, alone, (estimate(whole.scorers[scorer][figure]) for scorer in scorers))
    if whole.differences:
        yield _row("  the model less", "", (TITLES[figure] for figure in DIFFERENCES), width=27)
    for baseline, differences in whole.differences.items():
        yield _row(f"  {name_of(baseline)}", "", (estimate(one, sign=True) for one in differences.values()), width=27)
    yield _row("  ROC-AUC by events seen", "", map(name_of, scorers))
    for part in of.by_events_seen:
        if part.why:
            yield f"    {part.name:5} no figures: {part.why}"
        else:
            kept = [estimate(part.scorers[scorer]["auc"]) if scorer in part.scorers else "-" for scorer in scorers]
            yield _row(f"    {part.name:5} of {part.rows:,}", "", kept)


def title_of(of: Horizon) -> str:
    """What is predicted."""
    return "Purchase later in the session" if of.name == "session" else f"Purchase within {of.name}"


def headline(of: Horizon) -> str:
    """What the figures of a horizon are of."""
    trained = "" if isnan(of.training_base_rate) else f" (where baselines learned {number(of.training_base_rate)})"
    return (
        f"{of.whole.rows:,} events of {of.whole.users:,} users, base rate {number(of.whole.base_rate)}{trained}; "
        f"threshold {number(of.threshold)}"
    )


def _row(title: str, alone: str, cells: Iterable[str], *, width: int = 24) -> str:
    first = f"  {title:16}{alone:>9}" if len(title) <= 16 else f"  {title:25}"
    return f"{first}{''.join(f'{cell:>{width}}' for cell in cells)}".rstrip()


def estimate(of: Estimate, *, sign: bool = False) -> str:
    """A figure with its interval in brackets."""
    if of.interval is None:
        return number(of.value, sign=sign)
    low, high = (number(end, sign=sign) for end in of.interval)
    return f"{number(of.value, sign=sign)} [{low}, {high}]"


def number(of: float, *, sign: bool = False) -> str:
    """Four digits after the point of what is small, three of what is not; "-" for what is not defined."""
    if isnan(of):
        return "-"
    plus = "+" if sign else ""
    return f"{of:{plus}.2f}" if abs(of) >= 10 else f"{of:{plus}.3f}" if abs(of) >= 0.1 else f"{of:{plus}.4f}"


def as_object(of: Evaluation, judged: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """For programs. What is not defined is null, and beside it stands why. `judged` says first what was judged."""
    return {
        **(judged or {}),
        "rows": of.rows,
        "users": of.users,
        "resamples": of.resamples,
        "calibration_bins": metrics.ECE_BINS,
        "horizons": {horizon.name: _horizon_object(horizon) for horizon in of.horizons},
        "notes": list(of.notes),
    }


def _horizon_object(of: Horizon) -> dict[str, Any]:
    return {
        "threshold": _known(of.threshold),
        "training_base_rate": _known(of.training_base_rate),
        **_part_object(of.whole),
        "by_events_seen": {part.name: _part_object(part) for part in of.by_events_seen},
    }


def _part_object(of: Part) -> dict[str, Any]:
    base = of.scorers.get(baselines.BASE_RATE, {}).get("log_loss")
    return {
        "rows": of.rows,
        "users": of.users,
        "base_rate": _known(of.base_rate),
        "why": of.why or None,
        **_figures_object(of.scorers.get(MODEL, {})),
        "base_log_loss": None if base is None else _known(base.value),
        "baselines": {name: _figures_object(figures) for name, figures in of.scorers.items() if name != MODEL},
        "best_baseline": of.best_baseline,
        "difference": {
            name: {figure: _difference_object(one) for figure, one in figures.items()}
            for name, figures in of.differences.items()
        },
    }


def _figures_object(of: Figures) -> dict[str, Any]:
    """Every figure, and beside them their intervals."""
    intervals = {name: None if name not in of or of[name].interval is None else
                 [_known(end) for end in of[name].interval or ()] for name in TITLES}  # fmt: skip
    return {**{name: _known(of[name].value) if name in of else None for name in TITLES}, "intervals": intervals}


def _difference_object(of: Estimate) -> dict[str, float | None]:
    low, high = of.interval or (float("nan"), float("nan"))
    return {"low": _known(low), "mid": _known(of.value), "high": _known(high)}


def _known(of: float) -> float | None:
    return None if isnan(of) else round(of, 6)
