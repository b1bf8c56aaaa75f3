"""What is told of many latencies: some percentiles, a curve of all of them, and whether they grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PERCENTILES = {"p50": 50, "p99": 99, "p999": 99.9}
_PER_DECADE = 10  # points of the curve: of 90 % to 99 %, say
# Latency that grows by so much of a second each second is that of a queue: its end is never reached. Less is noise,
# in a run of some seconds.
STEADY = 0.05


def percentiles(latency_ms: Floats) -> dict[str, float]:
    """p50, p99, p999 of [N]."""
    return {name: round(float(np.percentile(latency_ms, q)), 1) for name, q in _PERCENTILES.items()}


def with_the_largest(latency_ms: Floats) -> dict[str, float]:
    """The same, and max."""
    return percentiles(latency_ms) | {"max": round(float(latency_ms.max()), 1)}


def curve(latency_ms: Floats) -> list[tuple[float, float]]:
    """(one in so many, ms that it exceeds), from 1 in 1 to 1 in N: evenly on a logarithmic axis.

    1 in 100 is the 99th percentile. The last point is the largest of [N].
    """
    decades = np.log10(len(latency_ms))
    one_in = np.logspace(0, decades, max(2, 1 + round(_PER_DECADE * decades)))
    found = np.quantile(latency_ms, 1 - 1 / one_in, method="higher")
    return [(float(f"{n:.4g}"), round(ms, 2)) for n, ms in zip(one_in.tolist(), found.tolist(), strict=True)]


def growth(due_secs: Floats, latency_secs: Floats) -> float:
    """Seconds by which latency grew in a second: of medians of the first and the last quarter of the time.

    About 0 for a system that keeps up. One that can do m of n events a second makes each wait for those before it, so
    that latency grows by n / m - 1.
    """
    begin, end = float(due_secs.min()), float(due_secs.max())
    quarter = (end - begin) / 4
    if quarter <= 0:
        return 0.0
    first = np.median(latency_secs[due_secs <= begin + quarter])
    last = np.median(latency_secs[due_secs >= end - quarter])
    return round(float(last - first) / (3 * quarter), 4)


def possible_rate(rate_per_sec: float, grew: float) -> float:
    """Events a second that were done of those that came, by the growth of their latency."""
    return rate_per_sec / (1 + max(0.0, grew))
