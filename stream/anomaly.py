"""Nats of surprise -> anomaly in [0, 1]: how much of normal traffic is less surprising. A high score is strange.

Below the tail the distribution is what was measured on normal traffic; above it, a generalised Pareto tail (Pickands
1975; Balkema and de Haan 1974), so that strange and stranger stay apart where normal traffic has nothing to say.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

# Where the tail begins: 1 % of the validation events are enough to fit two numbers to.
TAIL_FROM = 0.99
# A lower shape would reach 1 - 1e-16, the last number below 1, within the range of nats that softmax heads can give.
_SHAPE_LEAST = 0.2


class NormalTraffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The distribution of surprise over normal traffic, as a model's card holds it."""

    quantiles: tuple[float, ...]  # nats, of evenly spaced probabilities from 0 to TAIL_FROM
    tail_scale: float  # nats
    tail_shape: float

    def __post_init__(self) -> None:
        if len(self.quantiles) < 2 or not all(np.diff(self.quantiles) >= 0):  # False for NaN
            raise ValueError("expected at least 2 quantiles in ascending order")
        if not (self.tail_scale > 0 and self.tail_shape > 0):
            raise ValueError(f"expected tail scale and shape above 0, got {self.tail_scale} and {self.tail_shape}")

    def percentile(self, nats: Doubles) -> Doubles:
        """[N] the share of normal traffic that is less surprising than each; strictly rising in the tail."""
        quantiles = np.asarray(self.quantiles)
        body = np.interp(nats, quantiles, np.linspace(0.0, TAIL_FROM, len(quantiles)))
        excess = np.maximum(nats - quantiles[-1], 0.0) / self.tail_scale
        beyond = (1.0 - TAIL_FROM) * (1.0 + self.tail_shape * excess) ** (-1.0 / self.tail_shape)
        return np.asarray(np.where(excess > 0, 1.0 - beyond, body))


def fit(nats: Doubles, *, points: int = 200) -> NormalTraffic:
    """The distribution of the surprise [N] of normal events; the tail by the method of moments."""
    quantiles = np.quantile(nats, np.linspace(0.0, TAIL_FROM, points))
    excess = nats[nats > quantiles[-1]] - quantiles[-1]
    if not len(excess) or not excess.var():
        raise ValueError(f"expected surprise of many values above its {TAIL_FROM:.0%} quantile, got {len(nats)} in all")
    mean, variance = float(excess.mean()), float(excess.var())
    shape = max(_SHAPE_LEAST, 0.5 * (1.0 - mean * mean / variance))
    return NormalTraffic(
        quantiles=tuple(round(float(q), 6) for q in quantiles),
        tail_scale=round(mean * (1.0 - shape), 6),  # the mean excess of a GPD is scale / (1 - shape)
        tail_shape=round(shape, 6),
    )
