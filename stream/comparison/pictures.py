"""The report's pictures of behaviour: the recording and the simulation side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.comparison import detection_pictures
from stream.comparison.figures import DISTRIBUTIONS, ks_distance
from stream.comparison.profiles import LAGS
from stream.comparison.result import Comparison
from stream.evaluation.behaviour import Floats
from stream.events import ACTIONS
from stream.pages.drawing import AIM, REAL, SIMULATED, Picture, svg

_WEEK_MS = 7 * 86_400_000
_POINTS = 400  # of a curve: as fine as it can be seen
_ZERO_AT = 0.5  # on a logarithmic axis
_SECS = {_ZERO_AT: "0", 1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3_600: "1 h", 28_800: "8 h", 172_800: "2 d",
         1_209_600: "14 d"}  # fmt: skip
_COUNTS = {_ZERO_AT: "0"} | {n * 10**power: f"{n * 10**power:,}" for power in range(6) for n in (1, 2, 5)}


def draw(of: Comparison) -> list[Picture]:
    """All pictures that there is something to show in."""
    pictures = [_distribution(of, key) for key in DISTRIBUTIONS if _shown(of, key)]
    if of.clock:
        pictures += [_hours(of), _memory(of)]
        if np.ptp(of.view.real.time_ms) >= _WEEK_MS:
            pictures.append(_weekdays(of))
    pictures += [_popularity(of), _funnel(of), _transitions(of)]
    if any(case.found for case in of.buyers):
        pictures.append(detection_pictures.buyers([case for case in of.buyers if case.found]))
    if of.fraud is not None:
        pictures += [
            detection_pictures.fraud(kinds, unit)
            for unit, kinds in (("users", of.fraud.users), ("sessions", of.fraud.sessions))
            if kinds
        ]
    return pictures


def _shown(of: Comparison, key: str) -> bool:
    alone = not of.clock and key in ("sessions_per_user", "events_per_user", "gaps")
    return not alone and len(of.real.samples[key]) > 0 and len(of.simulated.samples[key]) > 0


def _distribution(of: Comparison, key: str) -> Picture:
    figure = DISTRIBUTIONS[key]
    real, simulated = of.real.samples[key], of.simulated.samples[key]
    share = figure.unit.startswith("share")
    distance = ks_distance(real, simulated)

    def curves(axes: Any) -> None:
        for samples, colour, label in ((real, REAL, "recorded"), (simulated, SIMULATED, "simulated")):
            x, y = _cumulative(samples)
            axes.step(
                x if share else np.maximum(x, _ZERO_AT), y, where="post", color=colour, label=label, linewidth=1.6
            )
        if not share:
            axes.set_xscale("log")
            ticks = _SECS if figure.unit == "s" else _COUNTS
            low, high = axes.get_xlim()
            axes.set_xticks([at for at in ticks if low <= at <= high])
            axes.set_xticklabels([text for at, text in ticks.items() if low <= at <= high])
            axes.minorticks_off()
        axes.set(xlabel="" if figure.unit == "s" else figure.unit, ylabel="share up to", ylim=(0, 1.01))
        axes.legend(loc="lower right")

    aim = "" if figure.aim is None else f" (aim: under {figure.aim:g})"
    return Picture(
        svg(curves, (4.6, 3.0)),
        f"<b>{figure.title}.</b> Largest difference {distance:.3f}{aim}.",
        f"Cumulative distributions of {figure.title.lower()}, in {figure.unit}: recorded median "
        f"{np.median(real):.3g}, simulated median {np.median(simulated):.3g}, largest difference {distance:.3f}.",
    )


def _cumulative(samples: Floats) -> tuple[Floats, Floats]:
    """Points of the cumulative distribution, at most some hundred of them."""
    x, count = np.unique(samples, return_counts=True)
    y = np.cumsum(count) / len(samples)
    if len(x) > _POINTS:
        at = np.unique(np.searchsorted(y, np.linspace(0, 1, _POINTS)).clip(max=len(x) - 1))
        x, y = x[at], y[at]
    return np.append(x[:1], x), np.append(0.0, y)


def _hours(of: Comparison) -> Picture:
    def lines(axes: Any) -> None:
        for shares, colour, label in ((of.real.hours, REAL, "recorded"), (of.simulated.hours, SIMULATED, "simulated")):
            axes.stairs(shares, color=colour, label=label, linewidth=1.6, baseline=None)
        axes.set(xlabel="local hour", ylabel="share of events", xlim=(0, 24), xticks=range(0, 25, 4))
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")

    distance = np.abs(of.real.hours - of.simulated.hours).sum() / 2
    return Picture(
        svg(lines, (4.6, 3.0)),
        f"<b>The day.</b> Total variation {distance:.3f}.",
        f"Share of events in each hour of the day: recorded busiest at {of.real.hours.argmax()} h, simulated at "
        f"{of.simulated.hours.argmax()} h; total variation {distance:.3f}.",
    )


def _weekdays(of: Comparison) -> Picture:
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

    def bars(axes: Any) -> None:
        places = np.arange(7)
        axes.bar(places - 0.2, of.real.weekdays, 0.38, color=REAL, label="recorded")
        axes.bar(places + 0.2, of.simulated.weekdays, 0.38, color=SIMULATED, label="simulated")
        axes.set(ylabel="share of events", xticks=places, xticklabels=names)
        axes.grid(axis="x", visible=False)
        axes.legend(loc="lower left")

    distance = np.abs(of.real.weekdays - of.simulated.weekdays).sum() / 2
    return Picture(
        svg(bars, (4.6, 3.0)),
        f"<b>The week.</b> Total variation {distance:.3f}.",
        f"Share of events on each weekday: recorded busiest on {names[of.real.weekdays.argmax()]}, simulated on "
        f"{names[of.simulated.weekdays.argmax()]}; total variation {distance:.3f}.",
    )


def _memory(of: Comparison) -> Picture:
    def lines(axes: Any) -> None:
        lags = np.arange(1, LAGS + 1)
        axes.axhline(0, color=AIM, linewidth=0.8)
        for values, colour, label in (
            (of.real.autocorrelation, REAL, "recorded"),
            (of.simulated.autocorrelation, SIMULATED, "simulated"),
        ):
            axes.plot(lags, values, marker="o", markersize=4, color=colour, label=label, linewidth=1.6)
        axes.set(xlabel="lag, events", ylabel="correlation of log gaps", xticks=lags)
        axes.legend(loc="best")

    said = [", ".join(f"{value:.2f}" for value in side.autocorrelation[:3]) for side in (of.real, of.simulated)]
    return Picture(
        svg(lines, (4.6, 3.0)),
        "<b>Memory of the pace.</b> How a gap goes with the gaps after it, of the same user.",
        f"Autocorrelation of log gaps by lag, 1 to {LAGS}: at lags 1 to 3 recorded {said[0]}, simulated {said[1]}.",
    )


def _funnel(of: Comparison) -> Picture:
    codes = [int(code) for code in np.unique(of.view.real.name)]
    sides = [("sessions", of.real.session_reach, of.simulated.session_reach)]
    if of.clock:
        sides.append(("users", of.real.user_reach, of.simulated.user_reach))

    def bars(*axes: Any) -> None:
        for one, (unit, real, simulated) in zip(axes, sides, strict=True):
            places = np.arange(len(codes))
            for shift, values, colour, label in (
                (-0.2, real, REAL, "recorded"),
                (0.2, simulated, SIMULATED, "simulated"),
            ):
                drawn = one.barh(places + shift, values[codes], 0.38, color=colour, label=label)
                one.bar_label(drawn, [f"{100 * values[code]:.1f} %" for code in codes], padding=3, fontsize=8.5)
            one.set(
                yticks=places, yticklabels=[ACTIONS[code] for code in codes], xlim=(0, 1.18), xlabel=f"share of {unit}"
            )
            one.set_xticks([0, 0.25, 0.5, 0.75, 1])
            one.grid(axis="y", visible=False)
            one.invert_yaxis()
        axes[-1].legend(loc="lower right")

    said = ", ".join(
        f"{ACTIONS[code]} recorded {of.real.session_reach[code]:.1%} simulated {of.simulated.session_reach[code]:.1%}"
        for code in codes
    )
    return Picture(
        svg(bars, (9.4, 0.7 + 0.62 * len(codes)), len(sides)),
        "<b>How far they get.</b> Sessions and users with at least one event of each name.",
        f"Share of sessions with an event of each name: {said}.",
        wide=True,
    )


def _popularity(of: Comparison) -> Picture:
    def lines(axes: Any) -> None:
        for shares, colour, label in (
            (of.real.popularity, REAL, "recorded"),
            (of.simulated.popularity, SIMULATED, "simulated"),
        ):
            at = np.unique(np.geomspace(1, len(shares), _POINTS).astype(int)) - 1
            axes.plot((at + 1) / len(shares), shares[at], color=colour, label=label, linewidth=1.6)
        axes.set(
            xscale="log", xlabel="share of items, most popular first", ylabel="share of item events", ylim=(0, 1.01)
        )
        axes.legend(loc="upper left")

    return Picture(
        svg(lines, (4.6, 3.0)),
        f"<b>Popular items.</b> The top 1 % have {of.real.rates['top_share']:.1%} of the recorded item events and "
        f"{of.simulated.rates['top_share']:.1%} of the simulated.",
        "Share of item events by share of items, most popular first, recorded and simulated: Gini coefficient "
        f"{of.real.rates['gini']:.2f} and {of.simulated.rates['gini']:.2f}.",
    )


def _transitions(of: Comparison) -> Picture:
    codes = np.unique(of.view.real.name)
    names = [ACTIONS[code] for code in codes]

    def maps(*axes: Any) -> None:
        for one, matrix, title in zip(
            axes, (of.real.transitions, of.simulated.transitions), ("recorded", "simulated"), strict=True
        ):
            one.imshow(matrix[np.ix_(codes, codes)], cmap="Blues", vmin=0, vmax=1)
            for i, first in enumerate(codes):
                for j, then in enumerate(codes):
                    likely = matrix[first, then]
                    one.text(j, i, f"{100 * likely:.1f}", ha="center", va="center", fontsize=8.5,
                             color="white" if likely > 0.55 else "#20252c")  # fmt: skip
            one.set(xticks=range(len(codes)), yticks=range(len(codes)), yticklabels=names, title=title)
            one.set_xticklabels(names, rotation=25, ha="right")
            one.grid(visible=False)

    pairs = "; ".join(
        f"after {ACTIONS[code]} another {ACTIONS[code]} recorded {of.real.transitions[code, code]:.1%} simulated "
        f"{of.simulated.transitions[code, code]:.1%}"
        for code in codes
    )
    return Picture(
        svg(maps, (9.4, 1.5 + 0.75 * len(codes)), 2),
        "<b>What follows what.</b> Percent of the events after each name (row) that have each name (column).",
        f"Matrices of transitions between event names: {pairs}.",
        wide=True,
    )
