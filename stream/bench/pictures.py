"""Latency by percentile as a picture: a line per rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stream.bench.by_rate import AtRate, LatencyFigures
from stream.pages import drawing

_INCHES = (7.2, 4.4)
# Told apart without colours too
_LINES = [
    {"color": colour, "linestyle": style}
    for style in ("-", "--", ":")
    for colour in (drawing.FIRST, drawing.SECOND, drawing.THIRD, drawing.GREY)
]
_TICKS = {1: "0", 2: "50 %", 10: "90 %", 100: "99 %", 1_000: "99.9 %", 10_000: "99.99 %", 100_000: "99.999 %",
          1_000_000: "99.9999 %"}  # fmt: skip

_MS = [n * 10**power for power in range(6) for n in (1, 2, 5)]


def draw(of: LatencyFigures, path: Path) -> None:
    """Percentiles on the axis of 1 / (1 - p), so that what is rare has as much room as what is usual."""

    def lines(axes: Any) -> None:
        for at_rate, line in zip(of.rates, _LINES * len(of.rates), strict=False):
            one_in, ms = zip(*at_rate.curve, strict=True)
            axes.plot(one_in, ms, label=_label(at_rate), linewidth=1.8, **line)
        axes.set(xscale="log", yscale="log", xlabel="percentile", ylabel="ms from the intended time to the score")
        axes.set_xlim(1, max(at_rate.curve[-1][0] for at_rate in of.rates))
        ticks = [one_in for one_in in _TICKS if one_in <= axes.get_xlim()[1]]
        axes.set_xticks(ticks, [_TICKS[one_in] for one_in in ticks])
        low, high = axes.get_ylim()
        shown = [ms for ms in _MS if low <= ms <= high]
        axes.set_yticks(shown, [f"{ms:,}" for ms in shown])
        axes.minorticks_off()
        axes.legend(loc="lower right")

    drawing.save(path, lines, _INCHES)


def _label(at_rate: AtRate) -> str:
    words = f"{at_rate.rate_per_second:,.0f} events/s"
    if at_rate.of_peak:
        words += ", half of the peak"
    if not at_rate.load_keeps_up:
        return f"{words} (not sent)"
    return words if at_rate.keeps_up else f"{words} (more than it can do)"
