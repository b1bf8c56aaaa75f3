"""What is found: for each kind of growth a line of values, their throughput beside the base case's, and the theory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, median

import msgspec

from tests.bench.growth.theory import Costs


class Point(msgspec.Struct, kw_only=True):
    """One value."""

    value: float
    events_per_second: list[float]  # by round
    shares: list[float]  # of the base case's just before and after, by round
    theory: float  # the share that it should be
    latency_ms: dict[str, float] | None = None

    @property
    def share(self) -> float:
        return median(self.shares)


class Growth(msgspec.Struct, kw_only=True):
    """One kind."""

    what: str
    base: float  # its value there
    base_events_per_second: list[float]  # in the order of the runs
    base_latency_ms: dict[str, float] | None
    points: list[Point]


class Found(msgspec.Struct, kw_only=True):
    """What `--json` prints."""

    growths: list[Growth]
    costs: Costs
    store_read_us: float | None  # of a row of the largest number of users; None: they were not asked for
    events: int
    latency_rate_per_second: float | None
    machine: str


def in_turns(measured: Sequence[float]) -> tuple[list[float], list[float], list[float]]:
    """base, value, base, value, ..., base -> (of the values, of the base, shares of the mean of the base beside it)."""
    base, values = list(measured[::2]), list(measured[1::2])
    beside = [mean(pair) for pair in pairwise(base)]
    return values, base, [round(value / b, 3) for value, b in zip(values, beside, strict=True)]


def table(found: Found) -> list[str]:
    """In words."""
    lines = []
    for growth in found.growths:
        rates = growth.base_events_per_second
        lines.append(f"{growth.what}: base {growth.base:g}, {min(rates):,.0f} to {max(rates):,.0f} events/s" +
                     _ms(growth.base_latency_ms))  # fmt: skip
        for point in growth.points:
            told = ", ".join(f"{rate:,.0f}" for rate in point.events_per_second)
            lines.append(f"  {point.value:>12,g}  {point.share:6.2f} times, in theory {point.theory:6.2f}  ({told})" +
                         _ms(point.latency_ms))  # fmt: skip
    return [*lines, found.machine]


def _ms(latency_ms: dict[str, float] | None) -> str:
    return "" if latency_ms is None else f"; p50 {latency_ms['p50']:,g} ms, p99 {latency_ms['p99']:,g} ms"
