"""A picture of each kind: what was measured, beside what it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stream.pages import drawing
from tests.bench.growth.result import Found, Growth

_INCHES_A_COLUMN, _INCHES_HIGH = 4.6, 3.4
_LABELS = {
    "users": "users",
    "sequence": "events kept of a user",
    "hidden": "H",
    "layers": "layers",
    "partitions": "partitions",
    "workers": "workers",
    "hot": "share of one user",
}
_EVEN = ("layers", "workers", "hot")  # axes; others go by factors


def draw(found: Found, folder: Path) -> None:
    """One file of each kind, `KIND.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    for growth in found.growths:
        columns = 1 if growth.base_latency_ms is None else 2

        def lines(*axes: Any, of: Growth = growth) -> None:
            _throughput(axes[0], of)
            for one in axes[1:]:
                _latency(one, of, found.latency_rate_per_second or 0.0)

        drawing.save(folder / f"{growth.what}.png", lines, (_INCHES_A_COLUMN * columns, _INCHES_HIGH), columns)


def _throughput(axes: Any, of: Growth) -> None:
    points = sorted([(of.base, 1.0, 1.0), *((point.value, point.share, point.theory) for point in of.points)])
    values, shares, theory = zip(*points, strict=True)
    axes.plot(values, theory, color=drawing.GREY, linestyle="--", label="in theory")
    axes.plot(values, shares, color=drawing.FIRST, marker="o", markersize=5, label="measured")
    for point in of.points:
        axes.plot([point.value] * len(point.shares), point.shares, color=drawing.FIRST, marker="_", linestyle="")
    _value_axis(axes, of, values)
    axes.set(ylabel="throughput, times the base case's")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")


def _latency(axes: Any, of: Growth, rate: float) -> None:
    base = of.base_latency_ms or {}
    points = sorted([(of.base, base), *((point.value, point.latency_ms or {}) for point in of.points)],
                    key=lambda point: point[0])  # fmt: skip
    values = [value for value, _ in points]
    for name, colour in (("p50", drawing.FIRST), ("p99", drawing.SECOND)):
        axes.axhline(base[name], color=drawing.GREY, linestyle="--", linewidth=1)  # in theory: as the base case
        axes.plot(values, [ms[name] for _, ms in points], color=colour, marker="o", markersize=5, label=name)
    _value_axis(axes, of, values)
    axes.set(ylabel=f"ms to the score, {rate:,.0f} events/s")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")


def _value_axis(axes: Any, of: Growth, values: Any) -> None:
    axes.set(xlabel=_LABELS[of.what], xscale="linear" if of.what in _EVEN else "log")
    axes.set_xticks(values, [f"{value:,g}" if value < 1e5 else f"{value:.0e}".replace("e+0", "e") for value in values])
    axes.minorticks_off()
