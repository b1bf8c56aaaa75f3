"""The report's pictures: how each scorer ranks and how far its probabilities can be believed; a few real sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from stream.evaluation import baselines, metrics
from stream.evaluation.behaviour import Floats
from stream.evaluation.result import MODEL, Curves, Evaluation, Horizon, ScoredSession
from stream.evaluation.words import estimate, name_of, title_of
from stream.events import ACTIONS
from stream.pages.drawing import FIRST, GREY, SECOND, THIRD, Picture, svg

_SIZE = (4.6, 3.4)
_PURCHASE = ACTIONS.index("purchase")
# Told apart without colours too
_LINES: dict[str, dict[str, Any]] = {
    MODEL: {"color": FIRST, "linewidth": 2.2, "zorder": 4},
    "logistic_regression": {"color": SECOND, "linewidth": 1.5, "linestyle": "--", "zorder": 3},
    "lightgbm": {"color": THIRD, "linewidth": 1.5, "linestyle": "-.", "zorder": 3},
}
_COLOURS = (FIRST, SECOND, THIRD)


class Pictures(NamedTuple):
    """All pictures of a report."""

    by_horizon: dict[str, list[Picture]]
    sessions: list[Picture]


def draw(of: Evaluation) -> Pictures:
    """All pictures that there is something to show in."""
    names = [horizon.name for horizon in of.horizons]
    return Pictures(
        {horizon.name: _horizon(horizon) for horizon in of.horizons if horizon.curves},
        [_session(number, session, names) for number, session in enumerate(of.sessions, 1)],
    )


def _horizon(of: Horizon) -> list[Picture]:
    pictures = [_roc(of), _pr(of), _reliability(of), _lift(of)]
    return [*pictures, _by_events_seen(of)] if any(part.scorers for part in of.by_events_seen) else pictures


def _drawn(of: Horizon, points: Callable[[Curves], tuple[Floats, Floats]], finish: Callable[[Any], None]) -> str:
    """A line for each scorer but the base rate, which is one point of any of these pictures."""

    def lines(axes: Any) -> None:
        for scorer, curves in of.curves.items():
            if scorer != baselines.BASE_RATE:
                axes.plot(*points(curves), label=name_of(scorer), **_LINES.get(scorer, {}))
        finish(axes)
        axes.legend(loc="best")

    return svg(lines, _SIZE)


def _said(of: Horizon, figure: str) -> str:
    """A figure of every scorer, in words."""
    return ", ".join(f"{name_of(scorer)} {estimate(figures[figure])}" for scorer, figures in of.whole.scorers.items())


def _roc(of: Horizon) -> Picture:
    def finish(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        axes.set(xlabel="share of other events found too", ylabel="share of events before a purchase found")
        axes.set(xlim=(0, 1), ylim=(0, 1.01))

    return Picture(
        _drawn(of, lambda curves: curves.roc, finish),
        "<b>ROC.</b> How many events with a purchase to come are found at how many false alarms; grey: by chance.",
        f"ROC curves of {title_of(of).lower()}. ROC-AUC: {_said(of, 'auc')}.",
    )


def _pr(of: Horizon) -> Picture:
    top = max(float(curves.pr[1][len(curves.pr[1]) // 20 :].max()) for curves in of.curves.values())

    def finish(axes: Any) -> None:
        axes.axhline(of.whole.base_rate, color=GREY, linewidth=0.8)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, min(1.01, 1.15 * top)))

    return Picture(
        _drawn(of, lambda curves: curves.pr, finish),
        "<b>Precision and recall.</b> Grey: the base rate. The first few events of a ranking jump, and are cut off.",
        f"Precision by recall of {title_of(of).lower()}. PR-AUC: {_said(of, 'pr_auc')}.",
    )


def _reliability(of: Horizon) -> Picture:
    drawn = [curves.reliability for scorer, curves in of.curves.items() if scorer != baselines.BASE_RATE]
    top = 1.05 * max(float(np.max(points)) for points in drawn)

    def lines(axes: Any) -> None:
        axes.plot([0, top], [0, top], color=GREY, linewidth=0.8)
        for scorer, curves in of.curves.items():
            if scorer != baselines.BASE_RATE:
                axes.plot(*curves.reliability, marker="o", markersize=3.5, label=name_of(scorer), **_LINES[scorer])
        axes.set(xlabel="mean probability said", ylabel="share that bought", xlim=(0, top), ylim=(0, top))
        axes.legend(loc="best")

    return Picture(
        svg(lines, _SIZE),
        f"<b>Reliability.</b> {metrics.ECE_BINS} bins of as many events each; on the grey line, what is said happens.",
        f"Share that bought by the probability said, {title_of(of).lower()}. Calibration error: {_said(of, 'ece')}.",
    )


def _lift(of: Horizon) -> Picture:
    def finish(axes: Any) -> None:
        axes.axhline(1, color=GREY, linewidth=0.8)
        axes.set(xscale="log", xlabel="share of events, highest scores first", ylabel="times the base rate")
        ticks = [share for share in (0.001, 0.01, 0.1, 1.0) if share >= axes.get_xlim()[0]]
        axes.set_xticks(ticks, [f"{100 * share:g} %" for share in ticks])
        axes.set_ylim(bottom=0)

    return Picture(
        _drawn(of, lambda curves: curves.lift, finish),
        "<b>Lift.</b> How many times the base rate buys among the events of the highest scores.",
        f"Lift by share of events, {title_of(of).lower()}. At the top 10 %: {_said(of, 'lift_10')}.",
    )


def _by_events_seen(of: Horizon) -> Picture:
    parts = [part for part in of.by_events_seen if not part.why]
    scorers = [scorer for scorer in of.whole.scorers if scorer != baselines.BASE_RATE]

    def bars(axes: Any) -> None:
        axes.axhline(0.5, color=GREY, linewidth=0.8)
        for shift, scorer in zip(0.16 * (np.arange(len(scorers)) - (len(scorers) - 1) / 2), scorers, strict=True):
            name = name_of(scorer)  # once in the legend
            for place, part in enumerate(parts):
                if scorer in part.scorers:
                    auc = part.scorers[scorer]["auc"]
                    low, high = auc.interval or (auc.value, auc.value)
                    axes.plot([place + shift] * 2, [low, high], color=_LINES[scorer]["color"], linewidth=1.4)
                    axes.plot(place + shift, auc.value, marker="o", markersize=5, color=_LINES[scorer]["color"],
                              label=name)  # fmt: skip
                    name = "_"
        axes.set_xticks(range(len(parts)), [f"{part.name}\n{part.rows:,} events" for part in parts])
        axes.set(xlabel="events of the user up to then", ylabel="ROC-AUC, 95 %")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="best")

    said = "; ".join(
        f"{part.name} events seen: "
        + ", ".join(f"{name_of(scorer)} {estimate(part.scorers[scorer]['auc'])}" for scorer in scorers
                    if scorer in part.scorers)
        for part in parts
    )  # fmt: skip
    return Picture(
        svg(bars, _SIZE),
        "<b>By what was known of the user.</b> Events that they had sent, the scored one included.",
        f"ROC-AUC by number of events seen, {title_of(of).lower()}. {said or 'Nothing to show'}.",
    )


def _session(number: int, of: ScoredSession, horizons: Sequence[str]) -> Picture:
    purchases = of.minutes[of.action == _PURCHASE]
    others = [int(code) for code in np.unique(of.action) if code != _PURCHASE]

    def lines(axes: Any) -> None:
        top = max(1e-3, 1.15 * float(of.intent.max()))
        until = np.append(of.minutes, 1.04 * of.minutes[-1])  # the last score stays too
        for at in np.unique(purchases):
            axes.axvline(at, color=GREY, linewidth=1.2, linestyle=":")
            axes.text(at, top, "purchase ", ha="right", va="top", fontsize=8.5)
        for horizon, name in enumerate(horizons):
            colour = _COLOURS[horizon % len(_COLOURS)]
            scores = np.append(of.intent[:, horizon], of.intent[-1, horizon])
            axes.plot(until, scores, color=colour, label=name, drawstyle="steps-post")
        first = of.intent[:, 0]
        for code, marker in zip(others, "o^sDvP*X<>", strict=False):
            chosen = of.action == code
            axes.plot(of.minutes[chosen], first[chosen], marker=marker, linestyle="", markersize=5, color=FIRST,
                      label=ACTIONS[code])  # fmt: skip
        axes.set(xlabel="minutes since the session began", ylabel="purchase intent", ylim=(0, top))
        axes.legend(loc="best", fontsize=8)

    bought = f"with {len(purchases)} purchase{'s' * (len(purchases) > 1)}" if len(purchases) else "without a purchase"
    moved = "; ".join(
        f"{name} {start:.3f} at first, {end:.3f} at last"
        for name, start, end in zip(horizons, of.intent[0], of.intent[-1], strict=True)
    )
    return Picture(
        svg(lines, _SIZE),
        f"<b>Session {number}, {bought}.</b> {len(of.minutes)} events.",
        f"Purchase intent over {len(of.minutes)} events of a session {bought}, {of.minutes[-1]:.0f} minutes: {moved}.",
    )
